"""The ROC curve and what is read off it: equal error rate, hits at a false-positive rate, AUC intervals."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def roc_curve(real: ArrayLike, fake: ArrayLike) -> tuple[Array, Array, Array]:
    """(false-positive rate, true-positive rate, threshold), from (0, 0) at +inf to (1, 1).

    A score is called fake at `threshold` and above. Equal scores of both sides make a slope, not a step.
    Raises ValueError where one side is empty.
    """
    r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if not len(r) or not len(f):
        raise ValueError("a ROC curve needs scores of both sides")
    thresholds = np.unique(np.concatenate([r, f]))[::-1]
    fpr = 1 - np.searchsorted(np.sort(r), thresholds, "left") / len(r)
    tpr = 1 - np.searchsorted(np.sort(f), thresholds, "left") / len(f)
    return np.r_[0.0, fpr], np.r_[0.0, tpr], np.r_[np.inf, thresholds]


def equal_error_rate(real: ArrayLike, fake: ArrayLike) -> float:
    """Where as many reals are called fake as fakes real, on the straight lines between the curve's points."""
    fpr, tpr, _ = roc_curve(real, fake)
    ahead = tpr + fpr - 1  # rises from -1 to 1; 0 where both errors are equal
    at = int(np.argmax(ahead >= 0))
    share = -ahead[at - 1] / (ahead[at] - ahead[at - 1])
    return float(fpr[at - 1] + share * (fpr[at] - fpr[at - 1]))


def tpr_at_fpr(real: ArrayLike, fake: ArrayLike, rate: float) -> float:
    """The largest share of fakes that a threshold finds which calls at most `rate` of the reals fake."""
    fpr, tpr, _ = roc_curve(real, fake)
    return float(tpr[fpr <= rate + 1e-12].max())


def auc_interval_by_video(
    real: Sequence[ArrayLike],
    fake: Sequence[ArrayLike],
    real_strata: Sequence[Hashable] | None = None,
    fake_strata: Sequence[Hashable] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval of the AUC over samples, whole videos drawn, each stratum apart.

    real, fake: one array of samples a video. strata: which folder each video is of; None: all of one.
    The samples of a video hang together, so it is videos that are drawn (a cluster bootstrap, Davison &
    Hinkley 1997, section 3.8). (nan, nan) where one side is empty. Raises ValueError for an empty video.
    """
    if not len(real) or not len(fake):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    wins, real_sizes, fake_sizes = _wins([np.asarray(x) for x in real], [np.asarray(x) for x in fake])
    often = _drawn(real_strata or [0] * len(real), draws, rng)  # (draws, R)
    fake_often = _drawn(fake_strata or [0] * len(fake), draws, rng)  # (draws, F)
    won = ((often @ wins) * fake_often).sum(1)
    values = won / ((often @ real_sizes) * (fake_often @ fake_sizes))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _wins(real: list[Array], fake: list[Array]) -> tuple[Array, Array, Array]:
    """(R, F) pairs of samples in which the fake is above, ties half; and the videos' numbers of samples."""
    real_sizes, fake_sizes = (np.array([len(x) for x in side], np.float64) for side in (real, fake))
    if not real_sizes.all() or not fake_sizes.all():
        raise ValueError("a video without a sample")
    together = np.concatenate(fake)
    starts = np.r_[0, np.cumsum(fake_sizes)[:-1]].astype(int)
    rows = []
    for values in real:
        ordered = np.sort(values)
        below = np.searchsorted(ordered, together, "left") + np.searchsorted(ordered, together, "right")
        rows.append(np.add.reduceat(below / 2, starts))
    return np.stack(rows), real_sizes, fake_sizes


def _drawn(strata: Sequence[Hashable], draws: int, rng: np.random.Generator) -> Array:
    """(draws, N) how often each video is drawn: as many of each stratum as there are."""
    counts = np.zeros((draws, len(strata)))
    for stratum in dict.fromkeys(strata):
        members = [i for i, s in enumerate(strata) if s == stratum]
        counts[:, members] = rng.multinomial(len(members), [1 / len(members)] * len(members), draws)
    return counts
