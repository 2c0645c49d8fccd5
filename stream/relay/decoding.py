"""Decodes a publisher's pictures in a thread of their own; only the newest becomes a frame."""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import cast

import av
from av.codec.context import Flags

from stream.decode import Painter
from stream.errors import NotVideo, SourceError
from stream.relay.frames import Frames
from stream.relay.receiving import VIDEO_CLOCK, Encoded
from stream.timeline import Timeline
from stream.values import Frame

log = logging.getLogger(__name__)

LARGEST = 2560 * 1440  # px; nobody holds a call in more, and each costs memory several times
BOUND = 90  # pictures that wait for the decoder; more is a flood, and what is old is of no use
_DECODERS = {"H264": "h264", "VP8": "libvpx"}
_IDR = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")  # start code and nal_unit_type 5, ITU-T H.264 table 7-1


def is_key(codec: str, data: bytes) -> bool:
    """Whether a decoder can start with this picture (H.264 with start codes; VP8: RFC 6386 section 9.1)."""
    return bool(_IDR.search(data)) if codec == "H264" else bool(data) and not data[0] & 1


def is_too_large(codec: str, data: bytes) -> bool:
    """Whether a key frame of VP8 tells too large a size (RFC 6386 section 9.1).

    To be asked before libvpx, which takes a gigabyte for a header of ten bytes.
    """
    if codec != "VP8" or len(data) < 10 or data[0] & 1:
        return False
    width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (6, 8))
    return width * height > LARGEST


class Decoding:
    """One publisher's video: encoded pictures in, frames out."""

    def __init__(self, name: str, frames: Frames, want_key: Callable[[], None]) -> None:
        """frames: where the pictures go. want_key: asks the sender for a key frame, from any thread."""
        self._name, self._frames, self._want_key = name, frames, want_key
        self._queue: deque[Encoded] = deque()
        self._change = threading.Condition()
        self._ending = False
        self._context: av.VideoCodecContext | None = None
        self._codec = ""
        self._told = ""  # the complaint that was logged last
        self._broken = True  # until the first key frame
        self._count = frames.count
        self._timeline, self._painter = Timeline(1 / 30), Painter(name)
        self._thread: threading.Thread | None = None

    def put(self, picture: Encoded) -> None:
        """Leave a picture; never waits. A decoder that cannot keep up begins anew at the next key frame."""
        with self._change:
            if self._ending:
                return
            if self._thread is None:
                name = f"decoder of {self._name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._queue.append(picture)
            if len(self._queue) > BOUND:
                self._queue.clear()
                self._broken = True
                self._want_key()
            self._change.notify()

    def close(self) -> None:
        """End the thread; does not wait for it."""
        with self._change:
            self._ending = True
            self._queue.clear()
            self._change.notify()

    def _take(self) -> list[Encoded]:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ending)
            batch = list(self._queue)
            self._queue.clear()
            return batch

    def _run(self) -> None:
        while batch := self._take():
            newest: tuple[av.VideoFrame, Encoded] | None = None
            for picture in batch:
                decoded = self._decode(picture)
                self._count += len(decoded)
                newest = (decoded[-1], picture) if decoded else newest
            if newest is not None:
                self._deliver(*newest)

    def _decode(self, picture: Encoded) -> list[av.VideoFrame]:
        """Decode one picture. What cannot be decoded brings nothing and a request for a key frame."""
        if picture.codec != self._codec or self._context is None:
            self._context = cast(av.VideoCodecContext, av.CodecContext.create(_DECODERS[picture.codec], "r"))
            self._context.thread_count = 1  # frame threads would delay each picture
            self._context.options = {"max_pixels": str(LARGEST)}
            self._context.flags |= Flags.low_delay
            self._codec, self._broken = picture.codec, True
        if is_too_large(picture.codec, picture.data):
            self._broken = True
            return []
        if is_key(picture.codec, picture.data):
            self._broken = False
        elif not picture.whole:
            self._broken = True
        packet = av.Packet(picture.data)
        packet.pts = round(picture.time * VIDEO_CLOCK)
        try:
            decoded = self._context.decode(packet)
        except av.FFmpegError:
            decoded, self._broken = [], True
        if self._broken:
            self._want_key()
        return decoded

    def _deliver(self, decoded: av.VideoFrame, picture: Encoded) -> None:
        try:
            if decoded.width * decoded.height > LARGEST:
                raise NotVideo(f"{self._name}: pictures of {decoded.width}x{decoded.height} px are too large")
            image = self._painter.paint(decoded)
        except SourceError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("%s", error)
            return
        time = self._timeline.place(picture.time, picture.arrived)
        corrupt = self._broken or decoded.is_corrupt
        self._frames.put(Frame(image, time, picture.arrived, self._count - 1, corrupt))
