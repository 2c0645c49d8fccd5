"""The door of the relay: whose connections are let in, for how long they may dawdle, what nonsense is told.

aiohttp takes any number of connections and logs a traceback for each that speaks no HTTP.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from stream.errors import OutputError
from stream.relay.containment import tell_briefly
from stream.relay.limits import network_of

log = logging.getLogger(__name__)

CONNECTIONS = 512  # at once; a browser holds six, and each costs a file handle
PER_ADDRESS = 128  # of them from one address
DAWDLE = 10.0  # s that a connection may take to send the head of a request, the first and each next one
LEFT_OVER = 2.0  # s that a refused body may go on coming, so that the client reads the refusal
BACKLOG = 128

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; media-src 'self' blob: mediastream:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-store",
}  # of every answer


def error(
    status: int, text: str, headers: dict[str, str] | None = None, login: str | None = None
) -> web.Response:
    """An answer that says in one line what is wrong. login: where a person may log in instead."""
    told = {"error": text} | ({"login": login} if login else {})
    return web.json_response(told, status=status, headers=headers)


class Guests:
    """Counts the connections that are open. Pure."""

    def __init__(self, most: int = CONNECTIONS, per_address: int = PER_ADDRESS) -> None:
        self._most, self._per_address = most, per_address
        self._open: Counter[str] = Counter()

    def enter(self, address: str | None) -> bool:
        """Whether one more connection of this address may come in; if so it is counted."""
        network = network_of(address)
        if self._open.total() >= self._most or self._open[network] >= self._per_address:
            return False
        self._open[network] += 1
        return True

    def leave(self, address: str | None) -> None:
        """A connection that came in has gone."""
        network = network_of(address)
        self._open[network] -= 1
        if self._open[network] <= 0:
            del self._open[network]


class Door(web.RequestHandler):
    """One connection."""

    __slots__ = ("_address", "_first", "_guests", "_inside")

    def __init__(self, server: web.Server, guests: Guests) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=DAWDLE,
            lingering_time=LEFT_OVER,
            auto_decompress=False,  # nobody needs it, and a small body could become a large one
            access_log=None,  # type: ignore[arg-type]
        )
        self._guests, self._inside = guests, False
        self._address: str | None = None
        self._first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else None
        self._inside = self._guests.enter(self._address)
        super().connection_made(transport)
        if not self._inside:
            self.force_close()
            return
        # Not every aiohttp lets its keep-alive timer run before the first request.
        self._first = asyncio.get_running_loop().call_later(DAWDLE, self._expect_first)

    def _expect_first(self) -> None:
        if not self._request_count:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has gone."""
        if self._first is not None:
            self._first.cancel()
        if self._inside:
            self._inside = False
            self._guests.leave(self._address)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What speaks no HTTP is told so, in one line, and logged only for those who look for it."""
        if status >= 500:
            log.error("a request failed: %s", type(exc).__name__)
        else:
            log.debug("no HTTP from %s: %s", self._address, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        answer = error(
            status, "this is no HTTP that can be understood" if status < 500 else "something failed"
        )
        answer.headers.update(SECURITY)
        answer.force_close()
        return answer


@contextlib.asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """Serve an application; yields its address. Raises OutputError where the port cannot be had."""
    asyncio.get_running_loop().set_exception_handler(tell_briefly)
    runner, guests = web.AppRunner(app, shutdown_timeout=2.0), Guests()
    await runner.setup()
    server = runner.server
    assert server is not None
    try:
        try:
            listener = await asyncio.get_running_loop().create_server(
                lambda: Door(server, guests),
                host,
                port,
                ssl=tls,
                ssl_handshake_timeout=DAWDLE if tls else None,
                backlog=BACKLOG,
            )
        except OSError as problem:
            raise OutputError(f"cannot listen on {host}:{port}: {problem.strerror or problem}") from None
        try:
            bound = listener.sockets[0].getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            yield f"{'https' if tls else 'http'}://{shown}:{bound}/"
        finally:
            listener.close()
    finally:
        await runner.cleanup()
