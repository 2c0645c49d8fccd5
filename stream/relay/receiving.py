"""Takes encoded media out of aiortc's receivers when it is whole, before they would queue and decode it.

aiortc decodes all that comes, behind a queue without a bound, and lets a picture go only when the next one
begins. Both cost a live relay dear; so each receiver gets one of these in the place of its jitter buffer.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

log = logging.getLogger(__name__)

VIDEO_CLOCK = 90_000  # ticks a second, RFC 6184 section 8.2.1 and RFC 7741 section 6.1
STUCK = 0.5  # s that a missing packet may hold the picture up; what is asked for again comes sooner
ASK = 0.5  # s between two requests for a key frame
_KEPT = 512  # packets, a power of two: some seconds of 1.5 Mbit/s


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One picture as it came over the network."""

    codec: str  # "H264" or "VP8"
    data: bytes  # H.264 with start codes
    time: float  # s on the sender's clock, 0 at its first picture
    arrived: float  # s, time.monotonic() when its last packet came
    whole: bool  # nothing was lost just before it or in it


class Unwrapper:
    """Makes 32-bit timestamps that wrap around into numbers that do not; the first is 0. Pure."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._value = 0

    def place(self, timestamp: int) -> int:
        """The number of ticks since the first timestamp; less than the one before if it comes late."""
        if self._last is not None:
            step = (timestamp - self._last) & 0xFFFFFFFF
            self._value += step - (1 << 32) if step >= 1 << 31 else step
        self._last = timestamp
        return self._value


class VideoTap(JitterBuffer):
    """Orders packets and hands each picture on as soon as its last packet, the marked one, is there."""

    def __init__(self, codecs: Mapping[int, str]) -> None:
        """codecs: the name for each payload type; may be filled until the first packet comes."""
        super().__init__(capacity=_KEPT, is_video=True)
        self._codecs = codecs
        self.deliver: Callable[[Encoded], None] = lambda picture: None  # on the event loop; must not block
        self._clock = Unwrapper()
        self._since: float | None = None  # s, since when packets have waited without a picture
        self._asked = 0.0  # s
        self._whole = True
        self._wants_key = False

    def want_key(self) -> None:
        """Ask the sender for a key frame (PLI, RFC 4585 section 6.3.1) with the next packet. Any thread."""
        self._wants_key = True

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet. Returns whether to ask for a key frame, and never a picture for aiortc to decode."""
        now = time.monotonic()
        dropped, frame = super().add(packet)
        if frame is None and self._since is not None and now - self._since > STUCK:
            self._skip_to(packet)
            dropped = True
        if dropped:
            self._whole = False
            self.want_key()
        if frame is None:
            self._since = self._since or now
        while frame is not None:
            self._since = None
            self._hand_on(frame, packet.payload_type, now)
            frame = self._remove_frame(packet.sequence_number)
        if not self._wants_key or now - self._asked < ASK:
            return False, None
        self._wants_key, self._asked = False, now
        return True, None

    def _hand_on(self, frame: JitterFrame, payload_type: int, now: float) -> None:
        codec = self._codecs.get(payload_type)
        if codec is None or not frame.data:
            return
        seconds = self._clock.place(frame.timestamp) / VIDEO_CLOCK
        whole, self._whole = self._whole, True
        self.deliver(Encoded(codec, frame.data, seconds, now, whole))

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        """The oldest picture if all its packets are there."""
        packets: list[RtpPacket] = []
        for count in range(self._capacity):
            packet = self._packets[((self._origin or 0) + count) % self._capacity]
            if packet is None:
                return None
            if packets and packet.timestamp != packets[0].timestamp:  # a sender that sets no marker
                break
            packets.append(packet)
            if packet.marker:
                break
        self.remove(len(packets))
        data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
        return JitterFrame(data, packets[0].timestamp)

    def _skip_to(self, packet: RtpPacket) -> None:
        """Give up what is missing: go on with the picture that `packet` belongs to."""
        begin = packet.sequence_number
        for _ in range(self._capacity):
            before = self._packets[(begin - 1) % self._capacity]
            if before is None or before.timestamp != packet.timestamp:
                break
            begin = (begin - 1) & 0xFFFF
        self.remove(min((begin - (self._origin or 0)) & 0xFFFF, self._capacity))
        self._origin, self._since = begin, None


class AudioTap:
    """Hands each packet of sound on as it comes; aiortc's receiver still counts it for its reports."""

    def __init__(self, codecs: Mapping[int, str], deliver: Callable[[bytes, int], None]) -> None:
        """codecs: the name for each payload type. deliver(payload, ticks of 1/48000 s): on the event loop."""
        self._codecs, self._deliver = codecs, deliver
        self._clock = Unwrapper()

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; nothing is left for aiortc to decode."""
        if self._codecs.get(packet.payload_type) == "opus" and packet.payload:
            self._deliver(packet.payload, self._clock.place(packet.timestamp))
        return False, None


def attach(receiver: RTCRtpReceiver, tap: VideoTap | AudioTap) -> None:
    """Put a tap in the place of a receiver's jitter buffer, before its first packet.

    Raises RuntimeError if this aiortc keeps its packets elsewhere.
    """
    name = "_RTCRtpReceiver__jitter_buffer"
    if not hasattr(receiver, name):
        raise RuntimeError("this version of aiortc is not known to the relay")
    setattr(receiver, name, tap)
