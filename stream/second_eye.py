"""The second eye's looks. They are dear: by turns, and where frames do not wait, beside the pump."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np
from numpy.typing import NDArray

from export.card import Thresholds
from stream.aside import Aside, timed
from stream.values import State

CLEARLY = 0.5  # of the logit: so far beyond the threshold that would end its state a verdict is settled
FAR = 1.0  # likewise: so far beyond that every other crop is enough, while the machine has room for all
RARELY = 2  # factor on the crops from one look to the next of a track whose verdict is settled

Row = NDArray[np.float32]  # (D,), the features of one crop


def is_settled(state: State, probability: float | None, limits: Thresholds, beyond: float = CLEARLY) -> bool:
    """Whether a track's verdict is so far from changing that a look more or less does not turn it.

    state: what stands. probability: the last score, None without one. beyond: of the logit, how far the
    threshold must lie behind it that would end the state.
    """
    if probability is None:
        return False
    if state is State.ALERT:
        return _logit(probability) >= _logit(limits.alert_off) + beyond
    return state is State.CLEAR and _logit(probability) <= _logit(limits.suspicious_on) - beyond


def _logit(probability: float) -> float:
    held = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(held / (1 - held))


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


class LateLook:
    """A track's look that others take beside the pump; what they see goes into the window when it is there.

    It is never later than the next one: if nobody has taken it by then, that one is taken at once.
    """

    def __init__(self) -> None:
        self._future: Future[tuple[NDArray[np.float32], float]] | None = None
        self._row: Row | None = None

    @property
    def waits(self) -> bool:
        """Whether one was handed over and is not there yet."""
        return self._future is not None and not self._future.done()

    def begin(self, aside: Aside, look: Callable[[], NDArray[np.float32]]) -> bool:
        """Hand over a look, which gives (1, D). False: nobody has time for it, it is to be taken at once."""
        if self._future is not None:
            if self._future.cancel():
                self._future = None
            return False
        self._future = aside.submit(partial(timed, look))
        return self._future is not None

    def into(self, row: Row) -> None:
        """Where it goes: the features of its crop, as the window holds them."""
        self._row = row

    def collect(self, start: int) -> float | None:
        """Fill in what has been seen, from feature `start` on. Gives the s that it took; None: nothing yet.

        Raises what the look raised.
        """
        if self._future is None or self._row is None or not self._future.done():
            return None
        future, row = self._future, self._row
        self._future = self._row = None
        if future.cancelled():  # the program ends
            return None
        (seen,), seconds = future.result()
        row[start:] = seen[start:]
        return seconds
