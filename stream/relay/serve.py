"""`facewitness watch --serve`: one pump's stream on a page, from an event loop in a thread of its own."""

import asyncio
import logging
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future

from stream.config import Settings
from stream.relay.access import Access, Role
from stream.relay.app import make_app
from stream.relay.channel import Channel
from stream.relay.command import SWITCH, hosts_of, tls_of
from stream.relay.doorway import serving
from stream.relay.events import Hub
from stream.relay.ice import IceServers
from stream.relay.limits import Limits
from stream.relay.registry import Registry
from stream.relay.settings import access_of
from stream.relay.sink import HubSink
from stream.values import Health, Result

log = logging.getLogger(__name__)

_END = 10.0  # s for closing everything


def serve(settings: Settings, name: str, health: Health, model: str) -> "Served":
    """What `--serve` asks for. name: of the stream, in URLs. Raises ConfigError, OutputError."""
    assert settings.serve is not None
    access = access_of(settings.serve[0], {Role.WATCH: settings.watch_token_file})
    tls = tls_of(settings.serve[0], settings.cert, settings.key, settings.plain_http)
    served = Served(name, health, model, settings.serve, access, tls)
    print(f"facewitness: {served.url}", file=sys.stderr, flush=True)
    return served


class Served:
    """An observer of a pump that puts its stream on a page of its own; never makes the pump wait."""

    def __init__(
        self, name: str, health: Health, model: str, address: tuple[str, int], access: Access,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """name: of the stream, in URLs. health: what is known of it. address: host and port, 0 for any.

        Raises OutputError where the port cannot be had.
        """
        self.hub = Hub()
        self.sink = HubSink(self.hub, name)  # for the pump's dispatcher
        self.url = ""
        self._name, self._health, self._model = name, health, model
        self._address, self._access, self._tls = address, access, tls
        self._channel: Channel | None = None
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="serve", daemon=True)
        sys.setswitchinterval(SWITCH)
        self._thread.start()
        started.result()

    def explain(self, note: Callable[[], str]) -> None:
        """Say where it is told why no picture comes."""
        if self._channel is not None:
            self._channel.note = note

    def see(self, result: Result, health: Health) -> None:
        """One analysed frame."""
        if self._channel is not None:
            self._channel.frames.put(result.frame)
            self._channel.see(result, health)

    def close(self) -> None:
        """End the page and its viewers, within a bounded time. Harmless when done twice."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_END)

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
        registry = Registry(self.hub, Limits(), IceServers(), None)
        app = make_app(registry, self._access, hosts_of(self._address[0], ()))
        async with serving(app, *self._address, self._tls) as url:
            self.url = url
            self._channel = Channel(self._name, self._health, self._model, self.hub)
            registry.add(self._channel)
            registry.start()
            log.info("serving %s", url)
            started.set_result(None)
            await self._stop.wait()
            await registry.shut()
