"""For the relay's tests: a relay in this process, and plain aiortc clients that publish and view."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from stream.relay.access import Access
from stream.relay.app import make_app
from stream.relay.command import serving
from stream.relay.events import Hub
from stream.relay.ice import IceServers
from stream.relay.limits import Bounds, Limits
from stream.relay.registry import Analysis, Registry
from stream.relay.sink import HubSink
from stream.sinks import Dispatcher

Picture = NDArray[np.uint8]  # (H, W, 3) BGR

OPUS_TIME = fractions.Fraction(1, 48_000)


class Pictures(MediaStreamTrack):
    """A camera: the pictures of an iterator, at its rate; the last one again and again at the end."""

    kind = "video"

    def __init__(self, pictures: Iterator[Picture], rate: float = 30.0) -> None:
        super().__init__()
        self._pictures, self._rate = pictures, rate
        self._begin: float | None = None  # s, when the first picture was due, moved on by lateness
        self._zero: float | None = None  # s, of the timestamps
        self.paused = False
        self._count = 0
        self._last: Picture | None = None

    async def recv(self) -> av.VideoFrame:
        now = time.monotonic()
        self._zero = self._zero or now
        self._begin = self._begin or now
        due = self._begin + self._count / self._rate
        if due > now:
            await asyncio.sleep(due - now)
        elif now - due > 1 / self._rate:  # late: a camera does not catch up
            self._begin = now - self._count / self._rate
        while self.paused:
            await asyncio.sleep(0.05)
        picture = next(self._pictures, None)
        self._last = self._last if picture is None else picture
        frame = av.VideoFrame.from_ndarray(self._last, format="bgr24")
        frame.pts = round((time.monotonic() - self._zero) * 90_000)
        frame.time_base = fractions.Fraction(1, 90_000)
        self._count += 1
        return frame


class Packets(MediaStreamTrack):
    """A microphone whose Opus packets are known in advance: number after number."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[bytes, float] = {}  # s, monotonic
        self._count = 0
        self._begin: float | None = None

    async def recv(self) -> av.Packet:
        self._begin = self._begin or time.monotonic()
        await asyncio.sleep(max(self._begin + self._count * 0.02 - time.monotonic(), 0))
        # 20 ms of CELT, one frame (RFC 6716 section 3.1); the rest is nonsense that nobody decodes
        payload = bytes([0b11111000]) + self._count.to_bytes(4) + b"facewitness"
        packet = av.Packet(payload)
        packet.pts, packet.time_base = self._count * 960, OPUS_TIME
        self.sent[payload] = time.monotonic()
        if len(self.sent) > 3000:
            del self.sent[next(iter(self.sent))]
        self._count += 1
        return packet


class Client:
    """A WHIP or WHEP session from the other side."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self.session_url = url, ""
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.messages: deque[dict] = deque(maxlen=3000)
        self.status = 0
        self.answer = ""

    async def connect(self) -> int:
        """Offer, and take the answer. Returns the status of the reply."""
        channel = self.pc.createDataChannel("facewitness")
        channel.on("message", lambda text: self.messages.append(json.loads(text)))
        await self.pc.setLocalDescription(await self.pc.createOffer())
        async with aiohttp.ClientSession() as http:
            headers = self.headers | {"Content-Type": "application/sdp"}
            async with http.post(self.url, data=self.pc.localDescription.sdp, headers=headers) as reply:
                self.status, self.answer = reply.status, await reply.text()
                if reply.status == 201:
                    self.session_url = str(reply.url.join(aiohttp.client.URL(reply.headers["Location"])))
        if self.status == 201:
            await self.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return self.status

    async def delete(self) -> int:
        """End the session as RFC 9725 asks for. Returns the status of the reply."""
        async with (
            aiohttp.ClientSession() as http,
            http.delete(self.session_url, headers=self.headers) as reply,
        ):
            return reply.status

    async def close(self) -> None:
        """Let go without a word to the relay's HTTP side."""
        await self.pc.close()

    async def vanish(self) -> None:
        """Be gone as if the cable were cut: no DTLS alert, no BYE, no DELETE."""
        for transceiver in self.pc.getTransceivers():
            ice = transceiver.receiver.transport.transport._connection
            for protocol in ice._protocols:
                protocol.transport.abort()


