"""Sound passed through: Opus packets as they came, held back for as long as the picture takes."""

import asyncio
import heapq
from collections.abc import Callable
from fractions import Fraction

import av

from stream.relay.packets import PacketTrack

MOST = 0.25  # s that sound is held back, however slow the picture is
_WAITING = 100  # packets (2 s) that wait for one listener, or for their time
_TIME_BASE = Fraction(1, 48_000)  # RFC 7587 section 4.1


class Holder:
    """Orders packets while they wait. Pure: the time comes in, the packets that are due go out."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float, bytes]] = []  # ticks, s when due, payload
        self._last = -1  # ticks

    def add(self, ticks: int, payload: bytes, due: float) -> None:
        """Take a packet. One that is older than what went out is dropped, and so is a flood's oldest."""
        if ticks <= self._last:
            return
        heapq.heappush(self._waiting, (ticks, due, payload))
        if len(self._waiting) > _WAITING:
            heapq.heappop(self._waiting)

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """The packets whose time has come, in the order of their ticks."""
        out = []
        while self._waiting and min(due for _, due, _ in self._waiting[:4]) <= now:
            ticks, _, payload = heapq.heappop(self._waiting)
            if ticks > self._last:
                self._last = ticks
                out.append((ticks, payload))
        return out


class AudioOut(PacketTrack):
    """What one listener's sender reads. Lives on the event loop."""

    kind = "audio"

    def offer(self, packet: av.Packet) -> None:
        """Leave a packet; the oldest is lost to a listener who does not take them."""
        if self._reading:
            self._add(packet)
            if len(self._packets) > _WAITING:
                self._packets.popleft()


class Sound:
    """The sound that goes with one kind of picture. Lives on the event loop."""

    def __init__(self, delay: Callable[[], float]) -> None:
        """delay: s that the picture takes through the relay just now."""
        self._delay = delay
        self._holder = Holder()
        self._listeners: list[AudioOut] = []
        self.packets = 0  # handed on

    def put(self, payload: bytes, ticks: int) -> None:
        """A packet came in: `ticks` of 1/48000 s."""
        if not self._listeners:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + min(max(self._delay(), 0.0), MOST)
        self._holder.add(ticks, payload, due)
        loop.call_at(due, self._release)

    def join(self) -> AudioOut:
        """A new listener's track."""
        self._listeners.append(AudioOut())
        return self._listeners[-1]

    def leave(self, track: AudioOut) -> None:
        """A listener has gone."""
        track.end()
        if track in self._listeners:
            self._listeners.remove(track)

    def _release(self) -> None:
        for ticks, payload in self._holder.due(asyncio.get_running_loop().time()):
            packet = av.Packet(payload)
            packet.pts, packet.time_base = ticks, _TIME_BASE
            self.packets += 1
            for listener in self._listeners:
                listener.offer(packet)
