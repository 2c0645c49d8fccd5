"""One WHEP session as its client (draft-ietf-wish-whep): aiortc in a thread, the newest picture in a slot."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.mediastreams import MediaStreamError

from stream.errors import Ended, Frozen, NotFound, NoVideoStream, SourceError, Unauthorized, Unreachable
from stream.sources import SourceOptions

LARGEST = 65_536  # bytes of an answer
LEAVE = 0.4  # s that the server may take to hear that we go


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a WHEP server is, and what it wants to see."""

    url: str  # http or https, without credentials
    token: str = field(default="", repr=False)
    stun: str = ""  # host:port, or ""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A decoded picture as it came."""

    picture: av.VideoFrame
    captured: float  # s, monotonic
    index: int
    corrupt: bool


class Session:
    """One WHEP session in a thread with an event loop of its own; `take` waits for its newest picture."""

    def __init__(self, server: Endpoint, name: str, options: SourceOptions) -> None:
        self._server, self._name, self._options = server, name, options
        self._changed = threading.Condition()
        self._newest: Taken | None = None
        self._error: SourceError | None = None
        self._count = 0  # pictures that came
        self._damaged = False  # pictures are missing since the last key frame
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._serve, name=f"whep {name}", daemon=True)
        self._thread.start()

    def take(self) -> Taken:
        """The newest picture, each one once. Raises the error that ended the session."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._error)
            taken, self._newest = self._newest, None
            if taken is None:
                assert self._error is not None
                raise self._error
            return taken

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
            with self._changed:
                self._error = error.with_traceback(None)
                self._changed.notify_all()

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
                    pictures = self._pictures(*await self._accept(peer, answer))
                    await anext(pictures)
                while True:
                    async with asyncio.timeout(self._options.stall):
                        await anext(pictures)
            except TimeoutError:
                raise self._late(bool(session)) from None
            finally:
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

    async def _accept(
        self, peer: RTCPeerConnection, answer: str
    ) -> tuple[MediaStreamTrack, asyncio.Future[Any]]:
        """Take the answer. Returns the video, and a future that is done once the media connection has failed."""
        lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState == "failed" and not lost.done():
                lost.set_result(None)

        transceiver = peer.getTransceivers()[0]
        try:
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except OperationError:
            raise NoVideoStream(f"{self._name}: the server has no video in VP8 or H.264") from None
        except Exception as error:  # aiortc's parser raises nearly anything
            raise Unreachable(f"{self._name}: the answer is no sound SDP ({type(error).__name__})") from None
        if transceiver.currentDirection != "recvonly":
            raise NoVideoStream(f"{self._name}: the server sends no video")
        _tell_loss(transceiver.receiver, self._lost_packets)
        return transceiver.receiver.track, lost

    async def _pictures(
        self, track: MediaStreamTrack, lost: asyncio.Future[Any]
    ) -> AsyncGenerator[None, None]:
        """Put each picture in the slot as it comes; yields after each."""
        while True:
            coming: asyncio.Future[Any] = asyncio.ensure_future(track.recv())
            try:
                await asyncio.wait({coming, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise self._broken()
                picture = coming.result()
            except MediaStreamError:
                raise Ended(f"{self._name}: the server ended the stream") from None
            finally:
                coming.cancel()
            if isinstance(picture, av.VideoFrame):
                self._put(picture)
                yield

    def _put(self, picture: av.VideoFrame) -> None:
        self._damaged = self._damaged and not picture.key_frame
        taken = Taken(picture, time.monotonic(), self._count, self._damaged or picture.is_corrupt)
        self._count += 1
        with self._changed:
            self._newest = taken
            self._changed.notify_all()

    def _lost_packets(self) -> None:
        self._damaged = True

    def _broken(self) -> SourceError:
        if self._count:
            return Ended(f"{self._name}: the media connection broke")
        return Unreachable(f"{self._name}: no media connection (ICE or DTLS failed)")

    def _late(self, answered: bool) -> SourceError:
        if self._count:
            return Frozen(f"{self._name}: no picture for {self._options.stall:g} s")
        what = "picture" if answered else "answer"
        return Unreachable(f"{self._name}: no {what} within {self._options.open_timeout:g} s")


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


def _tell_loss(receiver: RTCRtpReceiver, tell: Callable[[], None]) -> None:
    """Call `tell` whenever the receiver asks for a key frame, because pictures are missing or broken.

    aiortc says so to the sender only (RFC 4585, section 6.3.1), and the pictures that follow are smeared.
    """
    ask = receiver._send_rtcp_pli

    async def told(media_ssrc: int) -> None:
        tell()
        await ask(media_ssrc)

    receiver._send_rtcp_pli = told  # type: ignore[method-assign]
