"""One kind of picture of a stream, painted and encoded in a thread of its own for all who view it."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from enum import Enum

import av
import numpy as np
from numpy.typing import NDArray

from stream.relay.encode import Encoder, to_yuv
from stream.relay.frames import Frames
from stream.relay.packets import PacketTrack
from stream.values import Frame
from stream.views import View

log = logging.getLogger(__name__)

_WAITING = 60  # packets that wait for one viewer; a loop that is two seconds behind begins anew
_KEY_EVERY = 0.5  # s, at least, between two key frames that viewers ask for
_IDLE = 0.5  # s between two pictures of a stream that brings none
_SMOOTH = 0.1  # weight of the newest measurement in the delay


class Kind(Enum):
    """Which picture a viewer gets."""

    ANNOTATED = "annotated"
    PLAIN = "plain"


class VideoOut(PacketTrack):
    """What one viewer's sender reads: packets from a key frame on. Lives on the event loop."""

    kind = "video"

    def __init__(self, ask_key: Callable[[], None]) -> None:
        """ask_key: asks the encoder for a key frame."""
        super().__init__()
        self._ask_key = ask_key
        self._needs_key = True

    def offer(self, packet: av.Packet) -> None:
        """Leave a packet. Before the sender reads, and after it fell behind, nothing is kept."""
        if not self._reading or (self._needs_key and not packet.is_keyframe):
            return
        if len(self._packets) >= _WAITING:
            self._packets.clear()
            self._needs_key = True
            self._ask_key()
            return
        self._needs_key = False
        self._add(packet)

    def _begin(self) -> None:
        self._ask_key()


class Output:
    """The thread of one kind of picture: newest frame -> paint -> one encoder a codec -> all viewers."""

    def __init__(
        self,
        name: str,
        frames: Frames,
        paint: Callable[[Frame], NDArray[np.uint8]],
        loop: asyncio.AbstractEventLoop,
        view: View | None = None,
    ) -> None:
        """paint: makes a frame into the picture that is sent. view: gets each picture too."""
        self._frames, self._paint, self._loop, self._view = frames, paint, loop, view
        self._viewers: dict[str, list[VideoOut]] = {}  # by codec; on the event loop only
        self._lock = threading.Lock()
        self._encoders: dict[str, Encoder] = {}
        self._wants_key: dict[str, float] = {}  # codec -> s, since when a key frame is asked for
        self._last_key: dict[str, float] = {}  # s, monotonic
        self._stop = threading.Event()
        self.delay = 0.0  # s from a picture's arrival to its packets, smoothed
        self.keys = 0  # key frames that viewers asked for
        self.encoded = 0  # pictures, over all encoders that there ever were
        self.thread = threading.Thread(target=self._run, name=f"painter of {name}", daemon=True)
        self.thread.start()

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs that are being encoded now."""
        return tuple(self._encoders)

    @property
    def viewers(self) -> int:
        """How many look at it."""
        return sum(map(len, self._viewers.values()))

    @property
    def idle(self) -> bool:
        """Whether nobody looks and nothing else gets the pictures."""
        return not self._viewers and self._view is None

    def join(self, codec: str) -> VideoOut:
        """A new viewer's track. On the event loop."""
        track = VideoOut(lambda: self.ask_key(codec))
        self._viewers.setdefault(codec, []).append(track)
        with self._lock:
            self._encoders.setdefault(codec, Encoder(codec))
        return track

    def leave(self, track: VideoOut) -> None:
        """A viewer has gone; the last one of a codec takes the encoder along. On the event loop."""
        track.end()
        for codec, tracks in list(self._viewers.items()):
            if track in tracks:
                tracks.remove(track)
            if not tracks:
                del self._viewers[codec]
                with self._lock:
                    self._encoders.pop(codec, None)

    def ask_key(self, codec: str) -> None:
        """A viewer needs a key frame: at once if there was none of late, else a little later."""
        with self._lock:
            self._wants_key.setdefault(codec, time.monotonic())

    def close(self) -> None:
        """End the thread, without waiting for it, and every viewer's track. On the event loop."""
        self._stop.set()
        for tracks in self._viewers.values():
            for track in tracks:
                track.end()
        self._viewers.clear()

    def _run(self) -> None:
        seen = -1
        last: Frame | None = None
        begin = time.monotonic()
        while not self._stop.is_set() and not self._frames.ended:
            frame = self._frames.newer(seen, _IDLE)
            if frame is None and (last is None or self._frames.connected):
                continue
            fresh = frame is not None
            frame = last = frame or last
            assert frame is not None
            seen = frame.index
            try:
                self._one(frame, frame.time if fresh else frame.time + self._frames.silence)
            except Exception:  # one picture that cannot be painted or encoded must not end the stream
                log.exception("a picture could not be sent on")
                self._stop.wait(_IDLE)
            if fresh:
                took = time.monotonic() - frame.captured
                self.delay += _SMOOTH * (took - self.delay) if self.delay else took
        log.debug("painter ends after %.1f s", time.monotonic() - begin)

    def _one(self, frame: Frame, moment: float) -> None:
        picture = self._paint(frame)
        if self._view is not None:
            self._view.show(picture, moment)
        with self._lock:
            encoders = list(self._encoders.items())
        if not encoders:
            return
        yuv = to_yuv(picture)
        for codec, encoder in encoders:
            for packet in encoder.encode(yuv, moment, self._key_due(codec)):
                self._loop.call_soon_threadsafe(self._hand_out, codec, packet)
            self.encoded += 1

    def _key_due(self, codec: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if codec not in self._wants_key or now - self._last_key.get(codec, -1e9) < _KEY_EVERY:
                return False
            del self._wants_key[codec]
            self._last_key[codec] = now
            self.keys += 1
            return True

    def _hand_out(self, codec: str, packet: av.Packet) -> None:
        for track in self._viewers.get(codec, ()):
            track.offer(packet)
