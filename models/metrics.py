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
