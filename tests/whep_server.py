"""A WHEP server on loopback made of aiortc and aiohttp, well-behaved or not, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterator

import numpy as np
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from tests.relay_peers import Picture, Pictures

TOKEN = "a-token-for-viewers"


def noise(width: int = 320, height: int = 240) -> Iterator[Picture]:
    """Pictures with a number: grey of that value, one more each, and a fixed pattern below."""
    pattern = np.random.default_rng(1).integers(0, 255, (height // 16, width // 16, 3), np.uint8)
    below = np.kron(pattern, np.ones((16, 16, 1), np.uint8))
    for number in itertools.count():
        picture = below.copy()
        picture[: height // 2] = 40 + number % 160
        yield picture


class WhepServer:
    """Serves pictures at /whep/live until it is left. The attributes make it misbehave."""

    def __init__(self, codec: str = "VP8", pictures: Callable[[], Iterator[Picture]] = noise) -> None:
        self.codec, self.pictures = codec, pictures
        self.token = ""  # "" lets all in
        self.change: Callable[[str], str] = lambda answer: answer
        self.reply: tuple[int, str, str] | None = None  # status, type and body, instead of an answer
        self.hang = 0.0  # s before an answer
        self.location = "live/1"
        self.peers: list[RTCPeerConnection] = []
        self.cameras: list[Pictures] = []
        self.requests: list[tuple[str, str, str]] = []  # method, path with query, Authorization
        self.port = 0

    def __enter__(self) -> WhepServer:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"whep+http://127.0.0.1:{self.port}/whep/live"

    def call(self, work, timeout: float = 20.0):
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def freeze(self) -> None:
        """Send no more pictures, and keep the connection."""
        for camera in self.cameras:
            camera._rate = 1e-6

    def end(self) -> None:
        """Close every session."""
        self.call(self._close())

    def deleted(self) -> bool:
        return any(method == "DELETE" for method, *_ in self.requests)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._close()
        await self._runner.cleanup()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            await asyncio.gather(*(peer.close() for peer in self.peers))
        self.peers.clear()

    async def _handle(self, request: web.Request) -> web.Response:
        told = request.headers.get("Authorization", "")
        self.requests.append((request.method, request.path_qs, told))
        if self.token and told != f"Bearer {self.token}":
            return web.Response(status=401)
        if request.method == "DELETE":
            return web.Response(status=200)
        if not request.path.endswith("/live"):
            return web.Response(status=404)
        await asyncio.sleep(self.hang)
        if self.reply:
            status, kind, body = self.reply
            return web.Response(status=status, content_type=kind, text=body)
        answer = self.change(await self._answer(await request.text()))
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=201, content_type="application/sdp", text=answer, headers=headers)

    async def _answer(self, offer: str) -> str:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        camera = Pictures(self.pictures())
        self.cameras.append(camera)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        peer.addTrack(camera)
        known = RTCRtpSender.getCapabilities("video").codecs
        sending = peer.getTransceivers()[0]
        sending.setCodecPreferences([c for c in known if c.name in (self.codec, "rtx")])
        # aiortc chooses when it takes the offer, so it has to take it again with what it prefers now.
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return re.sub("a=end-of-candidates\r\n", "", peer.localDescription.sdp)
