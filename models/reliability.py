"""Whether a probability means what it says: log-loss and calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
CLIP = 1e-6  # a probability of 0 or 1 that is wrong costs 13.8, not infinity


def even_odds(labels: ArrayLike) -> Array:
    """Weights under which both classes count the same, as the card's calibration has them; (N,), mean 1."""
    y = np.asarray(labels, bool)
    if not y.any() or y.all():
        raise ValueError("even odds need both classes")
    return np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))


def log_loss(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The mean of -log of the probability given to what was true; nan without samples."""
    p, y, w = _three(probabilities, labels, weights)
    given = np.clip(np.where(y, p, 1 - p), CLIP, 1)
    return float((-np.log(given) * w).sum() / w.sum()) if len(p) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Probabilities sorted into bins of equal width; empty bins are left out."""

    predicted: Array  # (K,) mean probability
    observed: Array  # (K,) share of fakes
    weight: Array  # (K,) share of the samples, sums to 1

    @staticmethod
    def of(
        probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, bins: int = 10
    ) -> "Reliability":
        """Bins are [0, 0.1), [0.1, 0.2) … [0.9, 1]."""
        p, y, w = _three(probabilities, labels, weights)
        place = np.minimum((p * bins).astype(int), bins - 1)
        total, ps, ys = (np.bincount(place, v, bins) for v in (w, w * p, w * y))
        used = total > 0
        return Reliability(ps[used] / total[used], ys[used] / total[used], total[used] / total.sum())

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al. 2015): the mean distance of the two; nan if empty."""
        return (
            float((np.abs(self.predicted - self.observed) * self.weight).sum())
            if len(self.weight)
            else float("nan")
        )


def _three(
    probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[Array, NDArray[np.bool_], Array]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, bool)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    if not len(p) == len(y) == len(w):
        raise ValueError(f"{len(p)} probabilities, {len(y)} labels and {len(w)} weights")
    if ((p < 0) | (p > 1)).any():
        raise ValueError("a probability outside 0..1")
    return p, y, w
