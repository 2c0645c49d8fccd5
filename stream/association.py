"""Pairs tracks with faces so that the sum of costs is the least possible (the Hungarian method)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.suppression import overlap
from stream.values import Face

THERE = 0.3  # overlap from which a face of the whole picture is the one expected in a box
SAME_PLACE = 0.4  # overlap from which two boxes are of one face


def is_sound(face: Face) -> bool:
    """Whether its box is one: finite, with area, of a size that a picture can have."""
    numbers = np.concatenate([face.box, face.landmarks.ravel()])
    if not (np.isfinite(numbers).all() and np.abs(numbers).max() < 1e6):
        return False
    return bool((face.box[2:] - face.box[:2] >= 1).all())


def same_place(a: Face, b: Face) -> bool:
    """Whether two faces are one, found twice."""
    return bool(overlap(a.box[None], b.box[None])[0, 0] > SAME_PLACE)


def closest(boxes: NDArray[np.float32], faces: Sequence[Face]) -> list[Face | None]:
    """For each box (N, 4) px the face that overlaps it most, or None."""
    if not faces:
        return [None] * len(boxes)
    common = overlap(np.asarray(boxes, np.float32), np.stack([face.box for face in faces]))
    best = common.argmax(axis=1)
    return [faces[j] if common[i, j] > THERE else None for i, j in enumerate(best)]


def assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The cheapest pairing of rows with columns; a pair of infinite cost is never made.

    cost: (R, C), finite or +inf. As many pairs as possible, and among those the cheapest sum. Shortest
    augmenting paths with potentials, O(n^3): R. Jonker, A. Volgenant, "A shortest augmenting path algorithm
    for dense and sparse linear assignment problems", Computing 38, 1987.
    """
    rows, columns = cost.shape
    if rows == 0 or columns == 0:
        return []
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T))
    finite = np.isfinite(cost)
    # A forbidden pair costs more than all allowed ones together: taken only where nothing else is left.
    forbidden = 1 + 2 * np.abs(cost[finite]).sum()
    owner = _owners(np.where(finite, cost, forbidden))
    return sorted((int(row), column) for column, row in enumerate(owner) if row >= 0 and finite[row, column])


def _owners(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each column of a finite (R <= C) cost the row that has it, or -1."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.intp)
    for new in range(rows):
        distance, before = np.full(columns, np.inf), np.full(columns, -1, np.intp)
        done, column, row = np.zeros(columns, bool), -1, new
        while row >= 0:  # grow the shortest path until it reaches a free column
            if column >= 0:
                done[column] = True
            reached = distance[column] if column >= 0 else 0.0
            through = reached + cost[row] - row_price[row] - column_price
            better = ~done & (through < distance)
            distance[better], before[better] = through[better], column
            column = int(np.where(done, np.inf, distance).argmin())
            row = owner[column]
        gain = distance[column] - distance[done]
        row_price[owner[done]] += gain
        row_price[new] += distance[column]
        column_price[done] -= gain
        while column >= 0:  # hand the columns of the path on, back to the new row
            previous = before[column]
            owner[column] = owner[previous] if previous >= 0 else new
            column = previous
    return owner
