"""What a reader's child process tells its parent over a pipe: frames, how it ended, and in what order."""

import json
import os
import struct
import sys
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stream import errors
from stream.errors import SourceError, Unreachable
from stream.sources import SourceOptions
from stream.values import Frame

# kind, corrupt, height px, width px, index, time s, captured s; for an end: the text's length as index.
_HEADER = struct.Struct("<BBxxIIQdd")
_FRAME, _END = 1, 2
LARGEST = 8192 * 8192 * 3  # bytes a picture, as the decoder allows them
LONGEST = 65536  # bytes of text
PIPE = 1 << 20  # bytes; fewer and larger steps than the usual 64 KiB


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to read. It travels over stdin, so that no credential stands in a process list."""

    url: str = field(repr=False)  # with its credentials
    options: SourceOptions

    def to_line(self) -> bytes:
        """One line of JSON, with the module path that the child needs to find the same code."""
        order = {"path": sys.path, "url": self.url, "options": asdict(self.options)}
        return json.dumps(order).encode() + b"\n"

    @staticmethod
    def from_dict(raw: dict) -> "Order":
        """The other way."""
        options = SourceOptions(**raw["options"])
        if options.resolution:
            options = replace(options, resolution=(options.resolution[0], options.resolution[1]))
        return Order(raw["url"], options)


@dataclass(frozen=True, slots=True)
class End:
    """A child's last word."""

    kind: str  # the name of a SourceError; "" = the source ended as it should
    text: str  # its one line

    def error(self) -> SourceError | None:
        """The error to raise; None for a good end."""
        if not self.kind:
            return None
        kind = getattr(errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, SourceError)):
            kind = Unreachable
        return kind(self.text)


def write_frame(pipe: int, frame: Frame) -> None:
    """Send one frame over the file descriptor `pipe`. Blocks; raises OSError once nobody reads."""
    height, width = frame.image.shape[:2]
    head = _HEADER.pack(_FRAME, frame.corrupt, height, width, frame.index, frame.time, frame.captured)
    _write(pipe, memoryview(head))
    _write(pipe, np.ascontiguousarray(frame.image).reshape(-1).data)


def write_end(pipe: int, end: End) -> None:
    """Send the last word."""
    text = json.dumps([end.kind, end.text[:4096]]).encode()
    _write(pipe, memoryview(_HEADER.pack(_END, 0, 0, 0, len(text), 0.0, 0.0) + text))


def _write(pipe: int, data: memoryview) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def read(pipe: int) -> Frame | End | None:
    """The next message; None where the pipe closes, even within a message. Raises ValueError for junk."""
    head = _read(pipe, memoryview(bytearray(_HEADER.size)))
    if head is None:
        return None
    kind, corrupt, height, width, index, time, captured = _HEADER.unpack(head)
    if kind == _FRAME and 0 < height * width * 3 <= LARGEST:
        image: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
        if _read(pipe, image.reshape(-1).data) is None:
            return None
        return Frame(image, time, captured, index, bool(corrupt))
    if kind == _END and index <= LONGEST:
        text = _read(pipe, memoryview(bytearray(index)))
        return None if text is None else End(*json.loads(bytes(text)))
    raise ValueError("the reader's child does not keep to the format")


def _read(pipe: int, into: memoryview) -> memoryview | None:
    """Fill `into` from the pipe without a copy in between; None where it closes first."""
    at = 0
    while at < len(into):
        count = os.readv(pipe, [into[at:]]) if hasattr(os, "readv") else _read_copy(pipe, into[at:])
        if count == 0:
            return None
        at += count
    return into


def _read_copy(pipe: int, into: memoryview) -> int:
    data = os.read(pipe, min(len(into), PIPE))
    into[: len(data)] = data
    return len(data)
