"""Train the encoder on real crops and their fakes; stop at any time and run the same command to go on.

    python -m models.train --data DIR --prepared PREPARED --out RUN --steps 2400

RUN gets checkpoint.pt (all that is needed to go on, and to export), log.jsonl and curves.png.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from models.crop import CropSpec
from models.dataset import Pairs
from models.efficientnet_lite import FaceEncoder, imagenet_trunk
from models.exam import Exam

SPEC = CropSpec(size=192, margin=1.3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of the encoder's training."""

    steps: int = 2400
    pairs: int = 16  # a batch has twice as many crops
    rate: float = 6e-4  # AdamW's highest learning rate
    warmup: int = 100  # steps
    decay: float = 0.02  # AdamW's weight decay
    smoothing: float = 0.05  # of the labels
    average: float = 0.998  # of the weights over steps (EMA); the average is what is exported
    features: int = 128
    seed: int = 1
    threads: int = 1  # of the training; the batches are made in a process of their own


class _Batches(Dataset[tuple[NDArray[np.uint8], NDArray[np.float32]]]):
    """Batches by step number: resuming at step n is starting the sampler at n."""

    def __init__(self, open_pairs: Callable[[], Pairs]) -> None:
        self._open = open_pairs
        self._pairs: Pairs | None = None

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        if self._pairs is None:  # opened in the worker: a spawned process would else be sent all pictures
            cv2.setNumThreads(0)
            self._pairs = self._open()
        return self._pairs.batch(step)


def to_tensor(crops: NDArray[np.uint8], spec: CropSpec) -> Tensor:
    """What models.crop.to_input does, in torch and channels_last: (N, S, S, 3) BGR -> (N, 3, S, S)."""
    x = torch.from_numpy(crops).flip(-1).float() / 255
    x = (x - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    return x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


class Trainer:
    """The state of a run: model, average, optimiser, step; all of it is in the checkpoint."""

    def __init__(self, recipe: Recipe, spec: CropSpec, pretrained: bool = True) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.spec, self.step = recipe, spec, 0
        encoder = FaceEncoder(recipe.features)
        if pretrained:
            encoder.trunk = imagenet_trunk()
        # torch 2.13 takes the argument and leaves it out of its annotations.
        self.model = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(self.model.parameters(), recipe.rate, weight_decay=recipe.decay)

    def learn(self, crops: NDArray[np.uint8], labels: NDArray[np.float32]) -> float:
        """One step on a batch; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate_at(self.step)
        self.model.train()
        target = torch.from_numpy(labels) * (1 - self.recipe.smoothing) + self.recipe.smoothing / 2
        # float32: on our CPU the backward pass took 1.8 times as long in bfloat16 autocast (at 160 px).
        logits = self.model.logit(self.model(to_tensor(crops, self.spec)))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return float(loss.detach())

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        r = self.recipe
        if step < r.warmup:
            return r.rate * (step + 1) / r.warmup
        done = min((step - r.warmup) / max(1, r.steps - r.warmup), 1.0)
        return r.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def averaged(self) -> FaceEncoder:
        """The weights averaged over the last steps, in evaluation mode: what is measured and exported."""
        encoder = self.average.module
        assert isinstance(encoder, FaceEncoder)
        return encoder.eval()

    @torch.no_grad()
    def scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frame logits (N,) of the averaged encoder."""
        encoder, parts = self.averaged(), []
        for i in range(0, len(crops), 32):
            parts.append(encoder.logit(encoder(to_tensor(crops[i : i + 32], self.spec))))
        return torch.cat(parts).numpy()

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "spec": asdict(self.spec),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    @staticmethod
    def load(path: Path) -> "Trainer":
        """Go on from a checkpoint."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        trainer = Trainer(Recipe(**state["recipe"]), CropSpec(**state["spec"]), pretrained=False)
        trainer.step = state["step"]
        trainer.model.load_state_dict(state["model"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        return trainer


def batches(
    open_pairs: Callable[[], Pairs], start: int, stop: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Batches start..stop-1, made ahead of time by one worker process.

    It is spawned, not forked: OpenCV's, FFmpeg's and OpenMP's threads do not survive a fork.
    """
    loader = DataLoader(
        _Batches(open_pairs),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=1,
        prefetch_factor=6,
        multiprocessing_context="spawn",
    )
    for crops, labels in loader:
        yield np.asarray(crops), np.asarray(labels)


def run(trainer: Trainer, open_pairs: Callable[[], Pairs], exam: Exam, out: Path, every: int = 200) -> None:
    """Train to the recipe's last step; checkpoint, examine and draw curves every so many steps."""
    from models.curves import draw

    begun, first, losses = time.monotonic(), trainer.step, []
    last = trainer.recipe.steps
    for crops, labels in batches(open_pairs, trainer.step, last):
        losses.append(trainer.learn(crops, labels))
        if trainer.step % 20 == 0 or trainer.step == last:
            pace = (time.monotonic() - begun) / (trainer.step - first)
            left = pace * (last - trainer.step) / 60
            sys.stderr.write(
                f"\rstep {trainer.step}/{last}  loss {np.mean(losses[-50:]):.4f}  "
                f"{len(labels) / pace:.1f} crops/s  {left:.1f} min left "
            )
            sys.stderr.flush()
        if trainer.step % every == 0 or trainer.step == last:
            line = {
                "step": trainer.step,
                "loss": float(np.mean(losses[-every:])),
                **exam.take(trainer.scores),
            }
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            sys.stderr.write(f"\n{json.dumps(line)}\n")
            trainer.save(out / "checkpoint.pt")
            draw(out / "log.jsonl", out / "curves.png")


def main() -> None:
    """The command line."""
    usual = Recipe()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the unpacked archives")
    parser.add_argument("--prepared", type=Path, required=True, help="what models.prepare wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=usual.threads)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer = Trainer.load(checkpoint)
    else:
        trainer = Trainer(Recipe(steps=args.steps, seed=args.seed, threads=args.threads), SPEC)
    recipe = trainer.recipe
    open_pairs = partial(Pairs.open, args.data, args.prepared, trainer.spec, recipe.pairs, recipe.seed)
    run(trainer, open_pairs, Exam.make(open_pairs()), args.out)


if __name__ == "__main__":
    main()
