"""How long to wait between two tries: exponential back-off with full jitter."""

import random
from collections.abc import Callable


class Backoff:
    """Waiting times that double from `first` to `cap`, each drawn evenly from zero to that bound.

    Full jitter, so that a hundred readers of one restarted server do not come back together
    (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
    `draw` gives numbers in [0, 1); pure but for it.
    """

    def __init__(
        self, first: float = 0.5, cap: float = 30.0, draw: Callable[[], float] = random.random
    ) -> None:
        """`first` and `cap` in s. Raises ValueError unless 0 < first <= cap."""
        if not 0 < first <= cap:
            raise ValueError("the first wait must be above zero and not above the cap")
        self._first, self._cap, self._draw = first, cap, draw
        self._bound = first

    @property
    def bound(self) -> float:
        """s, the longest that the next wait can be."""
        return self._bound

    def next(self) -> float:
        """s to wait before the next try."""
        wait = self._draw() * self._bound
        self._bound = min(self._bound * 2, self._cap)
        return wait

    def reset(self) -> None:
        """Begin anew, after a connection that was stable."""
        self._bound = self._first
