"""The life of one RTCPeerConnection: answered once, trickled to, noticed when it is gone, closed once."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from stream.relay import consent, containment
from stream.relay.events import Hub
from stream.relay.sdp import Candidate, Refused

log = logging.getLogger(__name__)

LABEL = "facewitness"  # of the data channel that gets the messages
CANDIDATES = 64  # that one peer may name
_GATHER = 5.0  # s for an answer
_SILENT = 2  # s that it may wait for a STUN or TURN server
_CLOSE = 5.0  # s
_BUFFERED = 1 << 18  # bytes waiting for a data channel, beyond which messages are dropped

consent.install()
containment.install()

_CLOSING: set[asyncio.Task[None]] = set()


class Peer:
    """One connection to a client. All on the event loop."""

    def __init__(self, ice: list[RTCIceServer], hub: Hub, stream: str) -> None:
        """ice: servers, [] for none. stream: whose messages the data channel gets."""
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=ice))
        self.connected = False
        self.on_connected: list[Callable[[], None]] = []
        self.on_gone: list[Callable[[], None]] = []  # called once, when the end begins
        self._closing: asyncio.Task[None] | None = None
        self._hub, self._stream = hub, stream
        self._tasks: set[asyncio.Task[Any]] = set()
        self._candidates = 0
        self._telling = False
        self.pc.on("connectionstatechange", self._changed)
        self.pc.on("datachannel", self._channel)

    async def take(self, offer: str) -> None:
        """Take the client's offer. Raises Refused where nothing in it can be agreed on."""
        try:
            await asyncio.wait_for(
                self.pc.setRemoteDescription(RTCSessionDescription(offer, "offer")), _GATHER
            )
        except TimeoutError:
            raise Refused(503, "the offer took too long") from None
        except Exception as error:  # aiortc raises whatever a parser may raise
            log.debug("offer refused: %s", error)
            raise Refused(422, "nothing in the offer can be agreed on") from None
        containment.contain(self.pc, self.close_soon)

    async def answer(self) -> str:
        """The answer with all candidates of our own. Raises Refused if they cannot be had in time."""
        self._hurry()
        try:
            await asyncio.wait_for(self.pc.setLocalDescription(), _GATHER)
        except Exception as error:
            log.debug("no answer: %s", error)
            raise Refused(503, "no answer could be made") from None
        return str(self.pc.localDescription.sdp)

    def _hurry(self) -> None:
        """aioice would wait five seconds for a STUN or TURN server that is silent."""
        transports = [t.receiver.transport for t in self.pc.getTransceivers()]
        if self.pc.sctp is not None:
            transports.append(self.pc.sctp.transport)
        for gatherer in {transport.transport.iceGatherer for transport in transports}:
            inner = gatherer._connection
            gather = functools.partial(inner.get_component_candidates, timeout=_SILENT)
            inner.get_component_candidates = gather  # type: ignore[method-assign]

    async def trickle(self, candidates: list[Candidate]) -> None:
        """Take further candidates (RFC 8840). Raises Refused for nonsense and for too many."""
        for candidate in candidates:
            self._candidates += 1
            if self._candidates > CANDIDATES:
                raise Refused(429, f"more than {CANDIDATES} candidates")
            try:
                parsed = candidate_from_sdp(candidate.line)
                parsed.sdpMid, parsed.sdpMLineIndex = candidate.mid, candidate.index
                await self.pc.addIceCandidate(parsed)
            except Exception as error:
                log.debug("candidate refused: %s", error)
                raise Refused(400, "a candidate cannot be understood") from None

    def task(self, work: Awaitable[None]) -> None:
        """Run something for as long as the peer lives."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close_soon(self) -> None:
        """Begin to let go of everything. Harmless when done twice."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
            _CLOSING.add(self._closing)  # the loop itself holds tasks weakly
            self._closing.add_done_callback(_CLOSING.discard)

    async def close(self) -> None:
        """Let go of everything, within a bounded time."""
        self.close_soon()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for callback in self.on_gone:
            try:
                callback()
            except Exception:  # the connection itself must be closed in any case
                log.exception("clearing up after a peer failed")
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.pc.close(), _CLOSE)

    def _changed(self) -> None:
        state = self.pc.connectionState
        if state == "connected" and not self.connected:
            self.connected = True
            for callback in self.on_connected:
                callback()
        elif state in ("failed", "closed"):
            self.close_soon()

    def _channel(self, channel: RTCDataChannel) -> None:
        if channel.label != LABEL or self._telling:
            channel.close()
            return
        self._telling = True
        self.task(self._tell(channel))

    async def _tell(self, channel: RTCDataChannel) -> None:
        try:
            messages = self._hub.subscribe(self._stream, asyncio.get_running_loop())
        except OverflowError:
            channel.close()
            return
        with contextlib.closing(messages):
            async for _, message in messages:
                if channel.readyState != "open":
                    return
                if channel.bufferedAmount < _BUFFERED:
                    channel.send(json.dumps(message, allow_nan=False))
