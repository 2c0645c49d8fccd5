"""The newest encoded pictures of one stream, from a key picture on; bounded in seconds and in bytes."""

import threading
from collections import deque
from collections.abc import Iterator

from stream.coded import Coded

KEEP = 13.0  # s that are kept at least: before and after an alert, and what the analysis lags behind
LONGEST = 120.0  # s at most, however far key pictures lie apart
LARGEST = 64 << 20  # bytes at most


class PacketRing:
    """Whole groups of pictures, each from a key picture on; the oldest go first. For any threads."""

    def __init__(self, keep: float = KEEP, longest: float = LONGEST, largest: int = LARGEST) -> None:
        """keep, longest: s. largest: bytes."""
        self._keep, self._longest, self._largest = keep, longest, largest
        self._lock = threading.Lock()
        self._groups: deque[list[Coded]] = deque()
        self._last: Coded | None = None
        self._bytes = 0
        self._whole = False  # the last group can be gone on with

    @property
    def fed(self) -> bool:
        """Whether a picture ever came."""
        return self._last is not None

    @property
    def bytes(self) -> int:
        """Bytes of encoded pictures in it."""
        return self._bytes

    def add(self, coded: Coded) -> None:
        """Take the next picture, in the order of decoding; never blocks for long."""
        with self._lock:
            broken = self._last is not None and coded.codec is not self._last.codec
            self._last = coded
            if coded.key:
                self._groups.append([])
                self._whole = True
            elif broken or not self._whole:
                self._whole = False  # what it builds on is not here
            if self._whole:
                self._groups[-1].append(coded)
                self._bytes += len(coded.data)
            self._forget(coded.time)  # time passes for what is kept, whether or not this one is

    def between(self, begin: float, end: float) -> list[Coded]:
        """The pictures up to `end` s, from the last key picture at or before `begin` s, or from the first."""
        with self._lock:
            groups = list(self._groups)
        first = 0
        for i, group in enumerate(groups):
            if group[0].time <= begin:
                first = i
        return list(_until(groups[first:], end))

    def _forget(self, now: float) -> None:
        while len(self._groups) > 1 and (self._groups[1][0].time <= now - self._keep or self._too_much(now)):
            self._drop()
        if self._too_much(now):
            self._drop()
            self._whole = False

    def _too_much(self, now: float) -> bool:
        late = bool(self._groups) and now - self._groups[0][0].time > self._longest
        return late or self._bytes > self._largest

    def _drop(self) -> None:
        self._bytes -= sum(len(coded.data) for coded in self._groups.popleft())


def _until(groups: list[list[Coded]], end: float) -> Iterator[Coded]:
    """Pictures up to the last one, in the order of decoding, that is shown by `end` s."""
    flat = [coded for group in groups for coded in group]
    shown = [i for i, coded in enumerate(flat) if coded.time <= end]
    yield from flat[: shown[-1] + 1 if shown else 0]
