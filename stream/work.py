"""The pumps' time at work: measured for each, and shared out in turns where cores are few."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 0.5  # s that a pump waits for its turn; one whose analysis hangs must not stop the others


@dataclass(slots=True)
class Work:
    """What a pump has done since it began. Its thread writes; others may read at any time."""

    frames: int = 0  # analysed
    busy: float = 0.0  # s, waiting for a turn included
    ages: float = 0.0  # s from capture to overlay, the sum over all frames
    begun: float | None = None  # s, monotonic, when the frame in work was taken

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While one frame is analysed."""
        self.begun = begun = time.monotonic()
        try:
            yield
        finally:
            self.begun = None
            self.busy += time.monotonic() - begun
            self.frames += 1

    def busy_until(self, now: float) -> float:
        """s of work, the frame in work included: one that never ends counts too."""
        begun = self.begun
        return self.busy + (0.0 if begun is None else max(now - begun, 0.0))


class Turns:
    """Lets so many pumps work at once.

    More than there are cores would each be slower, and hand Python's lock round in vain; their frames age.
    """

    def __init__(self, most: int, longest: float = LONGEST) -> None:
        """longest: s that one waits; then it goes on without a turn."""
        self._places, self._longest = threading.Semaphore(most), longest

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and keep it meanwhile."""
        mine = self._places.acquire(timeout=self._longest)
        try:
            yield
        finally:
            if mine:
                self._places.release()