class Publisher(Client):
    """Sends pictures, and sound if asked for."""

    def __init__(
        self,
        url: str,
        pictures: Iterator[Picture],
        codec: str = "VP8",
        sound: bool = False,
        **more: str | None,
    ) -> None:
        super().__init__(url, **more)
        self.camera = Pictures(pictures)
        self.microphone = Packets() if sound else None
        sender = self.pc.addTransceiver(self.camera, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        sender.setCodecPreferences([c for c in known if c.name in (codec, "rtx")])
        if self.microphone:
            self.pc.addTransceiver(self.microphone, direction="sendonly")


class Viewer(Client):
    """Receives; keeps the newest picture and how many there were."""

    def __init__(
        self, url: str, codecs: tuple[str, ...] = ("H264", "VP8"), sound: bool = False, **more: str | None
    ) -> None:
        super().__init__(url, **more)
        self.picture: Picture | None = None
        self.count = 0
        self.ended = False
        self.heard: deque[tuple[bytes, int, float]] = deque(
            maxlen=3000
        )  # payload, RTP timestamp, s monotonic
        self.see: Callable[[Picture], None] = lambda picture: None
        video = self.pc.addTransceiver("video", direction="recvonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        video.setCodecPreferences([c for c in known if c.name in (*codecs, "rtx")])
        if sound:
            self.pc.addTransceiver("audio", direction="recvonly")
        self.pc.on("track", self._track)

    async def until(self, count: int, timeout: float = 15.0) -> Picture:
        """Wait for that many more pictures; the newest."""
        wanted = self.count + count
        async with asyncio.timeout(timeout):
            while self.count < wanted:
                await asyncio.sleep(0.02)
        assert self.picture is not None
        return self.picture

    def _track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._reading = asyncio.ensure_future(self._read(track))
        else:
            receiver = next(t.receiver for t in self.pc.getTransceivers() if t.kind == "audio")
            inner = receiver._handle_rtp_packet

            async def handle(packet, arrival_time_ms):  # the packets themselves, not what they decode to
                self.heard.append((packet.payload, packet.timestamp, time.monotonic()))
                await inner(packet, arrival_time_ms=arrival_time_ms)

            receiver._handle_rtp_packet = handle
            self._draining = asyncio.ensure_future(self._drain(track))

    async def _drain(self, track: MediaStreamTrack) -> None:
        """What nobody listens to must not pile up in aiortc's queue."""
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.picture = frame.to_ndarray(format="bgr24")
                self.count += 1
                self.see(self.picture)
        self.ended = True


async def poll(check: Callable[[], bool], timeout: float = 15.0) -> bool:
    """Wait until something holds; whether it does."""
    end = time.monotonic() + timeout
    while not check() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return check()


@contextlib.asynccontextmanager
async def closing(*clients: Client) -> AsyncIterator[None]:
    """Close clients at the end, whatever happens."""
    try:
        yield
    finally:
        await asyncio.gather(*(client.close() for client in clients))


class Relay:
    """A relay in this process, on this event loop; its parts can be looked at."""

    def __init__(self, networks, **more) -> None:
        self.networks = networks
        self.tokens: dict = more.get("tokens", {})
        self.sinks = more.get("sinks", [])
        self.view = more.get("view")
        self.ice = more.get("ice", IceServers())
        self.bounds = more.get("bounds", Bounds(rate=1000, burst=1000))
        self.origins = more.get("origins", ())
        self.expected = more.get("expected", {})
        self.url = ""

    async def __aenter__(self) -> Relay:
        self.hub = Hub()
        self.dispatcher = Dispatcher([*self.sinks, HubSink(self.hub)])
        analysis = Analysis(self.networks, self.dispatcher, 10.0, expected=self.expected)
        self.registry = Registry(self.hub, Limits(self.bounds), self.ice, analysis, self.view)
        access = Access(self.tokens, open_to_all=not self.tokens)
        app = make_app(self.registry, access, ("127.0.0.1", "localhost"), self.origins)
        self._stack = contextlib.AsyncExitStack()
        self.url = (await self._stack.enter_async_context(serving(app, "127.0.0.1", 0, None))).rstrip("/")
        self.registry.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.registry.shut()
        await self._stack.aclose()
        self.dispatcher.close()

    async def publish(self, name: str, pictures: Iterator[Picture], **more) -> Publisher:
        """A publisher whose pictures arrive."""
        publisher = Publisher(f"{self.url}/whip/{name}", pictures, **more)
        assert await publisher.connect() == 201, publisher.answer
        assert await poll(lambda: self.registry.channels[name].frames.connected)
        return publisher

    async def watch(self, name: str, picture: str = "annotated", **more) -> Viewer:
        """A viewer who sees something."""
        viewer = Viewer(f"{self.url}/whep/{name}?picture={picture}", **more)
        assert await viewer.connect() == 201, viewer.answer
        await viewer.until(1)
        return viewer

    async def get(self, path: str) -> dict:
        """The JSON at a path."""
        async with aiohttp.ClientSession() as http, http.get(self.url + path) as reply:
            return await reply.json()
