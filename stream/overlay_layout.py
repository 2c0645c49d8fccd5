"""Finds a place for each label: inside the picture, over no other label, if possible over no face."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]  # (N, 4) x1 y1 x2 y2 px


def overlaps(rects: Rects, others: Rects) -> NDArray[np.float64]:
    """Area in px that each of `rects` (N, 4) shares with each of `others` (M, 4): (N, M)."""
    low = np.maximum(rects[:, None, :2], others[None, :, :2])
    high = np.minimum(rects[:, None, 2:], others[None, :, 2:])
    common = np.maximum(high - low, 0)
    return common[..., 0] * common[..., 1]


def gap_between(rects: Rects, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in px from each of `rects` (N, 4) to `box` (4,); 0 where they touch."""
    away = np.maximum(np.maximum(rects[:, :2] - box[2:], box[:2] - rects[:, 2:]), 0)
    return np.hypot(away[:, 0], away[:, 1])


def place(
    sizes: Sequence[tuple[int, int]],
    penalties: Sequence[float],
    box: NDArray[np.float64],
    taken: Rects,
    faces: Rects,
    picture: tuple[int, int],
    em: int,
) -> tuple[int, int, int] | None:
    """Choose one of several forms of a label, and where it goes.

    sizes: (width, height) px of each form, the fullest first; penalties: what each costs. box: (4,) the face,
    inside the picture. taken: (N, 4) plates that may not be covered. faces: (M, 4) boxes better not covered.
    picture: (width, height) px. Returns the form's index and its left upper corner (x, y), or None: no room.
    """
    best, found = np.inf, None
    gap, margin = max(em // 4, 2), max(em // 4, 1)
    areas = np.maximum((faces[:, 2] - faces[:, 0]) * (faces[:, 3] - faces[:, 1]), 1.0)
    for form, (width, height) in enumerate(sizes):
        if penalties[form] >= best:
            continue
        room = picture[0] - margin - width, picture[1] - margin - height
        if min(room) < margin:
            continue
        corners = np.clip(_candidates(box, taken, width, height, gap).round(), margin, room)
        rects = np.hstack([corners, corners + np.array([width, height])])
        away = gap_between(rects, box)
        covered = overlaps(rects, faces)
        cost = penalties[form] + 0.02 * np.minimum(np.arange(len(rects)), 12) + 0.12 * away / em
        cost += 1.5 * covered.sum(axis=1) / (width * height) + 2 * (covered / areas).sum(axis=1)
        blocked = overlaps(rects, taken + np.array([-gap, -gap, gap, gap]) / 2).any(axis=1)
        cost[blocked | (away > 8 * em)] = np.inf
        choice = int(np.argmin(cost))
        if cost[choice] < best:
            best, found = cost[choice], (form, int(corners[choice, 0]), int(corners[choice, 1]))
    return found


def _candidates(
    box: NDArray[np.float64], taken: Rects, width: int, height: int, gap: int
) -> NDArray[np.float64]:
    """Left upper corners worth a look, the best liked first: around the box, in it, beside what is taken."""
    x1, y1, x2, y2 = box
    around = [
        (x1, y1 - gap - height),
        (x2 - width, y1 - gap - height),
        (x1, y2 + gap),
        (x2 - width, y2 + gap),
        (x2 + gap, y1),
        (x1 - gap - width, y1),
        (x2 + gap, y2 - height),
        (x1 - gap - width, y2 - height),
        (x1 + gap, y2 - gap - height),
        (x1 + gap, y1 + gap),
    ]
    base = np.array(around, np.float64)
    if not len(taken):
        return base
    left, right = taken[:, 0] - gap - width, taken[:, 2] + gap
    over, under = taken[:, 1] - gap - height, taken[:, 3] + gap
    beside_x = np.concatenate([left, right, base[[0, 1, 4, 5], 0]])
    beside_y = np.concatenate([over, under, base[[0, 2, 4, 6], 1]])
    return np.concatenate(
        [base, _grid(beside_x, base[[0, 2, 4, 6], 1]), _grid(base[[0, 1, 4, 5], 0], beside_y)]
    )


def _grid(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    """All points (N, 2) of these columns and rows, row by row."""
    points = np.empty((len(ys), len(xs), 2))
    points[..., 0], points[..., 1] = xs, ys[:, None]
    return points.reshape(-1, 2)
