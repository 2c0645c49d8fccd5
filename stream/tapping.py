"""Taps the packets that a decoder reads: hands them on as values, on the clock of the decoded pictures."""

import io
import logging
from collections import deque
from typing import cast

import av
from av.sidedata.sidedata import SideData, Type
from av.video.stream import VideoStream

from stream.coded import Codec, Coded, Tap

log = logging.getLogger(__name__)

_HELD = 200  # packets that wait for the first picture


class Tapping:
    """Hands every encoded picture of one stream to a tap, on the clock of the decoded ones."""

    def __init__(self, stream: VideoStream, tap: Tap) -> None:
        """Pictures before the first key picture are left out: nothing can be made of them."""
        self._stream, self._tap = stream, tap
        self._codec: Codec | None = None  # once a picture of it was decoded
        self._held: deque[tuple[av.Packet, float | None]] = deque()  # until then
        self._useless = False  # no container takes this codec
        self._offset = 0.0  # s, from the stream's timestamps to the source's clock
        self._time = 0.0  # s, of the last decoded picture

    def packet(self, packet: av.Packet, stamp: float | None) -> None:
        """Hand on one packet. stamp: its presentation time in s as the stream has it."""
        if not packet.size or packet.time_base is None or self._useless:
            return
        if self._codec is not None:
            self._give(packet, stamp, self._codec)
            return
        if len(self._held) >= _HELD:
            self._held.clear()
        if self._held or packet.is_keyframe:
            self._held.append((packet, stamp))

    def decoded(self, frame: av.VideoFrame, stamp: float | None, time: float) -> None:
        """A picture of that stamp came out and stands at `time` s on the source's clock."""
        self._time = time
        if stamp is not None:
            self._offset = time - stamp
        if self._codec is None and self._held:
            try:  # only now, because only a picture tells how it is turned
                self._codec = codec_of(self._stream, self._held[0][0], frame)
            except (av.FFmpegError, ValueError) as error:
                self._useless = True
                self._held.clear()
                log.info("its packets cannot be kept: %s", error)
            while self._held and self._codec is not None:
                self._give(*self._held.popleft(), self._codec)

    def _give(self, packet: av.Packet, stamp: float | None, codec: Codec) -> None:
        self._tap(coded(packet, self._time if stamp is None else stamp + self._offset, codec))


def coded(packet: av.Packet, time: float, codec: Codec) -> Coded:
    """A packet as a value, with a copy of its bytes."""
    return Coded(bytes(packet), packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, time, codec)


def codec_of(stream: VideoStream, key: av.Packet, picture: av.VideoFrame | None = None) -> Codec:
    """What must be known of a stream. key: one of its key pictures; picture: one of it, decoded."""
    base = key.time_base
    assert base is not None
    buffer = io.BytesIO()
    # NUT takes any codec and changes nothing: neither its header bytes nor the form of its packets.
    with av.open(buffer, "w", format="nut") as container:
        copy = av.Packet(bytes(key))
        copy.pts = copy.dts = 0
        copy.time_base, copy.is_keyframe = base, True
        copy.stream = container.add_stream_from_template(stream, opaque=True)
        container.mux(copy)
    return Codec(stream.codec_context.codec.canonical_name, base, buffer.getvalue(), _matrix(picture))


def _matrix(picture: av.VideoFrame | None) -> bytes:
    if picture is None:
        return b""
    side = cast(dict[Type, SideData], picture.side_data).get(Type.DISPLAYMATRIX)
    return b"" if side is None else bytes(side)
