"""What a reader's child process tells its parent over a pipe: frames, packets, and how it ended."""

import base64
import json
import os
import struct
import sys
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stream import errors
from stream.coded import Codec, Coded
from stream.errors import SourceError, Unreachable
from stream.frame_memory import LARGEST, Announced, Place
from stream.sources import SourceOptions
from stream.values import Frame

# kind, corrupt or key, height px, width px, index, time s, captured s; but for frames the length as index.
_HEADER = struct.Struct("<BBxxIIQdd")
_TICKS = struct.Struct("<qqI")  # of a packet: pts, dts, duration
_PLACE = struct.Struct("<QQ")  # of a picture in shared memory: offset in bytes, serial number
_NONE = -(1 << 63)  # a pts or dts that the source does not give
_FRAME, _END, _CODEC, _PACKET, _SHARED = 1, 2, 3, 4, 5
LONGEST = 65536  # bytes of text
LARGEST_PACKET = 32 << 20  # bytes of one encoded picture
_NOWHERE: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)  # a picture that lies elsewhere
PIPE = 1 << 20  # bytes; fewer and larger steps than the usual 64 KiB


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to read. It travels over stdin, so that no credential stands in a process list."""

    url: str = field(repr=False)  # with its credentials
    options: SourceOptions
    packets: bool = False  # the encoded pictures are wanted too
    memory: int | None = None  # handle of the memory for pictures; None: they go through the pipe

    def to_line(self) -> bytes:
        """One line of JSON, with the module path that the child needs to find the same code."""
        order = {
            "path": sys.path,
            "url": self.url,
            "options": asdict(self.options),
            "packets": self.packets,
            "memory": self.memory,
        }
        return json.dumps(order).encode() + b"\n"

    @staticmethod
    def from_dict(raw: dict) -> "Order":
        """The other way."""
        options = SourceOptions(**raw["options"])
        if options.resolution:
            options = replace(options, resolution=(options.resolution[0], options.resolution[1]))
        return Order(raw["url"], options, bool(raw.get("packets")), raw.get("memory"))


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


def write_announcement(pipe: int, frame: Frame, place: Place) -> None:
    """Say that a frame's picture lies in the shared memory."""
    height, width = frame.image.shape[:2]
    head = _HEADER.pack(_SHARED, frame.corrupt, height, width, frame.index, frame.time, frame.captured)
    _write(pipe, memoryview(head + _PLACE.pack(place.offset, place.serial)))


def write_codec(pipe: int, codec: Codec) -> None:
    """Say how the packets that follow are encoded."""
    parts = [base64.b64encode(data).decode() for data in (codec.template, codec.matrix)]
    base = codec.time_base
    text = json.dumps([codec.name, base.numerator, base.denominator, *parts]).encode()
    _write(pipe, memoryview(_HEADER.pack(_CODEC, 0, 0, 0, len(text), 0.0, 0.0) + text))


def write_packet(pipe: int, coded: Coded) -> None:
    """Send one encoded picture."""
    ticks = [_NONE if each is None else each for each in (coded.pts, coded.dts)]
    head = _HEADER.pack(_PACKET, coded.key, 0, 0, len(coded.data), coded.time, 0.0)
    _write(pipe, memoryview(head + _TICKS.pack(*ticks, coded.duration)))
    _write(pipe, memoryview(coded.data))


def write_end(pipe: int, end: End) -> None:
    """Send the last word."""
    text = json.dumps([end.kind, end.text[:4096]]).encode()
    _write(pipe, memoryview(_HEADER.pack(_END, 0, 0, 0, len(text), 0.0, 0.0) + text))


def _write(pipe: int, data: memoryview) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def read(pipe: int, codec: Codec | None = None) -> Frame | Announced | Codec | Coded | End | None:
    """The next message; None where the pipe closes, even within a message. Raises ValueError for junk.

    codec: the last one that came; a packet without any is junk.
    """
    head = _read(pipe, memoryview(bytearray(_HEADER.size)))
    if head is None:
        return None
    kind, corrupt, height, width, index, time, captured = _HEADER.unpack(head)
    if kind == _FRAME and 0 < height * width * 3 <= LARGEST:
        image: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
        if _read(pipe, image.reshape(-1).data) is None:
            return None
        return Frame(image, time, captured, index, bool(corrupt))
    if kind == _SHARED and 0 < height * width * 3 <= LARGEST:
        where = _read(pipe, memoryview(bytearray(_PLACE.size)))
        frame = Frame(_NOWHERE, time, captured, index, bool(corrupt))
        return None if where is None else Announced(frame, height, width, Place(*_PLACE.unpack(where)))
    if kind == _END and index <= LONGEST:
        text = _read(pipe, memoryview(bytearray(index)))
        return None if text is None else End(*json.loads(bytes(text)))
    if kind == _CODEC and index <= 2 * LARGEST_PACKET:
        text = _read(pipe, memoryview(bytearray(index)))
        return None if text is None else _codec(bytes(text))
    if kind == _PACKET and index <= LARGEST_PACKET and codec is not None:
        data = _read(pipe, memoryview(bytearray(_TICKS.size + index)))
        if data is None:
            return None
        pts, dts, duration = _TICKS.unpack(data[: _TICKS.size])
        pts, dts = (None if each == _NONE else each for each in (pts, dts))
        return Coded(bytes(data[_TICKS.size :]), pts, dts, duration, bool(corrupt), time, codec)
    raise ValueError("the reader's child does not keep to the format")


def _codec(text: bytes) -> Codec:
    name, numerator, denominator, template, matrix = json.loads(text)
    base = Fraction(numerator, denominator)
    return Codec(name, base, base64.b64decode(template), base64.b64decode(matrix))


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
