"""How well one kind of fake teaches another: frozen features, a new last layer each, all tried on all.

    python -m models.transfer RUN/detector.pt --data DIR --prepared PREPARED [--json FILE]

As MesoNet and others have asked it of generators: the encoder stays as it is, a ridge logistic regression on
its features learns one kind (a family of made fakes, or a method of FaceForensics++, of the training people),
and is measured on every kind of the people held apart. Rows learn, columns are asked; the figure is the AUC
over crops.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import CropSpec
from models.dataset import Mix, Pairs
from models.fakes import Fakes
from models.family import restore
from models.metrics import auc
from models.probes import Probe, made_probes, method_probes, validation_probes
from models.trainer import to_tensor

RIDGE = 1e-2  # of the mean loss, on standardised features
FRAMES = 12  # of each video
AT_ONCE = 32


@torch.no_grad()
def features_of(encoder: torch.nn.Module, crops: NDArray[np.uint8], spec: CropSpec) -> Tensor:
    """(N, D)."""
    parts = [crops[i : i + AT_ONCE] for i in range(0, len(crops), AT_ONCE)]
    return torch.cat([encoder(to_tensor(part, spec)) for part in parts])


def last_layer(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """A logistic regression on standardised features: weights (D,) on raw ones, and what to subtract (D,)."""
    x = torch.cat([real, fake])
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    labels = torch.cat([torch.zeros(len(real)), torch.ones(len(fake))])
    balance = torch.where(labels > 0, 0.5 / len(fake), 0.5 / len(real))
    theta = torch.zeros(x.shape[1] + 1, requires_grad=True)
    solver = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")
    scaled = (x - mean) / spread

    def loss() -> Tensor:
        solver.zero_grad()
        logits = scaled @ theta[:-1] + theta[-1]
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        total = (each * balance).sum() + RIDGE * theta[:-1].square().sum()
        total.backward()
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return theta.detach()[:-1] / spread, mean


def lessons(pairs: Pairs, count: int) -> list[Probe]:
    """For each kind crops of the training people: `count` made pairs, or frames of FaceForensics++."""
    found = []
    assert pairs.fakes is not None
    for family in pairs.fakes.makers:
        alone = Fakes.of({family: pairs.fakes.makers[family]})
        only = replace(pairs, mix=replace(pairs.mix, labelled=0.0, families=(family,)), fakes=alone)
        rng = np.random.default_rng(3)
        made = [only.pair(rng) for _ in range(count)]
        found.append(Probe(family, np.stack([r for r, _ in made]), np.stack([f for _, f in made])))
    return found + method_probes(pairs, FRAMES, training=True)


def matrix(
    encoder: torch.nn.Module, spec: CropSpec, taught: list[Probe], asked: list[Probe]
) -> dict[str, dict[str, float]]:
    """AUC by the kind that was learnt and the kind that was asked."""
    answers = {p.name: [features_of(encoder, side, spec) for side in (p.real, p.fake)] for p in asked}
    result: dict[str, dict[str, float]] = {}
    for lesson in taught:
        real, fake = (features_of(encoder, side, spec) for side in (lesson.real, lesson.fake))
        weights, mean = last_layer(real, fake)
        result[lesson.name] = {
            name: round(auc((r - mean) @ weights, (f - mean) @ weights), 3)
            for name, (r, f) in answers.items()
        }
    return result


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown: rows learn, columns are asked."""
    columns = list(next(iter(found.values())))
    lines = [["learnt \\ asked", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(f"{row[c]:.2f}" for c in columns)] for name, row in found.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=250, help="made pairs of each family to learn from")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
        encoder, spec = restore(state).encoder, CropSpec(**state["spec"])
        pairs = Pairs.open(args.data, args.prepared, spec, 1, 1, Mix())
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"transfer: {error}\n")
        return 1
    taught = lessons(pairs, args.pairs)
    asked = made_probes(pairs, 150) + method_probes(pairs, FRAMES)
    found = matrix(encoder, spec, taught, asked + validation_probes(pairs, args.prepared, FRAMES))
    sys.stdout.write(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
