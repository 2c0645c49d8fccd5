"""The command: `facewitness watch SOURCE`, `facewitness relay`, `facewitness doctor`."""

import argparse
import contextlib
import json
import logging
import os
import re
import signal
import sys
import uuid
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from stream import logs
from stream.analysis import Analysis
from stream.config import PROVIDERS, Settings, add_flags, add_options, settings_from
from stream.errors import ConfigError, FacewitnessError, OutputError
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.networks import Networks, open_networks
from stream.providers import choose
from stream.pump import Observer, Pump
from stream.reader import LiveReader
from stream.relay.settings import RELAY_OPTIONS, RelaySettings, relay_settings
from stream.secret import secret_in
from stream.sinks import Dispatcher, SinkOptions, open_sink
from stream.sources import SourceOptions, display_name, find
from stream.status import ScoreLog, StatusLine
from stream.tracker import Tracker
from stream.values import Health
from stream.views import View, open_views

if TYPE_CHECKING:
    from stream.relay.serve import Served

log = logging.getLogger("stream.cli")  # by name: run as a script it would be "__main__", and unheard


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0, or that of the error (see stream/errors.py)."""
    parser = _parser()
    flags = vars(parser.parse_args(arguments))
    command, config = flags.pop("command"), flags.pop("config", None)
    if command == "doctor":
        from stream.doctor import doctor

        return doctor(flags["provider"])
    if command == "models":
        from stream.listing import list_models

        return list_models()
    try:
        if command == "relay":
            from stream.relay.command import relay

            return relay(relay_settings(flags, config))
        return watch(settings_from(flags, config))
    except FacewitnessError as error:
        print(f"facewitness: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before the pump took over the signals
        return 128 + signal.SIGINT


def watch(settings: Settings) -> int:
    """Watch one source until it ends, a signal comes, or it gives up. Raises a FacewitnessError."""
    logs.set_up(settings.log, settings.quiet)
    _spare_the_source(settings)
    if settings.meter not in (None, "-"):
        _write(settings.meter, "", "a")  # better told now than after hours of watching
    name = display_name(settings.source)
    source = find(settings.source)
    options = _source_options(settings)
    live = source.LIVE or settings.realtime
    networks = open_networks(settings.model, choose(settings.provider), settings.threads, settings.min_face)
    meter, label = Meter(), networks.label
    prefix = f"{_slug(name)}-{uuid.uuid4().hex[:8]}"
    judge = Judge(Policy(networks.detector.card.thresholds, cooldown=settings.cooldown), name, label, prefix)
    health = Health(name, networks.provider, not live, 0.0, None, 0, 0)
    with contextlib.ExitStack() as stack:
        stack.callback(_summary, settings, meter, name, networks)
        observers = _observers(settings, live, stack)
        sinks = [open_sink(spec, _sink_options(settings)) for spec in settings.alert]
        served = _serve(settings, health, label)
        if served is not None:
            stack.callback(served.close)
            observers.append(served)
            sinks.append(served.sink)
        dispatcher = stack.enter_context(contextlib.closing(Dispatcher(sinks)))
        views: list[View] = open_views(
            show=settings.show, record=settings.record, push=settings.push, title=name, wait=not live
        )
        for view in views:
            stack.callback(view.close)
        analysis = Analysis(networks.detector, Tracker(networks.faces), judge, meter)
        pump = Pump(analysis, dispatcher, views, observers, meter, health)
        caught = _stop_on_signals(pump, stack)
        stack.callback(pump.finish)
        log.info("watching %s with %s on %s", name, label, networks.provider)
        if live:
            reader = LiveReader(
                settings.source, options, retries=settings.retries, reconnect=not settings.realtime
            )
            if served is not None:
                served.explain(lambda: reader.note)
            with contextlib.closing(reader):
                pump.run_live(reader, settings.duration)
        else:
            with contextlib.closing(source.frames(settings.source, options)) as frames:
                pump.run_file(frames, settings.duration)
    return 128 + caught[0] if caught else 0


def _spare_the_source(settings: Settings) -> None:
    """An output must not overwrite what is being watched."""
    for flag in ("record", "scores", "meter"):
        path = getattr(settings, flag)
        both_exist = path and path != "-" and os.path.exists(path) and os.path.exists(settings.source)
        if both_exist and os.path.samefile(path, settings.source):
            raise ConfigError(f"--{flag} {path} is the source itself")


def _observers(settings: Settings, live: bool, stack: contextlib.ExitStack) -> list[Observer]:
    observers: list[Observer] = []
    if settings.scores:
        observers.append(ScoreLog(settings.scores, wait=not live))
    if sys.stderr.isatty() and not settings.quiet and settings.log == "text":
        observers.append(StatusLine(sys.stderr, None if live else _duration(settings.source)))
    return observers


def _duration(source: str) -> float | None:
    from stream.decode import duration

    return duration(source)


def _serve(settings: Settings, health: Health, label: str) -> "Served | None":
    """The page that `--serve` asks for; aiortc is loaded only then."""
    if settings.serve is None:
        return None
    from stream.relay.serve import serve

    return serve(settings, _slug(health.source), health, label)


def _source_options(settings: Settings) -> SourceOptions:
    return SourceOptions(
        rtsp_transport=settings.rtsp_transport,
        resolution=settings.resolution,
        rate=settings.rate,
        open_timeout=settings.open_timeout,
        stall=settings.stall,
        realtime=settings.realtime,
    )


def _sink_options(settings: Settings) -> SinkOptions:
    file = settings.webhook_secret_file
    secret = secret_in(file, "webhook secret") if file else None
    if settings.spool:
        return SinkOptions(hmac_secret=secret, spool_dir=Path(settings.spool))
    return SinkOptions(hmac_secret=secret)


def _stop_on_signals(pump: Pump, stack: contextlib.ExitStack) -> list[int]:
    """Ctrl-C and SIGTERM end the pump between two frames. Returns the list that the signal comes into."""
    caught: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        pump.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, handle))
    return caught


def _summary(settings: Settings, meter: Meter, name: str, networks: Networks) -> None:
    if settings.meter is None:
        return
    summary = {
        "schema": 1,
        "type": "summary",
        "source": name,
        "model": networks.label,
        "model_sha256": networks.sha256,
        "provider": networks.provider,
        **meter.summary(),
    }
    if settings.meter == "-":
        with contextlib.suppress(BrokenPipeError):  # `… | head` has gone
            print(json.dumps(summary), flush=True)
    else:
        _write(settings.meter, json.dumps(summary) + "\n", "w")
    if not settings.quiet:
        print(meter.table(), file=sys.stderr)


def _write(path: str, text: str, mode: str) -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"meter {path}: {error.strerror or error}") from None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-40:] or "stream"


def _version() -> str:
    try:
        return version("facewitness")
    except PackageNotFoundError:
        return "not installed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facewitness",
        description="Watches live video and says, within about two seconds, when a face in it is not real.",
    )
    parser.add_argument("--version", action="version", version=f"facewitness {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    watching = commands.add_parser(
        "watch",
        help="watch a camera, stream or file",
        epilog="Try `facewitness watch demo`. Exit codes stand in the README.",
    )
    add_flags(watching)
    relaying = commands.add_parser(
        "relay",
        help="take live video in by WHIP, watch it, give it out by WHEP",
        epilog="Then open http://127.0.0.1:8080/ in a browser.",
    )
    add_options(relaying, RELAY_OPTIONS, RelaySettings)
    commands.add_parser("models", help="list the detectors that are installed, with their figures")
    check = commands.add_parser("doctor", help="say what this machine can do and what is missing")
    check.add_argument("--provider", choices=PROVIDERS, default="auto", help="the provider you mean to use")
    return parser


if __name__ == "__main__":
    sys.exit(main())
