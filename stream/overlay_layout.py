"""Finds a place for each label: inside the picture, over no other label, if possible over no face."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # x1 y1 x2 y2 px; x2 and y2 are outside
Rects = NDArray[np.float64]  # (N, 4) x1 y1 x2 y2 px
Choice = tuple[int, int, int]  # the index of a label's form, and its left upper corner x, y px

# What a place costs, beside the penalty of the label's form.
LIKING, DISLIKED = 0.02, 12  # for each place that is liked better, of so many at most
DISTANCE = 0.12  # for each em between the label and its face
HIDING, HIDDEN = 1.5, 2.0  # for the share of the label that lies over faces, for the shares of faces under it
FARTHEST = 8  # em between a label and its face


def common(one: Box, other: Box) -> int:
    """Area in px that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0


def gap_between(one: Box, other: Box) -> float:
    """Distance in px between two boxes; 0 where they touch."""
    away_x = max(one[0] - other[2], other[0] - one[2], 0)
    away_y = max(one[1] - other[3], other[1] - one[3], 0)
    return math.hypot(away_x, away_y)


@dataclass(frozen=True, slots=True)
class Label:
    """A label that wants a place, in one of several forms, and what the picture holds already."""

    sizes: Sequence[tuple[int, int]]  # (width, height) px of each form, the fullest first
    penalties: Sequence[float]  # what each form costs
    box: Box  # the face, inside the picture
    taken: Sequence[Box]  # plates that may not be covered
    faces: Sequence[Box]  # better not covered
    picture: tuple[int, int]  # (width, height) px
    em: int  # px

    @property
    def gap(self) -> int:
        """px between it and what is beside it."""
        return max(self.em // 4, 2)

    @property
    def margin(self) -> int:
        """px between it and the picture's edge."""
        return max(self.em // 4, 1)


def place(label: Label) -> Choice | None:
    """Choose a label's form and where it goes: the choice that costs least. None: there is no room."""
    # Nearly always one of the first places is free and cannot be undercut; to weigh all takes far longer.
    return at_once(label) or of_all(label)


def at_once(label: Label) -> Choice | None:
    """As `place`, of the first form's places around the face alone; None where another may cost less."""
    penalty, em, gap, margin = label.penalties[0], label.em, label.gap, label.margin
    width, height = label.sizes[0]
    room_x, room_y = label.picture[0] - margin - width, label.picture[1] - margin - height
    if min(room_x, room_y) < margin:
        return None
    around = _around(label.box, width, height, gap)
    best = min([penalty + LIKING * len(around), *label.penalties[1:]])  # what all others cost at least
    found = None
    for index, (left, top) in enumerate(around):
        cost = penalty + LIKING * index
        if cost >= best:
            break
        x, y = min(max(left, margin), room_x), min(max(top, margin), room_y)
        rect = x, y, x + width, y + height
        cost += DISTANCE * gap_between(rect, label.box) / em + _hides(rect, label.faces)
        if cost < best and _is_free(rect, label.taken, gap):
            best, found = cost, (0, x, y)
    return found


def _hides(rect: Box, faces: Sequence[Box]) -> float:
    covered = [(common(rect, face), face) for face in faces]
    share = sum(area for area, _ in covered) / ((rect[2] - rect[0]) * (rect[3] - rect[1]))
    return HIDING * share + HIDDEN * sum(
        area / max((face[2] - face[0]) * (face[3] - face[1]), 1) for area, face in covered if area
    )


def _is_free(rect: Box, taken: Sequence[Box], gap: int) -> bool:
    """Whether a plate keeps half a gap from all others."""
    # Doubled, so that half a gap is whole.
    doubled = tuple(2 * v for v in rect)
    return not any(
        doubled[0] < 2 * x2 + gap
        and 2 * x1 - gap < doubled[2]
        and doubled[1] < 2 * y2 + gap
        and 2 * y1 - gap < doubled[3]
        for x1, y1, x2, y2 in taken
    )


def of_all(label: Label) -> Choice | None:
    """As `place`, of all places of all forms: in a crowd there are hundreds."""
    best, found = np.inf, None
    em, gap, margin = label.em, label.gap, label.margin
    face, plates, others = _rects([label.box]), _rects(label.taken), _rects(label.faces)
    areas = np.maximum((others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1]), 1.0)
    for form, (width, height) in enumerate(label.sizes):
        penalty = label.penalties[form]
        if penalty >= best:
            continue
        room = label.picture[0] - margin - width, label.picture[1] - margin - height
        if min(room) < margin:
            continue
        corners = np.clip(_candidates(label.box, plates, width, height, gap), margin, room)
        rects = np.hstack([corners, corners + np.array([width, height])])
        away = _gaps(rects, face[0])
        covered = _overlaps(rects, others)
        cost = penalty + LIKING * np.minimum(np.arange(len(rects)), DISLIKED) + DISTANCE * away / em
        cost += HIDING * covered.sum(axis=1) / (width * height) + HIDDEN * (covered / areas).sum(axis=1)
        blocked = _overlaps(rects, plates + np.array([-gap, -gap, gap, gap]) / 2).any(axis=1)
        cost[blocked | (away > FARTHEST * em)] = np.inf
        choice = int(np.argmin(cost))
        if cost[choice] < best:
            best, found = cost[choice], (form, int(corners[choice, 0]), int(corners[choice, 1]))
    return found


def _around(box: Box, width: int, height: int, gap: int) -> tuple[tuple[int, int], ...]:
    """Left upper corners around a face and in it, the best liked first."""
    x1, y1, x2, y2 = box
    return (
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
    )


def _candidates(box: Box, taken: Rects, width: int, height: int, gap: int) -> NDArray[np.float64]:
    """Left upper corners (N, 2) worth a look, the best liked first: around the face, beside what is taken."""
    base = np.array(_around(box, width, height, gap), np.float64)
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


def _rects(boxes: Sequence[Box]) -> Rects:
    return np.array(boxes, np.float64).reshape(-1, 4)


def _overlaps(rects: Rects, others: Rects) -> NDArray[np.float64]:
    """As `common`, of each of `rects` (N, 4) with each of `others` (M, 4): (N, M)."""
    low = np.maximum(rects[:, None, :2], others[None, :, :2])
    high = np.minimum(rects[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(high - low, 0)
    return shared[..., 0] * shared[..., 1]


def _gaps(rects: Rects, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `gap_between`, from each of `rects` (N, 4) to `box` (4,)."""
    away = np.maximum(np.maximum(rects[:, :2] - box[2:], box[:2] - rects[:, 2:]), 0)
    return np.hypot(away[:, 0], away[:, 1])
