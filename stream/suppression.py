"""Non-maximum suppression: of boxes that overlap, the likeliest stays."""

import numpy as np
from numpy.typing import NDArray

CHUNK = 256  # boxes compared with all others at once; bounds the overlap matrix


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both have no area."""
    start = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(np.minimum(a[:, None, 2:], b[None, :, 2:]) - start, 0)
    common = sides[..., 0] * sides[..., 1]
    total = _area(a)[:, None] + _area(b)[None] - common
    return np.divide(common, total, out=np.zeros_like(common), where=total > 0)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy suppression as torchvision.ops.nms: indices of the boxes kept, the likeliest first.

    boxes: (N, 4) px, scores: (N,). A box goes when it overlaps a likelier kept one by more than `threshold`.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[NDArray[np.intp]] = []
    while len(order):
        chunk, rest = order[:CHUNK], order[CHUNK:]
        alive = _greedy(overlap(boxes[chunk], boxes[chunk]) > threshold)
        chunk = chunk[alive]
        kept.append(chunk)
        order = rest[~(overlap(boxes[chunk], boxes[rest]) > threshold).any(axis=0)]
    return np.concatenate(kept) if kept else np.zeros(0, np.intp)


def suppress_contained(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
) -> NDArray[np.intp]:
    """Suppression by the part of the smaller box that is common ("Min"); widths count one pixel more."""
    order = np.argsort(scores)[::-1]
    a = boxes[order]
    start, end = np.maximum(a[:, None, :2], a[None, :, :2]), np.minimum(a[:, None, 2:], a[None, :, 2:])
    sides = np.maximum(end - start + 1, 0)
    area = (a[:, 2] - a[:, 0] + 1) * (a[:, 3] - a[:, 1] + 1)
    common = sides[..., 0] * sides[..., 1] / np.minimum(area[:, None], area[None])
    return order[_greedy(common > threshold)]


def _greedy(conflicts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of N boxes, best first, stay: (N,) of a symmetric (N, N)."""
    alive = np.ones(len(conflicts), bool)
    later = np.triu(conflicts, 1)
    for i in np.flatnonzero(later.any(axis=1)):
        if alive[i]:
            alive &= ~later[i]
    return alive


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
