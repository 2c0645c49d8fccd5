"""Figures of merit for a detector: ROC AUC, its interval, pairs, thresholds at a false-positive rate."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(real: ArrayLike, fake: ArrayLike) -> float:
    """How often a fake scores above a real, ties half (Mann-Whitney U); nan where one side is empty."""
    r, f = np.sort(np.asarray(real, np.float64)), np.asarray(fake, np.float64)
    if not len(r) or not len(f):
        return float("nan")
    below = np.searchsorted(r, f, "left") + np.searchsorted(r, f, "right")
    return float(below.mean() / (2 * len(r)))


def auc_interval(
    real: ArrayLike, fake: ArrayLike, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The AUC's percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13); each side is drawn apart."""
    r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if not len(r) or not len(f):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = [auc(rng.choice(r, len(r)), rng.choice(f, len(f))) for _ in range(draws)]
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def pairs_right(real: dict[str, float], fake: dict[str, float]) -> tuple[int, int]:
    """Of the names in both: in how many the fake scores above its own real, and how many there are."""
    both = sorted(real.keys() & fake.keys())
    return sum(fake[n] > real[n] for n in both), len(both)


def threshold_at(real: ArrayLike, rate: float) -> float:
    """The score that at most `rate` of the reals exceed."""
    values: NDArray[np.float64] = np.sort(np.asarray(real, np.float64))
    if not len(values):
        raise ValueError("no real scores to choose a threshold on")
    allowed = int(np.floor(rate * len(values)))
    return float(values[len(values) - 1 - allowed])
