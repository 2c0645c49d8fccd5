"""Whose turn the second eye's look is. It is dear: not for all faces of a picture at once. Pure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def turns(unlooked: Sequence[float], periods: Sequence[int], every: int) -> NDArray[np.bool_]:
    """Which of a picture's crops get the look, (N,): those that are most overdue.

    unlooked: of each crop's track, its crops since the last look, this one included; inf: it never had one.
    periods: crops from one look of a track to its next. every: the shortest period. A picture gives one look
    to every so many crops, rounded up: enough for each track to get its own, and the fewest that are.
    """
    overdue = np.asarray(unlooked, np.float64) / np.asarray(periods, np.float64)
    first = np.argsort(-overdue, kind="stable")[: math.ceil(len(overdue) / every)]
    chosen = np.zeros(len(overdue), bool)
    chosen[first] = overdue[first] >= 1
    return chosen
