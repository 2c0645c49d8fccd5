"""What each family of fakes adds: short trainings with all of them, with each left out.

    python -m models.ablation --data DIR --prepared PREPARED --out DIR [--core-minutes 3] [--size 128]

Each run is the default's encoder from its usual start, with the same budget and the same seed; it may be
stopped and run again. The figure is the AUC over crops of people held apart, by family and by FaceForensics++
method. The folders that are never trained on are reported beside them; nothing is chosen by those.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import torch

from models.dataset import Mix, Pairs
from models.exam import Exam
from models.metrics import auc
from models.probes import Probe, made_probes, method_probes, validation_probes
from models.recipes import Recipe, recipe_for
from models.train import open_pairs, train_encoder
from models.trainer import Trainer
from models.transfer import FRAMES, table

NETWORK = "efficientnet_lite0"
EVERYTHING = "all families"


def runs(families: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The families that each run is trained with, by its name."""
    without = {f"without {f}": tuple(x for x in families if x != f) for f in families}
    return {EVERYTHING: tuple(families), **without}


def trained(args: argparse.Namespace, name: str, recipe: Recipe) -> Trainer:
    """One run, gone on with where it was stopped."""
    out = args.out / name.replace(" ", "_")
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    trainer = Trainer.load(checkpoint) if checkpoint.exists() else Trainer(recipe)
    opened = partial(open_pairs, args.data, args.prepared, trainer.recipe)
    if trainer.share < 1:
        train_encoder(trainer, opened, Exam.make(opened(), frames=2, made=16), out)
    return trainer


def answers(trainer: Trainer, asked: Sequence[Probe]) -> dict[str, float]:
    """AUC over crops, by probe."""
    return {p.name: round(auc(trainer.scores(p.real), trainer.scores(p.fake)), 3) for p in asked}


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--core-minutes", type=float, default=3.0, help="CPU time of each run's training")
    parser.add_argument("--size", type=int, default=128, help="px, the side of a crop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    # Of a run's core-minutes models.budget gives a share to the head, which is not trained here.
    recipe = replace(recipe_for(NETWORK, core_minutes=args.core_minutes), size=args.size)
    try:
        pairs = Pairs.open(args.data, args.prepared, recipe.spec, 1, recipe.seed, Mix())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"ablation: {error}\n")
        return 1
    assert pairs.fakes is not None
    asked = made_probes(pairs, 150) + method_probes(pairs, FRAMES)
    asked += validation_probes(pairs, args.prepared, FRAMES)
    found: dict[str, dict[str, float]] = {}
    for name, families in runs(list(pairs.fakes.makers)).items():
        found[name] = answers(trained(args, name, replace(recipe, families=families)), asked)
        sys.stderr.write(f"\n{name}: {json.dumps(found[name])}\n")
        (args.out / "ablation.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(table(found).replace("learnt \\ asked", "trained with"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
