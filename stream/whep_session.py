"""One WHEP session as its client (draft-ietf-wish-whep): aiortc in a thread, the newest picture in a slot."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.sdp import SessionDescription

from stream.errors import Ended, Frozen, NotFound, NoVideoStream, SourceError, Unauthorized, Unreachable
from stream.relay import containment
from stream.relay.decoding import Decoding
from stream.relay.frames import Frames
from stream.relay.receiving import VideoTap, attach
from stream.sources import SourceOptions
from stream.values import Frame

LARGEST = 65_536  # bytes of an answer
LEAVE = 0.4  # s that the server may take to hear that we go
_LOOK = 0.1  # s between two looks at how the session does

containment.install()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a WHEP server is, and what it wants to see."""

    url: str  # http or https, without credentials
    token: str = field(default="", repr=False)
    stun: str = ""  # host:port, or ""


class Session:
    """One WHEP session in a thread with an event loop of its own; `take` waits for its newest picture."""

    def __init__(self, server: Endpoint, name: str, options: SourceOptions) -> None:
        self._server, self._name, self._options = server, name, options
        self._frames = Frames()
        self._seen = -1  # index of the frame that was taken last
        self._error: SourceError | None = None
        self._decoding: Decoding | None = None
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._serve, name=f"whep {name}", daemon=True)
        self._thread.start()

    def take(self) -> Frame:
        """The newest frame, each one once. Raises the error that ended the session."""
        while True:
            frame = self._frames.newer(self._seen, self._options.stall)
            if frame is not None:
                self._seen = frame.index
                return frame
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Take leave of the server and end the thread, within a bounded time."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(2 * LEAVE)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        error: SourceError = Ended(f"{self._name}: the stream ended")
        try:
            self._loop.run_until_complete(self._task)
        except SourceError as why:
            error = why
        except asyncio.CancelledError:
            pass
        except Exception as why:  # whatever aiortc makes of a strange server, the reader is told
            error = Unreachable(f"{self._name}: the session failed ({type(why).__name__})")
        finally:
            self._loop.close()
            self._error = error.with_traceback(None)
            self._frames.end()

    async def _run(self) -> None:
        """The whole session. Raises the SourceError that ended it."""
        servers = [RTCIceServer(f"stun:{self._server.stun}")] if self._server.stun else []
        peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        headers = {"Authorization": f"Bearer {self._server.token}"} if self._server.token else {}
        session = ""
        async with aiohttp.ClientSession(headers=headers) as http:
            try:
                async with asyncio.timeout(self._options.open_timeout):
                    answer, session = await self._ask(http, await _offer(peer))
                    ended = await self._accept(peer, answer)
                    await self._pictures(ended, peer, lambda: self._frames.count > 0)
                await self._pictures(ended, peer, lambda: self._frames.silence > self._options.stall)
                raise Frozen(f"{self._name}: no picture for {self._options.stall:g} s")
            except TimeoutError:
                what = f"no {'picture' if session else 'answer'} within {self._options.open_timeout:g} s"
                raise Unreachable(f"{self._name}: {what}") from None
            finally:
                if self._decoding is not None:
                    self._decoding.close()
                await _leave(http, session, peer)

    async def _ask(self, http: aiohttp.ClientSession, offer: str) -> tuple[str, str]:
        """Post the offer. Returns the answer and the session's URL, "" where the server names none."""
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        try:
            async with http.post(self._server.url, data=offer.encode(), headers=headers) as response:
                body = await _read(response)
                place = response.headers.get("Location", "")
                session = str(response.url.join(type(response.url)(place))) if place else ""
        except aiohttp.ClientConnectorCertificateError:
            raise Unreachable(f"{self._name}: the server's certificate is not trusted") from None
        except aiohttp.ClientConnectorError as error:
            why = (error.os_error.strerror or "no such host").lower()
            raise Unreachable(f"{self._name}: cannot be reached ({why})") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{self._name}: no sound HTTP answer ({type(error).__name__})") from None
        if response.status in (401, 403):
            raise Unauthorized(f"{self._name}: wrong or missing token ({response.status})")
        if response.status in (404, 410):
            raise NotFound(f"{self._name}: the server has no such stream ({response.status})")
        if response.status >= 400:
            raise Unreachable(f"{self._name}: the server refuses ({response.status})")
        if response.status != 201 or response.content_type != "application/sdp":
            raise Unreachable(f"{self._name}: what answers there does not speak WHEP")
        return body, session

    async def _accept(self, peer: RTCPeerConnection, answer: str) -> asyncio.Future[Any]:
        """Take the answer, and decode what will come. Returns what is done once the server ends the video."""
        codecs: dict[int, str] = {}  # by payload type
        transceiver = peer.getTransceivers()[0]
        tap = VideoTap(codecs)
        self._decoding = Decoding(self._name, self._frames, tap.want_key)
        tap.deliver = self._decoding.put
        attach(transceiver.receiver, tap)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            for media in SessionDescription.parse(answer).media:
                codecs |= {codec.payloadType or 0: codec.name for codec in media.rtp.codecs}
        except OperationError:
            raise NoVideoStream(f"{self._name}: the server has no video in VP8 or H.264") from None
        except Exception as error:  # aiortc's parser raises nearly anything
            raise Unreachable(f"{self._name}: the answer is no sound SDP ({type(error).__name__})") from None
        if transceiver.currentDirection != "recvonly":
            raise NoVideoStream(f"{self._name}: the server sends no video")
        # The tap takes all pictures, so that nothing comes of the track but its end.
        ended: asyncio.Future[Any] = asyncio.ensure_future(transceiver.receiver.track.recv())
        ended.add_done_callback(lambda ending: ending.cancelled() or ending.exception())  # no complaint of it
        return ended

    async def _pictures(
        self, ended: asyncio.Future[Any], peer: RTCPeerConnection, until: Callable[[], bool]
    ) -> None:
        """Wait until something holds. Raises Ended or Unreachable when the connection does."""
        while not until():
            await asyncio.wait({ended}, timeout=_LOOK)
            if ended.done():
                raise Ended(f"{self._name}: the server ended the stream")
            if peer.connectionState == "failed":
                if self._frames.count:
                    raise Ended(f"{self._name}: the media connection broke")
                raise Unreachable(f"{self._name}: no media connection (ICE or DTLS failed)")


async def _offer(peer: RTCPeerConnection) -> str:
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    return peer.localDescription.sdp


async def _read(response: aiohttp.ClientResponse) -> str:
    """The body, LARGEST bytes at most. Raises ValueError beyond."""
    try:
        await response.content.readexactly(LARGEST + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial.decode("utf-8", "replace")
    raise ValueError("the answer is too long")


async def _leave(http: aiohttp.ClientSession, session: str, peer: RTCPeerConnection) -> None:
    """Tell the server, if it hears, and free everything."""
    if session:
        with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, TimeoutError):
            async with asyncio.timeout(LEAVE):
                await http.delete(session)
    await peer.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
