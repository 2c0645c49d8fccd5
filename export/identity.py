"""Calibrates "is this the enrolled person?" and "does the identity drift?" for a detector, and puts both into
its card.

    python -m export.identity DETECTOR.onnx --data DIR --prepared PREPARED -o DETECTOR.onnx

The detector's second eye gives a face recogniser's embedding of the whole crop among its features
(models.identity_eye): nothing more is computed. Likeness is the cosine between the mean embedding of a window
and the mean of the reference pictures. Same person: two portraits of one sitting, the first as it is and the
second as a call would have it, and the beginning of a real video against its later windows. Another person:
all pairs across. People are split in halves by the hash of their name: one calibrates (Platt's sigmoid for
even odds, thresholds), the other is measured. Drift is 1 - cosine between a window and the track's first one;
its threshold comes from real videos that may be learnt from, and it is measured on fakes.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from export.card import Card, Likeness
from export.detector import open_detector
from export.errors import ModelError
from export.identity_people import SEED, Floats, Looker, Person, filmed, sitters, windows
from export.join import save
from models.calibrate import fit_platt
from models.dataset import Pairs
from models.metrics import auc
from models.splits import NEVER_TRAINED, folder_of, is_fake, prepared_videos

FALSE_MATCH, TOLD_NO = 0.001, 0.9  # of strangers: who get a yes, and who get a no; the rest cannot be told
DRIFT_RATE = 0.01  # of windows of real video that may count as drifting
DRAWS = 300  # of the bootstrap


def cosines(people: Sequence[Person]) -> tuple[list[NDArray], list[NDArray]]:
    """For each enrolled person the cosines of the own windows, and those of everybody else's."""
    same, other = [], []
    for person in people:
        if person.enrolled is not None:
            same.append(person.windows @ person.enrolled)
            rest = [p.windows @ person.enrolled for p in people if p.name != person.name]
            other.append(np.concatenate(rest))
    return same, other


