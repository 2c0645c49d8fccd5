"""The state of an encoder's training, on a CPU or a GPU: a step, the weights' average, a checkpoint."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.budget import ENCODER_SHARE, Budget, Spent, Stopwatch, rate_at
from models.crop import CropSpec
from models.family import ENCODERS
from models.frame_judge import FrameJudge
from models.recipes import Recipe
from models.start import SCRATCH, start

AT_ONCE = 32  # crops a forward pass when nothing is learnt
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run learns on; it may go on on another."""

    device: torch.device = CPU
    bfloat16: bool = False  # passes under autocast; the weights, and all that is measured, stay float32


def to_tensor(crops: NDArray[np.uint8], spec: CropSpec, device: torch.device = CPU) -> Tensor:
    """What models.crop.to_input does, in torch and channels_last: (N, S, S, 3) BGR -> (N, 3, S, S)."""
    x = torch.from_numpy(crops).to(device).flip(-1).float() / 255
    x = (x - torch.tensor(spec.mean, device=device)) / torch.tensor(spec.std, device=device)
    return x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step found before it learnt."""

    loss: float
    accuracy: float  # of the batch


@dataclass(eq=False)
class Trainer:
    """Model, average, optimiser and what was spent; all of it is in the checkpoint."""

    recipe: Recipe
    machine: Machine = field(default_factory=Machine)
    start_file: Path | None = None
    start: str = SCRATCH
    spent: Spent = field(default_factory=Spent)
    history: list[dict[str, float]] = field(default_factory=list)  # a line for each examination

    def __post_init__(self) -> None:
        r = self.recipe
        torch.manual_seed(r.seed)
        judge = FrameJudge(ENCODERS[r.network](r.features), r.features)
        if self.spent.steps == 0:
            self.start = start(judge, r.network, self.start_file)
        # torch 2.13 takes the argument and leaves it out of its annotations.
        self.model = judge.to(self.machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.model, multi_avg_fn=ema(r.average), use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), r.rate, weight_decay=r.decay)
        kind = self.machine.device.type
        self._forward: Callable[[Tensor], Tensor] = (
            torch.compile(self.model) if kind == "cuda" else self.model
        )
        self._autocast = torch.autocast(kind, torch.bfloat16, enabled=self.machine.bfloat16)

    @property
    def step(self) -> int:
        """Steps learnt so far."""
        return self.spent.steps

    @property
    def share(self) -> float:
        """How much of the encoder's budget is used, 0..1."""
        minutes = self.recipe.core_minutes
        core_seconds = None if minutes is None else ENCODER_SHARE * minutes * 60
        return min(Budget(self.recipe.steps, core_seconds).share(self.spent), 1.0)

    def learn(self, crops: NDArray[np.uint8], labels: NDArray[np.float32]) -> Lesson:
        """One step on a batch: crops (N, S, S, 3) uint8 BGR, labels (N,), 1 = fake."""
        with Stopwatch(self.spent):
            lesson = self._learn(crops, labels)
        self.spent.steps += 1
        return lesson

    def _learn(self, crops: NDArray[np.uint8], labels: NDArray[np.float32]) -> Lesson:
        r = self.recipe
        torch.manual_seed(1_000_003 * r.seed + self.step)  # dropout goes on as it would have without a stop
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.share, r.rate, r.warmup)
        self.model.train()
        truth = torch.from_numpy(labels).to(self.machine.device)
        with self._autocast:
            logits = self._forward(to_tensor(crops, r.spec, self.machine.device)).float()
        target = truth * (1 - r.smoothing) + r.smoothing / 2
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        return Lesson(float(loss.detach()), float(((logits > 0) == (truth > 0)).float().mean()))

    def averaged(self) -> FrameJudge:
        """The weights averaged over the last steps, in evaluation mode: what is measured and exported."""
        judge = self.average.module
        assert isinstance(judge, FrameJudge)
        return judge.eval()

    def scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frame logits (N,) of the averaged weights for crops (N, S, S, 3) uint8 BGR."""
        return self._run(self.averaged(), crops)

    def encode(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, D) of the averaged encoder for crops (N, S, S, 3) uint8 BGR."""
        return self._run(self.averaged().encoder, crops)

    @torch.no_grad()
    def _run(self, network: nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        spec, device = self.recipe.spec, self.machine.device
        parts = [to_tensor(crops[i : i + AT_ONCE], spec, device) for i in range(0, len(crops), AT_ONCE)]
        return torch.cat([network(part) for part in parts]).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "recipe": asdict(self.recipe),
            "start": self.start,
            "step": self.step,
            "spent": asdict(self.spent),
            "history": self.history,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    @staticmethod
    def load(path: Path, machine: Machine | None = None) -> "Trainer":
        """Go on from a checkpoint. Raises ValueError for one of the first runs: they can only be a start."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if "spent" not in state:
            raise ValueError(f"{path} is of an older trainer: begin a new run with --start {path}")
        trainer = Trainer(
            Recipe(**state["recipe"]),
            machine or Machine(),
            None,
            state["start"],
            Spent(**state["spent"]),
            state["history"],
        )
        trainer.model.load_state_dict(state["model"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        return trainer


def ema(most: float) -> Callable[..., None]:
    """An average of the weights that forgets faster while young: short runs lose their beginning too."""

    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
        young = (1 + int(count)) / (10 + int(count))
        get_ema_multi_avg_fn(min(most, young))(averages, weights, count)  # type: ignore[arg-type]

    return update
