"""Train the face swapper whose output becomes fakes; stop at any time and run the same command to go on.

    python -m models.train_swapper --data DIR --prepared PREPARED --recogniser vggface2.pt \\
        --out PREPARED/swapper

The folder gets stage_030.onnx, stage_060.onnx and stage_100.onnx (the averaged weights after so many per cent
of the steps: decoders of different quality leave different artefacts), recogniser.onnx (int8), and, for going
on, faces.npz and checkpoint.pt; log.jsonl and preview.png say how it goes.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from models.fakes.aligned import as_image, as_input
from models.fakes.swapper import EMBEDDING, SIZE, Swapper
from models.inception_resnet_v1 import load_embedder
from models.swapper_faces import Batch, Faces, batch, gather
from models.swapper_losses import Judge, centre_weight, edge_gap, texture_gap
from models.swapper_recogniser import write_recogniser

STAGES = (30, 60, 100)  # per cent of the steps


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of the swapper's training."""

    steps: int = 1400
    faces: int = 16  # in a batch
    rate: float = 1.2e-3  # Adam's highest learning rate
    warmup: int = 50  # steps
    average: float = 0.995  # of the weights over steps (EMA)
    noise: float = 0.1  # on the code, against hiding an identity in its last digits
    gradient: float = 0.4  # weights of the losses beside L1: edges
    texture: float = 0.5  # the recogniser's first features
    seed: int = 1


class Trainer:
    """The state of a run: model, average, optimiser, step; all of it is in the checkpoint."""

    def __init__(self, recipe: Recipe, judge: Judge) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.judge, self.step = recipe, judge, 0
        self.model = Swapper()
        self.average = AveragedModel(self.model, avg_fn=partial(_averaged, recipe.average))
        self.average.requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.model.parameters(), recipe.rate, betas=(0.5, 0.99))
        self._centre = centre_weight()

    def learn(self, seen: Batch) -> dict[str, float]:
        """One step; returns its losses by name."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate_at(self.step)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast as float32 on our CPU
            losses = self._losses(seen)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _losses(self, seen: Batch) -> dict[str, Tensor]:
        r = self.recipe
        warped, target = torch.from_numpy(as_input(seen.warped)), torch.from_numpy(as_input(seen.targets))
        own = torch.from_numpy(seen.embeddings)
        code = self.model.encoder(warped)
        generator = torch.Generator().manual_seed(r.seed * 1_000_003 + self.step)
        noisy = code + r.noise * torch.randn(code.shape, generator=generator)
        looks = torch.from_numpy(as_input(seen.looks))
        painted = self.model.decoder(noisy, own, looks).float()
        return {
            "l1": (self._centre * (painted - target).abs()).mean(),
            "gradient": r.gradient * (self._centre[..., 1:, 1:] * edge_gap(painted, target)).mean(),
            "texture": r.texture * texture_gap(self.judge, painted, target),
        }

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a fiftieth."""
        r = self.recipe
        if step < r.warmup:
            return r.rate * (step + 1) / r.warmup
        done = min((step - r.warmup) / max(1, r.steps - r.warmup), 1.0)
        return r.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def averaged(self) -> Swapper:
        """The weights averaged over the last steps, in evaluation mode: what is exported."""
        model = self.average.module
        assert isinstance(model, Swapper)
        return model.eval()

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    @staticmethod
    def load(path: Path, judge: Judge) -> "Trainer":
        """Go on from a checkpoint."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        trainer = Trainer(Recipe(**state["recipe"]), judge)
        trainer.step = state["step"]
        trainer.model.load_state_dict(state["model"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        return trainer


def _averaged(decay: float, average: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """An exponential average that forgets its first values faster."""
    return torch.lerp(new, average, min(decay, (1 + float(count)) / (10 + float(count))))


def export_stage(model: Swapper, path: Path) -> None:
    """Write an ONNX file: faces and looks (n, 3, 96, 96), embedding (n, 512) -> painted like faces."""
    face = torch.zeros(2, 3, SIZE, SIZE)
    part = path.with_suffix(".part")
    torch.onnx.export(
        model,
        (face, torch.zeros(2, EMBEDDING), face),
        str(part),
        input_names=["faces", "embedding", "looks"],
        output_names=["painted"],
        dynamic_axes={name: {0: "n"} for name in ("faces", "embedding", "looks", "painted")},
        opset_version=17,
        dynamo=False,
    )
    part.replace(path)


@torch.no_grad()
def preview(model: Swapper, faces: Faces, count: int = 8) -> NDArray[np.uint8]:
    """A sheet of faces, BGR: below each its re-synthesis, and what the next one's look (not moved) makes."""
    some = np.linspace(0, len(faces.faces) - 1, count).astype(int)
    border = (faces.faces.shape[1] - SIZE) // 2
    crops = faces.faces[some][:, border : border + SIZE, border : border + SIZE]
    x, own = torch.from_numpy(as_input(crops)), torch.from_numpy(faces.embeddings[some])
    again, swap = model(x, own, x).numpy(), model(x, own.roll(-1, 0), x.roll(-1, 0)).numpy()
    rows = [crops, [as_image(p) for p in again], [as_image(p) for p in swap]]
    return np.vstack([np.hstack(list(row)) for row in rows])


def run(trainer: Trainer, faces: Faces, out: Path, every: int = 250) -> None:
    """Train to the recipe's last step; checkpoint and preview every so many steps; write the stages."""
    begun, first, last = time.monotonic(), trainer.step, trainer.recipe.steps
    stages = {math.ceil(last * share / 100): out / f"stage_{share:03d}.onnx" for share in STAGES}
    recent: list[dict[str, float]] = []
    while trainer.step < last:
        seen = batch(faces, trainer.recipe.faces, trainer.recipe.seed, trainer.step)
        recent = [*recent[-99:], trainer.learn(seen)]
        step = trainer.step
        means = {k: round(float(np.mean([r[k] for r in recent if k in r])), 4) for r in recent for k in r}
        if step % 20 == 0 or step == last:
            left = (time.monotonic() - begun) / (step - first) * (last - step) / 60
            sys.stderr.write(f"\rstep {step}/{last}  {means}  {left:.1f} min left ")
            sys.stderr.flush()
        if step in stages:
            export_stage(trainer.averaged(), stages[step])
        if step % every == 0 or step == last:
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, **means}) + "\n")
            trainer.save(out / "checkpoint.pt")
            cv2.imwrite(str(out / "preview.png"), preview(trainer.averaged(), faces))


def main() -> None:
    """The command line."""
    usual = Recipe()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the unpacked archives")
    parser.add_argument("--prepared", type=Path, required=True, help="what models.prepare wrote")
    parser.add_argument("--recogniser", type=Path, required=True, help="weights of models.vggface2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    recogniser, table = args.out / "recogniser.onnx", args.out / "faces.npz"
    if not recogniser.exists():
        write_recogniser(args.recogniser, args.data, args.prepared, recogniser)
    faces = Faces.load(table) if table.exists() else gather(args.data, args.prepared, recogniser, table)
    judge, checkpoint = Judge(load_embedder(args.recogniser)), args.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer = Trainer.load(checkpoint, judge)
    else:
        trainer = Trainer(Recipe(steps=args.steps, seed=args.seed), judge)
    run(trainer, faces, args.out)


if __name__ == "__main__":
    main()