def figures(same: list[NDArray], other: list[NDArray]) -> dict[str, Any]:
    """EER, and how many of the same are known at two rates of false matches; 95 % intervals over people."""
    rng = np.random.default_rng(SEED)

    def one(chosen: NDArray[np.int64]) -> tuple[float, float, float]:
        mine, others = (np.concatenate([side[i] for i in chosen]) for side in (same, other))
        limits = np.quantile(others, [0.99, 0.999])
        grid = np.quantile(np.concatenate([mine, others]), np.linspace(0, 1, 400))
        gaps = [abs((mine < t).mean() - (others >= t).mean()) for t in grid]
        best = grid[int(np.argmin(gaps))]
        eer = ((mine < best).mean() + (others >= best).mean()) / 2
        return float(eer), float((mine >= limits[0]).mean()), float((mine >= limits[1]).mean())

    point = one(np.arange(len(same)))
    drawn = np.array([one(rng.integers(len(same), size=len(same))) for _ in range(DRAWS)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    names = ("eer", "known_at_1_percent_false", "known_at_0.1_percent_false")
    told: dict[str, Any] = {"people": len(same), "windows": sum(map(len, same))}
    for k, name in enumerate(names):
        told[name] = [round(v, 4) for v in (point[k], float(low[k]), float(high[k]))]
    return told


def calibrated(people: Sequence[Person]) -> tuple[tuple[float, float, float, float], dict[str, Any]]:
    """Platt's weight and bias, the thresholds "yes" and "no", and the figures of the other half.

    Raises ValueError where either half has nobody.
    """
    same, other = cosines([p for p in people if p.fits])
    asked, strangers = cosines([p for p in people if not p.fits])
    if not same or not asked:
        raise ValueError("too few people with two pictures or a video")
    mine, others = np.concatenate(same), np.concatenate(other)
    both, labels = np.concatenate([mine, others]), np.repeat([1, 0], [len(mine), len(others)])
    temperature, bias = fit_platt(both, labels)
    yes = float(np.quantile(others, 1 - FALSE_MATCH))
    no = min(float(np.quantile(others, TOLD_NO)), yes)
    told = figures(asked, strangers)
    known, unknown = np.concatenate(asked), np.concatenate(strangers)
    told["answers"] = {
        "same": _answers(known, yes, no),
        "other": _answers(unknown, yes, no),
    }
    return (1 / temperature, bias, yes, no), told


def _answers(values: NDArray, yes: float, no: float) -> dict[str, float]:
    told = {"yes": (values >= yes).mean(), "no": (values < no).mean()}
    return {name: round(float(share), 4) for name, share in told.items()}


def drifts(looker: Looker, prepared: Path, yes: float, no: float) -> tuple[float, dict[str, Any]]:
    """The threshold of drift, from real videos that may be learnt from, and what both say of fakes.

    Of drift: AUC by video and how many lie beyond. Of likeness: a fake's windows against the first window of
    the real video that it was made of, which shows who should be there.
    """
    found: dict[str, Floats] = {}
    paths = prepared_videos(prepared)
    for number, path in enumerate(paths, 1):
        each = windows(looker, path)
        if len(each) > 1:
            found[path.stem] = each
        sys.stderr.write(f"\r{number} of {len(paths)} videos ")
    sys.stderr.write("\n")
    drift = {name: 1 - each[1:] @ each[0] for name, each in found.items()}
    real = [d for name, d in drift.items() if not is_fake(name) and folder_of(name) not in NEVER_TRAINED]
    limit = float(np.quantile(np.concatenate(real), 1 - DRIFT_RATE))
    told: dict[str, Any] = {}
    for folder in sorted({folder_of(name) for name in found if is_fake(name)}):
        names = [name for name in found if folder_of(name) == folder]
        sides = [np.array([drift[n].max() for n in names if is_fake(n) == fake]) for fake in (False, True)]
        told[folder] = {
            "videos": [len(side) for side in sides],
            "drift_auc": round(auc(*sides), 3),
            "drift_beyond": [round(float((side > limit).mean()), 3) for side in sides],
            "fakes_of_the_enrolled": _swapped(names, found, yes, no),
        }
    return limit, told


def _swapped(names: Sequence[str], found: dict[str, Floats], yes: float, no: float) -> dict[str, Any]:
    """What is said of fakes whose own real person is enrolled:

    the shares of windows, by what made the fake.
    """
    asked: dict[str, list[NDArray]] = defaultdict(list)
    for name in filter(is_fake, names):
        parts = name.split("__")
        target = parts[-1].split("_")[0] if folder_of(name) == "faceforensics" else parts[-1]
        own = [
            n for n in names if not is_fake(n) and n.split("__")[-1] == target and n.split("__")[1] in parts
        ]
        own = own or [n for n in names if not is_fake(n) and n.split("__")[-1] == target]
        if own:
            kind = parts[3] if folder_of(name) == "faceforensics" else "all"
            asked[kind].append(found[name] @ found[own[0]][0])
    return {
        kind: {"videos": len(each), **_answers(np.concatenate(each), yes, no)} for kind, each in asked.items()
    }


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.identity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DETECTOR.onnx")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(0)
    try:
        looker = Looker(open_detector(args.model))
        pairs = Pairs.open(args.data, args.prepared, looker.detector.card.crop, 1, SEED)
        people = sitters(looker, pairs) + filmed(looker, args.prepared)
        (weight, bias, yes, no), told = calibrated(people)
        limit, told["fakes"] = drifts(looker, args.prepared, yes, no)
        card: Card = looker.detector.card
        likeness = Likeness(looker.start, looker.width, weight, bias, yes, no, limit)
        card = replace(card, likeness=likeness, validation={**card.validation, "likeness": told})
        save(onnx.load(args.model), card, args.out)
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"identity: {error}\n")
        return 1
    sys.stdout.write(
        json.dumps({"yes_from": yes, "no_below": no, "drift_from": limit, **told}, indent=1) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
