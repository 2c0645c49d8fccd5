"""The frame AUC by how the face stood in the picture: its size, its sharpness, how far it is turned. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.metrics import auc
from models.roc import auc_interval_by_video
from models.watched import Sample, Watched

# Where the bins begin; each ends where the next one begins, the last has no end.
SIZES = (0.0, 100.0, 150.0, 220.0)  # px, the longer side of the box
SHARPNESSES = (0.0, 75.0, 150.0, 300.0)  # variance of the Laplacian at 64 px; below 25 a crop weighs less
YAWS = (0.0, 8.0, 16.0, 25.0)  # degrees to either side; from 25 on a crop weighs less

BINS: dict[str, tuple[tuple[float, ...], Callable[[Sample], float | None]]] = {
    "size": (SIZES, lambda s: s.size),
    "sharpness": (SHARPNESSES, lambda s: s.sharpness),
    "yaw": (YAWS, lambda s: None if s.yaw is None else abs(s.yaw)),
}

LEAST = 3  # videos of each side in a bin: fewer are no statistic


def by_face(real: Sequence[Watched], fake: Sequence[Watched]) -> dict[str, list[dict[str, Any]]]:
    """For size, sharpness and yaw: the frame AUC in each bin, whole videos drawn for its interval.

    Both are None where a bin holds fewer than LEAST videos of a side.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (edges, measure) in BINS.items():
        found[name] = []
        for low, high in zip(edges, (*edges[1:], None), strict=True):
            sides = [_within(side, measure, low, high) for side in (real, fake)]
            found[name].append({"from": low, "to": high, **_figures(*sides)})
    return found


def _within(
    side: Sequence[Watched], measure: Callable[[Sample], float | None], low: float, high: float | None
) -> list[list[float]]:
    """The scores of each video's samples for which low <= measure < high."""
    end = float("inf") if high is None else high
    known = [[(measure(sample), sample.value) for sample in w.samples] for w in side]
    return [[v for m, v in samples if m is not None and low <= m < end] for samples in known]


def _figures(real: list[list[float]], fake: list[list[float]]) -> dict[str, Any]:
    r, f = ([np.array(values) for values in side if values] for side in (real, fake))
    enough = min(len(r), len(f)) >= LEAST
    return {
        "frame_auc": auc(np.concatenate(r), np.concatenate(f)) if enough else None,
        "frame_auc_ci": auc_interval_by_video(r, f, draws=500) if enough else None,
        "samples_real": sum(map(len, r)),
        "samples_fake": sum(map(len, f)),
        "videos": len(r) + len(f),
    }
