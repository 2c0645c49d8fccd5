"""Batch sizes that are run: an accelerator stalls on each shape that it has not met, so there are few."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

BUCKETS = (16, 8, 4, 2, 1)
WIDE = (64, 32, 16, 8, 4, 2, 1)  # for accelerators, which a small batch leaves idle

Cut = Callable[[int], list[int]]  # rows -> the sizes of the runs that take them; the last may hold padding


def exact(rows: int, buckets: Sequence[int] = BUCKETS) -> list[int]:
    """The largest buckets that fit, one after the other: nothing is padded, nothing computed in vain."""
    sizes = []
    while rows > 0:
        sizes.append(max(b for b in buckets if b <= rows))
        rows -= sizes[-1]
    return sizes


def padded(rows: int, buckets: Sequence[int] = WIDE) -> list[int]:
    """As few runs as can be: largest buckets, then the smallest that holds the rest; padding costs less."""
    full, rest = divmod(rows, max(buckets))
    return [max(buckets)] * full + [min(b for b in buckets if b >= rest)] * bool(rest)


def whole(rows: int) -> list[int]:
    """All rows in one run of just their number: where new shapes cost nothing."""
    return [rows] if rows else []


def fill(rows: NDArray, size: int) -> NDArray:
    """Rows (N, …) as (size, …): the last one again and again, zeros where there is none."""
    if len(rows) == size:
        return rows
    missing = size - len(rows)
    last = rows[-1:] if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, np.repeat(last, missing, axis=0)])


def in_runs(run: Callable[..., Sequence[NDArray]], arrays: Sequence[NDArray], cut: Cut) -> list[NDArray]:
    """Run over arrays (N, …) in the sizes that `cut` says; returns the outputs (N, …), without padding.

    No rows at all are one run of one row, which tells the outputs' shapes.
    """
    rows, parts, start = len(arrays[0]), [], 0
    for size in cut(rows) or [1]:
        taken = min(size, rows - start)
        outputs = run(*(fill(array[start : start + taken], size) for array in arrays))
        parts.append([output[:taken] for output in outputs])
        start += taken
    return [np.concatenate(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True)]
