"""A live stream of decoded pictures: what is left of a stream's cost without decoding."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.bench.clips import FPS
from stream.sources import SourceOptions, find
from stream.values import Frame


@dataclass(frozen=True, slots=True)
class Decoded:
    """A clip's pictures in memory, shared by all streams that show it."""

    pictures: Sequence[NDArray[np.uint8]]  # (H, W, 3) BGR each
    seconds: float  # from the first to when it begins again

    @staticmethod
    def read(path: Path, seconds: float) -> "Decoded":
        """Decode a file. Raises a SourceError."""
        source = find(str(path))
        return Decoded([f.image for f in source.frames(str(path), SourceOptions())], seconds)


class Looped:
    """A live stream of decoded pictures at their own pace: the newest one, as a `LiveReader` hands it out."""

    connected, finished, note = True, False, ""

    def __init__(self, clip: Decoded, phase: float) -> None:
        """phase: 0..1 of a picture's time, so that the streams' pictures do not all come at once."""
        self._clip, self._taken, self._last = clip, 0, -1
        self._begin = time.monotonic() + phase / FPS

    @property
    def frames(self) -> int:
        """Pictures that were due so far."""
        return max(int((time.monotonic() - self._begin) * FPS) + 1, 0)

    @property
    def dropped(self) -> int:
        """Those of them that nobody took and nobody will."""
        return self._last + 1 - self._taken

    def want(self, moment: float) -> None:
        """They cost nothing that could be spared."""

    def newest(self, timeout: float) -> Frame | None:
        """The picture that is due, each one once; waits for the next one."""
        due = self._begin + (self._last + 1) / FPS - time.monotonic()
        if due > timeout:
            time.sleep(timeout)
            return None
        time.sleep(max(due, 0))
        index = max(self.frames - 1, self._last + 1)
        self._last, self._taken = index, self._taken + 1
        turn, at = divmod(index, len(self._clip.pictures))
        moment = turn * self._clip.seconds + at / FPS
        return Frame(self._clip.pictures[at], moment, self._begin + index / FPS, index)
