"""What a threshold does: the confusion matrix and its figures, and intervals of shares and of rates."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

NORMAL_95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many videos stand where; "positive" is called fake. Figures without a denominator are nan."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @staticmethod
    def at(threshold: float, real: ArrayLike, fake: ArrayLike) -> "Confusion":
        """A score at the threshold or above is called fake."""
        r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
        found, alarmed = int((f >= threshold).sum()), int((r >= threshold).sum())
        return Confusion(found, alarmed, len(f) - found, len(r) - alarmed)

    @property
    def accuracy(self) -> float:
        """The share that is called what it is."""
        right = self.true_positives + self.true_negatives
        return _share(right, right + self.false_positives + self.false_negatives)

    @property
    def balanced_accuracy(self) -> float:
        """The accuracy if there were as many reals as fakes."""
        return (self.recall + _share(self.true_negatives, self.true_negatives + self.false_positives)) / 2

    @property
    def precision(self) -> float:
        """The share of fakes among what is called fake."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """The share of the fakes that is called fake."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        errors = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + errors)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def wilson_interval(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (nan, nan) without a try."""
    if not tries:
        return float("nan"), float("nan")
    z2 = NORMAL_95**2
    centre = (hits + z2 / 2) / (tries + z2)
    half = NORMAL_95 / (tries + z2) * math.sqrt(hits * (tries - hits) / tries + z2 / 4)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a Poisson mean of which `count` events were seen (Garwood 1936)."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _mean_where(lambda mean: 1 - _poisson_cdf(count - 1, mean) >= tail, count)
    return low, _mean_where(lambda mean: _poisson_cdf(count, mean) <= tail, count)


def _mean_where(reached: Callable[[float], bool], count: int) -> float:
    """The smallest mean from which on `reached` holds, by bisection."""
    low, high = 0.0, 10.0 + 2 * count + 10 * math.sqrt(count)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _poisson_cdf(count: int, mean: float) -> float:
    if mean == 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
