"""Figures of merit while training: ROC AUC, and the threshold at a false-positive rate."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(real: ArrayLike, fake: ArrayLike) -> float:
    """How often a fake scores above a real, ties half (Mann-Whitney U); nan where one side is empty."""
    r, f = np.sort(np.asarray(real, np.float64)), np.asarray(fake, np.float64)
    if not len(r) or not len(f):
        return float("nan")
    below = np.searchsorted(r, f, "left") + np.searchsorted(r, f, "right")
    return float(below.mean() / (2 * len(r)))


def threshold_at(real: ArrayLike, rate: float) -> float:
    """The score that at most `rate` of the reals exceed."""
    values: NDArray[np.float64] = np.sort(np.asarray(real, np.float64))
    if not len(values):
        raise ValueError("no real scores to choose a threshold on")
    allowed = int(np.floor(rate * len(values)))
    return float(values[len(values) - 1 - allowed])


def balanced_accuracy(scores: ArrayLike, labels: ArrayLike) -> float:
    """How many are right at even odds, both sides weighed alike. scores: probabilities; labels: 1 = fake."""
    right = (np.asarray(scores) > 0.5) == (np.asarray(labels) > 0.5)
    return _balanced(right, labels)


def balanced_log_loss(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean -log of the probability given to the truth, real and fake weighed alike; guessing gives 0.69."""
    p = np.clip(np.asarray(scores, np.float64), 1e-7, 1 - 1e-7)
    return _balanced(-np.log(np.where(np.asarray(labels) > 0.5, p, 1 - p)), labels)


def _balanced(values: ArrayLike, labels: ArrayLike) -> float:
    v, fake = np.asarray(values, np.float64), np.asarray(labels) > 0.5
    sides = [v[side].mean() for side in (fake, ~fake) if side.any()]
    return float(np.mean(sides)) if sides else float("nan")
