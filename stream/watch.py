"""The command `facewitness watch`: one source in the main thread, or many, each in a thread of its own."""

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from stream import logs
from stream.config import Settings, load_toml
from stream.config_watch import ConfigWatch, Version, version_of
from stream.errors import ConfigError, FacewitnessError, OutputError
from stream.memory import few_heaps
from stream.meter import many_table
from stream.networks import NetworkPool
from stream.providers import choose
from stream.pump import Observer
from stream.sinks.pool import SinkPool
from stream.sources import find
from stream.status import ManyLine, StatusLine
from stream.stream_config import Plan, plan_from
from stream.streams import Streams
from stream.watched import WatchedStream, sink_options
from stream.work import share_cores

if TYPE_CHECKING:
    from stream.evidence.store import EvidenceStore
    from stream.relay.serve import Page

log = logging.getLogger(__name__)


def watch(flags: dict[str, Any], config: str | None) -> int:
    """Watch what flags and TOML file name, until it ends, a signal comes, or it gives up.

    Returns the exit code. Raises a FacewitnessError: what cannot begin, or what ended the only source. Of
    several, an error ends its own stream only; when none is left the code is that of the first error.
    """
    version = version_of(Path(config)) if config else None  # before it is read, so that no change is missed
    plan = plan_from(flags, load_toml(Path(config)) if config else None, config or "")
    settings = plan.streams[0]
    logs.set_up(settings.log, settings.quiet)
    _spare_the_sources(plan)
    if settings.meter not in (None, "-"):
        _write(settings.meter, "", "a")  # better told now than after hours of watching
    for each in plan.streams:
        find(each.source)
    share_cores(settings.threads)
    networks = NetworkPool(choose(settings.provider), settings.threads)
    if not plan.many:
        return _watch_one(settings, networks)
    return _watch_many(plan, networks, flags, version)


def _watch_one(settings: Settings, pool: NetworkPool) -> int:
    networks = pool.get(settings.model, settings.min_face)
    with contextlib.ExitStack() as last, contextlib.ExitStack() as stack:
        stack.callback(pool.close)
        sinks = SinkPool()
        stack.callback(sinks.close)
        outlet = sinks.outlet(settings.sinks, sink_options(settings))
        evidence = _evidence(settings, stack)
        page = _page(settings, pool.providers, stack)
        line = _status_line(settings)
        stream = WatchedStream(settings, networks, outlet, page, line, evidence=evidence)
        # After the alerts that are still on their way.
        last.callback(lambda: _tell_summary(settings, stream.summary(), stream.meter.table()))
        caught = _signals(stack, stream.stop, evidence)
        stream.run()
    return 128 + caught[0] if caught else 0


def _watch_many(plan: Plan, networks: NetworkPool, flags: dict[str, Any], version: Version | None) -> int:
    settings = plan.streams[0]
    few_heaps()
    with contextlib.ExitStack() as last, contextlib.ExitStack() as stack:
        stack.callback(networks.close)
        sinks = SinkPool()
        stack.callback(sinks.close)
        evidence = _evidence(settings, stack)
        streams = Streams(
            plan, networks, sinks, _page(settings, networks.providers, stack), evidence=evidence
        )
        last.callback(lambda: _tell_summaries(settings, list(streams.summaries.values())))
        line = ManyLine(sys.stderr) if _on_terminal(settings) else None
        if line is not None:
            stack.callback(line.close)
        edited = _edits(plan.file, flags, version, stack)
        caught = _signals(stack, lambda: None, evidence)
        streams.run(lambda: bool(caught), edited, line)
    if caught:
        return 128 + caught[0]
    return _exit_code(streams.first_error, settings)


def _exit_code(error: Exception | None, settings: Settings) -> int:
    """No stream is left: the first error's code, or 0."""
    if error is None:
        return 0
    code = error.exit_code if isinstance(error, FacewitnessError) else 1
    if not settings.quiet:
        log.warning("no stream is left; exit code %d is that of the first error", code)
    return code


def _edits(
    file: str | None, flags: dict[str, Any], version: Version | None, stack: contextlib.ExitStack
) -> Callable[[], Plan | None]:
    """What gives a new plan whenever the file was edited into one."""
    if file is None:
        return lambda: None
    watching = ConfigWatch(Path(file), version)
    stack.callback(watching.close)

    def edited() -> Plan | None:
        table = watching.take()
        if table is None:
            return None
        try:
            plan = plan_from(flags, table, file)
            if plan.file is None:
                raise ConfigError(f"{file}: there is no [[stream]] in it")
            _spare_the_sources(plan)
        except ConfigError as error:
            log.error("%s; nothing is changed", error)
            return None
        return plan

    return edited


def _spare_the_sources(plan: Plan) -> None:
    """An output must not overwrite what is being watched."""
    sources = [each.source for each in plan.streams if os.path.exists(each.source)]
    for settings in plan.streams:
        for flag in ("record", "scores", "meter"):
            path = getattr(settings, flag)
            there = path and path != "-" and os.path.exists(path)
            if there and any(os.path.samefile(path, source) for source in sources):
                raise ConfigError(f"--{flag} {path} is the source itself")


def _on_terminal(settings: Settings) -> bool:
    return sys.stderr.isatty() and not settings.quiet and settings.log == "text"


def _status_line(settings: Settings) -> list[Observer]:
    if not _on_terminal(settings):
        return []
    live = find(settings.source).LIVE or settings.realtime
    return [StatusLine(sys.stderr, None if live else _duration(settings.source))]


def _duration(source: str) -> float | None:
    from stream.decode import duration

    return duration(source)


def _page(settings: Settings, providers: tuple[str, ...], stack: contextlib.ExitStack) -> "Page | None":
    """The page that `--serve` asks for; aiortc is loaded only then."""
    if settings.serve is None:
        return None
    from stream.relay.serve import serve

    page = serve(settings, providers)
    stack.callback(page.close)
    return page


def _evidence(settings: Settings, stack: contextlib.ExitStack) -> "EvidenceStore | None":
    """Where `--evidence` keeps what it keeps; what signs is loaded only then."""
    if settings.evidence is None:
        return None
    from stream.evidence.facts import open_store

    store = open_store(settings)
    stack.callback(store.close)
    return store


def _signals(
    stack: contextlib.ExitStack, told: Callable[[], None], evidence: "EvidenceStore | None"
) -> list[int]:
    """Ctrl-C and SIGTERM end the program between two frames. Returns the list that the signal comes into."""
    caught: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if evidence is not None:
            evidence.hurry = True
        told()

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, handle))
    if evidence is not None:
        stack.callback(evidence.close)  # while a signal can still hurry it
    return caught


def _tell_summaries(settings: Settings, summaries: list[dict[str, Any]]) -> None:
    table = many_table([(each["name"], each) for each in summaries])
    _tell_summary(settings, {"schema": 1, "type": "summary", "streams": summaries}, table)


def _tell_summary(settings: Settings, summary: dict[str, Any], table: str) -> None:
    if settings.meter is None:
        return
    if settings.meter == "-":
        with contextlib.suppress(BrokenPipeError):  # `… | head` has gone
            print(json.dumps(summary), flush=True)
    else:
        _write(settings.meter, json.dumps(summary) + "\n", "w")
    if not settings.quiet:
        print(table, file=sys.stderr)


def _write(path: str, text: str, mode: str) -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"meter {path}: {error.strerror or error}") from None
