"""Gives an exported detector a judge of single pictures, fitted on what its own encoder sees.

    python -m export.still DETECTOR.onnx --data DIR --prepared PREPARED -o OUT.onnx [--batches 150]

The temporal head has learnt from windows; one picture shown to it again and again would be a film in which
nothing moves, which no camera makes. So a still has a judge of its own: a linear one (a probe, Alain & Bengio
2017, https://arxiv.org/abs/1610.01644) on the first eye's features, fitted on made and labelled pairs of the
training people, and calibrated on people held apart: pairs made of stills, and frames of videos. Nothing else
in the file is changed.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from export.card import CARD_KEY, Card, Still, Thresholds
from export.detector import Detector, open_detector
from export.errors import ModelError
from export.join import save, without_map
from models.calibrate import fit_platt, probability, thresholds
from models.dataset import Pairs
from models.exam import Exam
from models.metrics import auc

SEED, PAIRS = 13, 16  # of the batches
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # on the squared weights of features at unit spread
FOLDS = 5

Features = NDArray[np.float32]  # (N, D), the first eye's
Side = tuple[Features, int, str]  # features, label (1 = fake), where they come from


def fit_frame(features: Features, labels: NDArray[np.float32], penalty: float) -> NDArray[np.float64]:
    """Ridge-penalised logistic regression by Newton's method: (N, D), (N,) -> weights and offset (D + 1,)."""
    usual, spread = features.mean(0), features.std(0) + 1e-6
    x = np.hstack([(features - usual) / spread, np.ones((len(features), 1))]).astype(np.float64)
    ridge = np.r_[np.full(features.shape[1], penalty), 1e-6]
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (p - labels) / len(x) + ridge * theta
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(x) + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = theta[:-1] / spread
    return np.r_[weights, theta[-1] - weights @ usual]


def choose_penalty(features: Features, labels: NDArray[np.float32]) -> float:
    """The penalty with the best AUC over folds; a real and the fake made of it lie in one fold."""
    folds = np.arange(len(features)) * FOLDS // len(features)

    def worth(penalty: float) -> float:
        found = []
        for fold in range(FOLDS):
            theta = fit_frame(features[folds != fold], labels[folds != fold], penalty)
            said, asked = features[folds == fold] @ theta[:-1], labels[folds == fold]
            found.append(auc(said[asked == 0], said[asked == 1]))
        return float(np.mean(found))

    return max(PENALTIES, key=worth)


def first_eye(detector: Detector, crops: NDArray[np.uint8]) -> Features:
    """Features (N, D) of the first eye alone; the second does not look."""
    width = detector.card.features - (detector.card.second.features if detector.card.second else 0)
    return detector.encode(crops, np.zeros(len(crops), bool))[:, :width]


def learn(detector: Detector, pairs: Pairs, batches: int) -> tuple[Features, NDArray[np.float32]]:
    """Features of the training people's pairs (N, D), and labels (N,)."""
    features, labels, begin = [], [], time.monotonic()
    for step in range(batches):
        crops, truth = pairs.batch(step)
        features.append(first_eye(detector, crops))
        labels.append(truth)
        left = (time.monotonic() - begin) / (step + 1) * (batches - step - 1) / 60
        sys.stderr.write(f"\r{step + 1} of {batches} batches, {left:.1f} min left ")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return np.concatenate(features), np.concatenate(labels)


def held_apart(detector: Detector, pairs: Pairs, made: int, frames: int) -> Iterator[Side]:
    """The crops that calibrate: pairs made of held-apart stills, frames of held-apart videos as they are."""
    exam = Exam.make(pairs, frames, made)
    yield first_eye(detector, exam.made_real), 0, "stills"
    yield first_eye(detector, exam.made_fake), 1, "stills"
    yield first_eye(detector, exam.real), 0, "frames"
    yield first_eye(detector, exam.fake), 1, "frames"


def calibrated(theta: NDArray[np.float64], sides: Sequence[Side]) -> tuple[Still, dict[str, Any]]:
    """The judge for even odds with its thresholds, and the figures that it gives on the same crops.

    theta (D + 1,) as `fit_frame` gives it. Raises ValueError where it does not rise with the label.
    """
    logits = np.concatenate(
        [features.astype(np.float64) @ theta[:-1] + theta[-1] for features, _, _ in sides]
    )
    labels = np.concatenate([np.full(len(features), label) for features, label, _ in sides])
    kinds = np.concatenate([np.full(len(features), kind) for features, _, kind in sides])
    temperature, bias = fit_platt(logits, labels)
    scores = probability(logits, temperature, bias)
    pairs = thresholds(scores[labels == 0])
    figures: dict[str, Any] = {"crops_real": int((labels == 0).sum()), "crops_fake": int(labels.sum())}
    for kind in sorted(set(kinds.tolist())):
        of_kind = kinds == kind
        worth = auc(scores[of_kind & (labels == 0)], scores[of_kind & (labels == 1)])
        figures[f"auc_{kind}"] = round(worth, 3)
    for name in ("suspicious_on", "alert_on"):
        for side, word in ((0, "false"), (1, "true")):
            figures[f"{name}_{word}_rate"] = round(float((scores[labels == side] > pairs[name]).mean()), 4)
    weights = tuple(float(w) for w in theta[:-1] / temperature)
    return Still(weights, float(theta[-1] / temperature + bias), Thresholds(**pairs)), figures


def write(model: Path, out: Path, still: Still, figures: dict[str, Any]) -> None:
    """The file with the judge and its figures in its card. Raises ValueError for a file without a card."""
    file = onnx.load(model)
    properties = {p.key: p.value for p in file.metadata_props}
    card = Card.from_json(properties[CARD_KEY])
    without_map(file.graph)  # it told the old judge's reasons; export.maps adds it anew
    card = replace(card, still=still, map=None, validation={**card.validation, "held_apart_stills": figures})
    save(file, card, out)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.still",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DETECTOR.onnx")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=150, help=f"of {PAIRS} pairs (default 150)")
    parser.add_argument("--made", type=int, default=300, help="held-apart pairs made of stills (default 300)")
    parser.add_argument("--frames", type=int, default=12, help="of each held-apart video (default 12)")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    try:
        detector = open_detector(args.model)
        pairs = Pairs.open(args.data, args.prepared, detector.card.crop, PAIRS, SEED)
        features, labels = learn(detector, pairs, args.batches)
        penalty = choose_penalty(features, labels)
        sides = list(held_apart(detector, pairs, args.made, args.frames))
        still, figures = calibrated(fit_frame(features, labels, penalty), sides)
        figures |= {"penalty": penalty, "learnt_from_crops": len(labels)}
        write(args.model, args.out, still, figures)
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"still: {error}\n")
        return 1
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
