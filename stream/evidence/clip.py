"""The clip of an alert: the source's own packets in a file, not encoded anew, with times a player takes."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stream.coded import Codec, Coded
from stream.decode import Painter, upright

# What players expect in MP4; the rest goes into Matroska, what fits into neither into NUT.
_MP4 = ("h264", "hevc", "mpeg4", "av1", "vp9")
_SUFFIX = {"mp4": ".mp4", "matroska": ".mkv", "nut": ".nut"}
JUMP = 1.0  # s that timestamps may leave the source's clock before they are set anew


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A finished file."""

    name: str
    data: bytes = field(repr=False)
    codec: Codec
    origin: float  # s on the source's clock at the file's time 0
    first: float  # s, of its first picture, and of its last
    last: float

    def told(self, own: bool, begin: float, end: float) -> dict[str, Any]:
        """What the manifest says. own: encoded by this program. begin, end: s, what was wanted."""
        made = "encoded by this program: the source gives no packets" if own else "the source's own packets"
        return {
            "file": self.name,
            "annotated": "annotated.mp4",
            "codec": self.codec.name,
            "made": made,
            "from": round(self.first, 3),
            "to": round(self.last, 3),
            "wanted": [round(begin, 3), round(end, 3)],
        }


def chosen(packets: Sequence[Coded], moment: float) -> list[Coded]:
    """The packets that fit into one stream with that of `moment` s: others follow a new connection."""
    if not packets:
        return []
    near = min(packets, key=lambda coded: abs(coded.time - moment)).codec
    fitting: dict[int, bool] = {id(near): True}
    for coded in packets:
        if id(coded.codec) not in fitting:
            fitting[id(coded.codec)] = _shape(coded.codec) == _shape(near)
    return [coded for coded in packets if fitting[id(coded.codec)]]


def retimed(packets: Sequence[Coded]) -> tuple[list[tuple[int, int]], float]:
    """Strictly rising times from 0 on for a container: (pts, dts) in ticks, and the source's time at 0 in s.

    The source's own distances stay. Where they leave the source's clock by more than JUMP (a new connection,
    a clock that was set anew) that clock tells the place.
    """
    base, begin = packets[0].codec.time_base, packets[0].time
    ticks: list[tuple[int, int]] = []
    offset, lead, last = None, 0, -1
    for coded in packets:
        place = round((coded.time - begin) / base) + lead  # where it is shown, by the source's clock
        decoded = coded.dts if coded.dts is not None else coded.pts
        if decoded is None:
            shown = decoded = place - (offset or 0)
        else:
            shown = coded.pts if coded.pts is not None else decoded
        if offset is None:
            offset, lead = -decoded, shown - decoded
        elif abs((shown + offset - place) * base) > JUMP:
            offset = place - shown
        dts = max(decoded + offset, last + 1)
        ticks.append((max(shown + offset, dts), dts))
        last = dts
    return ticks, begin - float(lead * base)


def remux(packets: Sequence[Coded]) -> Clip:
    """Put packets of one codec, the first a key picture, into a file. Raises av.FFmpegError."""
    codec = packets[0].codec
    ticks, origin = retimed(packets)
    formats = ("mp4", "matroska", "nut") if codec.name in _MP4 else ("matroska", "nut")
    for format in formats:
        try:
            data = _muxed(packets, ticks, codec, format)
            av.open(io.BytesIO(data)).close()  # what does not open again is no clip
        except (av.FFmpegError, ValueError):
            if format == formats[-1]:
                raise
            continue
        break
    if format == "mp4" and codec.matrix:
        data = turned(data, codec.matrix)
    times = [coded.time for coded in packets]
    return Clip(f"clip{_SUFFIX[format]}", data, codec, origin, min(times), max(times))


def pictures_of(clip: Clip) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The clip's pictures (H, W, 3) BGR, upright, with s on the source's clock. Raises av.FFmpegError."""
    painter, told = Painter(clip.name), clip.codec.matrix
    matrix = np.frombuffer(told, np.int32) if told and not clip.name.endswith(".mp4") else None
    with av.open(io.BytesIO(clip.data), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:  # damaged as it came; the next key picture heals it
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame) and frame.time is not None:
                    yield clip.origin + frame.time, upright(painter.paint(frame), matrix)


def turned(data: bytes, matrix: bytes) -> bytes:
    """An MP4 file that players show turned by a display matrix (9 int32; ISO/IEC 14496-12, 8.3.2)."""
    numbers = np.frombuffer(matrix, np.int32).astype(">i4").tobytes()
    at = data.rindex(b"tkhd") + 4
    at += 40 if data[at] == 0 else 52  # version 1 has 64-bit times
    return data[:at] + numbers + data[at + len(numbers) :]


def _muxed(packets: Sequence[Coded], ticks: Sequence[tuple[int, int]], codec: Codec, format: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(codec.template)) as template, av.open(buffer, "w", format=format) as container:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        for coded, (pts, dts) in zip(packets, ticks, strict=True):
            packet = av.Packet(coded.data)
            packet.pts, packet.dts, packet.time_base = pts, dts, codec.time_base
            packet.duration, packet.is_keyframe = coded.duration, coded.key
            packet.stream = stream
            container.mux(packet)
    return buffer.getvalue()


def _shape(codec: Codec) -> tuple[object, ...]:
    """What two streams must share so that one container's stream can hold both."""
    with av.open(io.BytesIO(codec.template)) as container:
        context = container.streams.video[0].codec_context
        extra = bytes(context.extradata or b"")
        base: Fraction = codec.time_base
        return codec.name, base, context.width, context.height, extra, codec.matrix
