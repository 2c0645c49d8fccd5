"""When a stream's whole picture is looked over: at once, or beside the stream where no face is in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.late_search import LateSearch
from stream.looker import Looker, search
from stream.target import Target
from stream.values import Face


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds from one key frame to the next, and how long a face may go unsought."""

    empty: float = 0.2  # while there is no face: how long a newcomer may wait
    doubtful: float = 0.1  # while a face is new or out of sight
    steady: float = 1 / 3
    calm: float = 0.5  # once all has been steady for `calm_after`
    calm_after: float = 3.0
    # A face found less than this ago is not sought where a glance shows it in its place: at 30 frames a
    # second ONet looks for it in every other one, below 20 in each.
    glance: float = 0.05


USUAL = Intervals()


class KeyFrames:
    """Gives a tracker the faces of the whole picture, as often as its targets ask for it."""

    def __init__(self, looker: Looker, intervals: Intervals, late: LateSearch | None) -> None:
        """late: see `Tracker`."""
        self._looker, self._intervals, self._late = looker, intervals, late
        self._searched = self._unsteady = -np.inf  # s: the picture that was searched last, the last doubt
        self.stretch = 1.0  # factor on the intervals, where the machine is full
        self.at_once = False  # whether the faces that were given last were searched for in that very picture

    def forget(self) -> None:
        """Another stream begins: its first picture is one."""
        self._searched = -np.inf

    def faces(self, image: NDArray[np.uint8], time: float, targets: Sequence[Target]) -> list[Face] | None:
        """The faces of the whole picture; None where they are not due, or are being searched for.

        What was found beside the stream counts only if all of it is still there: else this picture is
        searched. Raises what a search raises.
        """
        due = time - self._searched >= self._interval(time, targets) * self.stretch - 1e-3
        if self._late is not None and _sure(targets):
            found = self._late.found(image)
            there = [face for face in found or () if face is not None]
            if found is not None and len(there) == len(found):
                self._searched, self.at_once = self._late.begun, False
                return there
            if found is None and (not due or self._late.begin(image, time)):
                return None
            due = True  # nobody has time for it, or what was found is not all there any more
        elif self._late is not None:
            self._late.drop()
        if not due:
            return None
        self._searched, self.at_once = time, True
        return search(self._looker, image)

    def _interval(self, time: float, targets: Sequence[Target]) -> float:
        pace = self._intervals
        if not targets:
            return pace.empty
        if not all(target.seen and target.confirmed for target in targets):
            self._unsteady = time
            return pace.doubtful
        return pace.calm if time - self._unsteady > pace.calm_after else pace.steady


def _sure(targets: Sequence[Target]) -> bool:
    """Whether there are faces, and none is new, out of sight or of another scene."""
    return bool(targets) and all(t.seen and t.confirmed and not t.lost_scene for t in targets)
