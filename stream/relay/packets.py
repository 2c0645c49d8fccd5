"""A track of packets that are encoded already: what one viewer's or listener's sender reads."""

import asyncio
from collections import deque

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack


class PacketTrack(MediaStreamTrack):
    """Packets that wait for one sender. On the event loop; a subclass says what may wait, and bounds it."""

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[av.Packet] = deque()
        self._ready = asyncio.Event()
        self._reading = self._ended = False

    def end(self) -> None:
        """No packet comes any more."""
        self._ended = True
        self._ready.set()

    async def recv(self) -> av.Packet:
        """The next packet. Raises MediaStreamError at the end."""
        if not self._reading:
            self._reading = True
            self._begin()
        while not self._packets:
            if self._ended:
                raise MediaStreamError
            self._ready.clear()
            await self._ready.wait()
        return self._packets.popleft()

    def _begin(self) -> None:
        """The sender reads for the first time."""

    def _add(self, packet: av.Packet) -> None:
        self._packets.append(packet)
        self._ready.set()
