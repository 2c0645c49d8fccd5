"""Pictures from a reader's child to its parent through shared memory: only what is looked at is copied.

A source delivers thirty pictures a second whether they are analysed or not; through a pipe each would be
copied three times, two of them in the parent. Here the child writes each into one of a few slots, in turn,
and announces where; the parent copies the one that it takes, and sees by the slot's serial number whether
the child has come round to it meanwhile (a seqlock: H.-J. Boehm, "Can seqlocks get along with programming
language memory models?", MSPC 2012).

Before the slots lies a page with three numbers, each written by one side alone. The child tells how many
pictures it has decoded and when the last one came; the parent, from when on it wants the next one. What comes
earlier is neither painted nor announced: where 5 of 30 pictures a second are analysed, 25 wake nobody.
"""

import mmap
import os
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.values import Frame

SLOTS = 4  # the announced one is safe until three more have come
COUNT, CAME, WANTED = range(3)  # the numbers of the first page; the last two are moments in s, monotonic
HEAD = 64  # bytes before a slot's picture: its serial number, and room so that the picture lies aligned
LARGEST = 8192 * 8192 * 3  # bytes a picture, as the decoder allows them


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies."""

    offset: int  # bytes
    serial: int  # above 0; no two pictures of a child have the same


@dataclass(frozen=True, slots=True)
class Announced:
    """A frame whose picture lies in shared memory."""

    frame: Frame  # without its picture
    height: int  # px
    width: int  # px
    place: Place

    def fetch(self, memory: "FrameMemory") -> Frame | None:
        """The frame with a copy of its picture; None where the child has written over it."""
        picture = memory.fetch(self.place, self.height, self.width)
        return None if picture is None else replace(self.frame, image=picture)


class FrameMemory:
    """The parent's side: memory that a child may enlarge but never shrink, for then reading would kill us."""

    def __init__(self) -> None:
        """Raises OSError where the system has none left."""
        import fcntl

        self.handle = os.memfd_create("facewitness", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.handle, mmap.PAGESIZE)
        fcntl.fcntl(self.handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._numbers = _numbers(self.handle)
        self._map: mmap.mmap | None = None

    @property
    def count(self) -> int:
        """Pictures that the child has decoded, as it says; 0 where that is no number."""
        count = self._numbers[COUNT]
        return int(count) if 0 <= count < 1 << 53 else 0

    @property
    def came(self) -> float:
        """s, monotonic, when the last of them came; 0 before the first, or where the child tells nonsense."""
        came = self._numbers[CAME]
        return came if came <= time.monotonic() else 0.0

    def want(self, moment: float) -> None:
        """Pictures that come before `moment` (s, monotonic) are of no use."""
        self._numbers[WANTED] = moment

    def meet(self, place: Place, height: int, width: int) -> None:
        """Take note of an announced picture. Raises ValueError where none can lie."""
        end = place.offset + HEAD + height * width * 3
        if self._map is None or end > len(self._map):
            size = os.fstat(self.handle).st_size
            if not 0 < end <= size or place.offset % 8:
                raise ValueError("the reader's child announced a picture outside the memory")
            self._map = mmap.mmap(self.handle, size, prot=mmap.PROT_READ)

    def fetch(self, place: Place, height: int, width: int) -> NDArray[np.uint8] | None:
        """A copy (H, W, 3) of a picture that was met; None where the child has written over it."""
        assert self._map is not None
        serial = np.frombuffer(self._map, np.uint64, 1, place.offset)
        if serial[0] != place.serial:
            return None
        shared = np.frombuffer(self._map, np.uint8, height * width * 3, place.offset + HEAD)
        picture = shared.reshape(height, width, 3).copy()
        return picture if serial[0] == place.serial else None

    def close(self) -> None:
        """Give the handle back; what was met can still be fetched."""
        os.close(self.handle)


class Gate:
    """The child's side of the first page."""

    def __init__(self, handle: int | None) -> None:
        """handle: of the parent's memory; None: all pictures are wanted, and nobody counts."""
        self._numbers = None if handle is None else _numbers(handle)

    def wants(self, came: float) -> bool:
        """Whether the parent has use for a picture that came then (s, monotonic)."""
        return self._numbers is None or came >= self._numbers[WANTED]

    def tell(self, count: int, came: float) -> None:
        """So many pictures were decoded, and the last one came then."""
        if self._numbers is not None:
            self._numbers[COUNT], self._numbers[CAME] = count, came


class FrameWriter:
    """The child's side of the slots."""

    def __init__(self, handle: int) -> None:
        """handle: of the parent's memory."""
        self._handle, self._serial, self._stride = handle, 0, 0
        self._map: mmap.mmap | None = None

    def put(self, picture: NDArray[np.uint8]) -> Place:
        """Write a picture (H, W, 3) into the next slot. Raises OSError where memory is out."""
        if self._map is None or HEAD + picture.nbytes > self._stride:
            self._stride = -(-(HEAD + picture.nbytes) // mmap.PAGESIZE) * mmap.PAGESIZE
            size = max(mmap.PAGESIZE + SLOTS * self._stride, os.fstat(self._handle).st_size)
            os.ftruncate(self._handle, size)
            self._map = mmap.mmap(self._handle, size)
        self._serial += 1
        offset = mmap.PAGESIZE + self._serial % SLOTS * self._stride
        serial = np.frombuffer(self._map, np.uint64, 1, offset)
        serial[0] = 0  # whoever reads the old picture will see that it has gone
        np.frombuffer(self._map, np.uint8, picture.nbytes, offset + HEAD)[:] = picture.reshape(-1)
        serial[0] = self._serial
        return Place(offset, self._serial)


def _numbers(handle: int) -> "memoryview[float]":
    """The numbers of the first page; each is read and written whole, as its 8 bytes lie aligned."""
    return memoryview(mmap.mmap(handle, mmap.PAGESIZE))[: 3 * 8].cast("d")


def shared_memory() -> FrameMemory | None:
    """Memory for one child; None where the system has no such thing: pictures then go through the pipe."""
    return FrameMemory() if sys.platform == "linux" else None
