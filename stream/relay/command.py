"""The command `facewitness relay`: opens what is shared, serves until a signal comes, closes everything."""

import asyncio
import contextlib
import gc
import logging
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from stream import logs
from stream.analysis import NO_MAPS
from stream.errors import ConfigError
from stream.identity.gallery import expected
from stream.identity.match import Person
from stream.memory import few_heaps
from stream.networks import Networks, open_networks
from stream.panel.panel import Panel
from stream.providers import choose
from stream.relay.access import Access, Role
from stream.relay.app import make_app
from stream.relay.doorway import serving
from stream.relay.events import Hub
from stream.relay.ice import IceServers
from stream.relay.limits import Bounds, Limits
from stream.relay.registry import Analysis, Registry
from stream.relay.settings import RelaySettings, access_of, is_loopback
from stream.relay.sink import HubSink
from stream.scorer import mapper_of
from stream.secret import secret_in
from stream.sinks import Dispatcher, SinkOptions, open_sink
from stream.views import View
from stream.views.push import Push
from stream.work import share_cores

log = logging.getLogger(__name__)


def relay(settings: RelaySettings) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit code. Raises a FacewitnessError."""
    logs.set_up(settings.log, settings.quiet)
    share_cores(settings.threads)
    few_heaps()
    access = access_of(
        settings.host,
        {
            Role.PUBLISH: settings.publish_token_file,
            Role.WATCH: settings.watch_token_file,
            Role.ADMIN: settings.admin_token_file,
        },
        settings.login,
    )
    ice, tls = _ice(settings), tls_of(settings.host, settings.cert, settings.key, settings.plain_http)
    if settings.push:
        Push(settings.push.replace("{name}", "name")).close()  # better told now than with the first stream
    providers = choose(settings.provider)
    networks = open_networks(settings.model, providers, settings.threads, settings.min_face)
    if settings.explain and mapper_of(networks.detector) is None:
        raise ConfigError(NO_MAPS.format(networks.label))
    people = _people(settings, networks)
    hub = Hub()
    panel = Panel.open(settings, providers)
    sinks = [open_sink(spec, _sink_options(settings)) for spec in settings.sinks]
    with contextlib.closing(Dispatcher([*sinks, HubSink(hub)])) as dispatcher:
        analysis = Analysis(
            networks, dispatcher, settings.cooldown, settings.analysis_rate, settings.explain, people
        )
        bounds = Bounds(publishers=settings.max_streams, viewers=settings.max_viewers)
        registry = Registry(hub, Limits(bounds), ice, analysis, _pusher(settings.push))
        gc.freeze()  # what stays for ever need not be gone through each time a stream ends
        log.info("watching with %s on %s", networks.label, networks.provider)
        return asyncio.run(_serve(settings, registry, access, tls, panel))


async def _serve(
    settings: RelaySettings, registry: Registry, access: Access, tls: ssl.SSLContext | None, panel: Panel
) -> int:
    hosts = hosts_of(settings.host, settings.server_name)
    app = make_app(registry, access, hosts, settings.allow_origin, panel)
    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for ending in (signal.SIGINT, signal.SIGTERM):
        _on_signal(ending, stop)
    async with serving(app, settings.host, settings.port, tls) as address:
        registry.start()
        print(f"facewitness relay: {address}", file=sys.stderr, flush=True)
        number = await stop
        await registry.shut()
    return 128 + number


def _on_signal(number: int, stop: asyncio.Future[int]) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.done():
            stop.set_result(number)

    try:
        loop.add_signal_handler(number, end)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))


def hosts_of(host: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the relay is called in a Host header; empty where any name may reach it."""
    if is_loopback(host):
        return ("localhost", "127.0.0.1", "::1", host, *names)
    return (host, *names) if names else ()


def tls_of(host: str, cert: str | None, key: str | None, plain_http: bool) -> ssl.SSLContext | None:
    """The context for HTTPS; None without a certificate, beyond loopback only if told so.

    Raises ConfigError.
    """
    if cert is None or key is None:
        if plain_http or is_loopback(host):
            return None
        raise ConfigError(
            f"--host {host} can be reached from elsewhere: it needs --cert and --key, or --plain-http behind "
            "a proxy that speaks TLS"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"--cert {cert}, --key {key}: {why or 'cannot be used'}") from None
    return context


def _people(settings: RelaySettings, networks: Networks) -> dict[str, Person]:
    """Who is expected in which stream. Raises ConfigError, OutputError."""
    files = settings.enrolled, settings.enrolment_key
    return {stream: expected(name, networks, *files) for stream, name in settings.expect}


def _ice(settings: RelaySettings) -> IceServers:
    """The ICE servers as configured. Raises ConfigError."""
    file = settings.turn_secret_file
    secret = secret_in(file, "TURN secret") if file else None
    return IceServers(settings.ice_server, secret, settings.turn_lifetime)


def _pusher(url: str | None) -> Callable[[str], View] | None:
    return None if url is None else lambda name: Push(url.replace("{name}", name))


def _sink_options(settings: RelaySettings) -> SinkOptions:
    file = settings.webhook_secret_file
    secret = secret_in(file, "webhook secret") if file else None
    if settings.spool:
        return SinkOptions(hmac_secret=secret, spool_dir=Path(settings.spool))
    return SinkOptions(hmac_secret=secret)
