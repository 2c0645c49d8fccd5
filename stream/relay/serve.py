"""`facewitness watch --serve`: the streams of this process on a page, from an event loop in its thread."""

import asyncio
import contextlib
import logging
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future

from stream.config import Settings
from stream.panel.panel import Panel
from stream.relay.access import Access, Role
from stream.relay.app import make_app
from stream.relay.channel import Channel
from stream.relay.command import hosts_of, tls_of
from stream.relay.doorway import serving
from stream.relay.events import Hub
from stream.relay.ice import IceServers
from stream.relay.limits import Limits
from stream.relay.registry import Registry
from stream.relay.settings import access_of
from stream.relay.sink import HubSink
from stream.values import Alert, Health, Result

log = logging.getLogger(__name__)

_END = 10.0  # s for closing everything
_ADD = 5.0  # s for the page to take a stream up


def serve(settings: Settings, providers: tuple[str, ...]) -> "Page":
    """The page that `--serve` asks for, without a stream yet. Raises ConfigError, OutputError.

    providers: onnxruntime's names, for the checks of files.
    """
    assert settings.serve is not None
    access = access_of(settings.serve[0], {Role.WATCH: settings.watch_token_file}, settings.login)
    tls = tls_of(settings.serve[0], settings.cert, settings.key, settings.plain_http)
    panel = Panel.open(settings, providers)
    page = Page(settings.serve, access, tls, panel)
    print(f"facewitness: {page.url}", file=sys.stderr, flush=True)
    return page


class Page:
    """Shows what pumps of this process see; never makes one wait."""

    def __init__(
        self,
        address: tuple[str, int],
        access: Access,
        tls: ssl.SSLContext | None = None,
        panel: Panel | None = None,
    ) -> None:
        """address: host and port, 0 for any. panel: is closed with the page.

        Raises OutputError where the port cannot be had.
        """
        self.hub = Hub()
        self.url = ""
        self._address, self._access, self._tls, self._panel = address, access, tls, panel
        self._registry: Registry | None = None
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="serve", daemon=True)
        self._thread.start()
        started.result()

    def add(self, name: str, health: Health, model: str) -> "Served":
        """Show one more stream. name: in URLs, free. health: what is known of it before the first frame."""
        channel: Channel | None = None
        with contextlib.suppress(RuntimeError, TimeoutError):  # a page that has ended shows nothing
            assert self._loop is not None
            adding = self._add(name, health, model)
            try:
                channel = asyncio.run_coroutine_threadsafe(adding, self._loop).result(_ADD)
            finally:
                adding.close()
        return Served(self, channel, name)

    def remove(self, channel: Channel) -> None:
        """A stream has ended: its viewers go, its name is free. Does not wait for them."""
        if self._loop is not None and self._registry is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._registry.end, channel)

    def close(self) -> None:
        """End the page and its viewers, within a bounded time. Harmless when done twice."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_END)

    async def _add(self, name: str, health: Health, model: str) -> Channel:
        assert self._registry is not None
        channel = Channel(name, health, model, self.hub)
        self._registry.add(channel)
        return channel

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except Exception as error:
            if started.done():
                log.exception("the page has ended")
            else:
                started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        registry = self._registry = Registry(self.hub, Limits(), IceServers(), None)
        app = make_app(registry, self._access, hosts_of(self._address[0], ()), panel=self._panel)
        async with serving(app, *self._address, self._tls) as url:
            self.url = url
            registry.start()
            log.info("serving %s", url)
            started.set_result(None)
            await self._stop.wait()
            await registry.shut()


class Served:
    """An observer of one pump, and where its alerts go, that puts its stream on the page."""

    def __init__(self, page: Page, channel: Channel | None, name: str) -> None:
        """channel: None where the page has ended."""
        self._page, self._channel = page, channel
        self._sink = HubSink(page.hub, name)

    def explain(self, note: Callable[[], str]) -> None:
        """Say where it is told why no picture comes."""
        if self._channel is not None:
            self._channel.note = note

    def see(self, result: Result, health: Health) -> None:
        """One analysed frame."""
        channel = self._channel  # `remove` may come from another thread
        if channel is not None:
            channel.frames.put(result.frame)
            channel.see(result, health)

    def submit(self, alert: Alert) -> None:
        """Tell the page of an event of an alert; the hub never waits, so no queue stands between."""
        self._sink.send(alert)

    def close(self) -> None:
        """The pump has ended; the page shows that until `remove`."""

    def remove(self) -> None:
        """Take the stream off the page. Harmless when done twice."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._page.remove(channel)
