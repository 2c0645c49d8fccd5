"""Where alerts go: one file a kind of sink, found by the prefix of `--alert`, each with its own thread.

A new sink is ONE new module in this package that declares

    SCHEMES = ("mqtt", "mqtts")                                # the prefixes of `--alert` that it answers to
    def open(spec: str, options: SinkOptions) -> Sink: ...     # raises ConfigError or OutputError
"""

import importlib
import logging
import os
import pkgutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stream.errors import ConfigError
from stream.redact import redact
from stream.values import Alert, Phase

log = logging.getLogger(__name__)

SCHEMA = 1  # of `to_json`; a field that changes its meaning raises it, a new field does not
QUEUE = 1000  # alerts that wait for one sink
COMPLAIN = 30.0  # s between two log lines about the same sink


class Sink(Protocol):
    """Takes the events of alerts. Both methods run on the sink's own thread, one after the other."""

    def send(self, alert: Alert) -> None:
        """Hand over one event. May block; may raise, then the event counts as failed."""

    def close(self) -> None:
        """Flush and let go, within a bounded time."""


def state_dir() -> Path:
    """Where programs of this user keep what must survive a restart, by the platform's custom."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.path.expanduser(base)) / "facewitness"


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What the sinks are told beside their spec."""

    spool_dir: Path = field(default_factory=state_dir)  # webhooks keep undelivered alerts below it
    spool_events: int = 5000  # undelivered alerts kept for one webhook
    spool_bytes: int = 16 << 20  # bytes of them
    hmac_secret: str | None = field(default=None, repr=False)  # signs what webhooks send
    ca_file: Path | None = None  # PEM certificates to trust instead of the system's
    timeout: float = 10.0  # s for one delivery over the network
    flush: float = 5.0  # s that close() may take to deliver what waits
    retry_first: float = 1.0  # s, about, before the first retry; doubles with each one
    retry_most: float = 60.0  # s, the longest wait between two retries


def to_json(alert: Alert) -> dict[str, Any]:
    """One event as JSON values, schema 1.

    schema     int, 1
    type       str, "alert"
    id         str, the same in all events of an alert
    phase      str, "opened", "updated" or "closed"
    source     str, the source's name without credentials
    track      int, the face's number in that source
    start, end float, s on the source's clock; `end` is final once closed
    peak, mean float, 0..1, calibrated probability that the face is fake
    model      str, name and version of the detector
    wall_time  str, ISO 8601 UTC when the event was made
    """
    return {
        "schema": SCHEMA,
        "type": "alert",
        "id": alert.id,
        "phase": alert.phase.value,
        "source": alert.source,
        "track": alert.track,
        "start": alert.start,
        "end": alert.end,
        "peak": alert.peak,
        "mean": alert.mean,
        "model": alert.model,
        "wall_time": alert.wall_time,
    }


def victim(phases: Sequence[Phase]) -> int:
    """Which event of a queue that is too long goes (oldest first): the oldest UPDATED, else the oldest."""
    return next((i for i, phase in enumerate(phases) if phase is Phase.UPDATED), 0)


def known_sinks() -> dict[str, Callable[[str, SinkOptions], Sink]]:
    """The `open` function of each prefix that a module of this package answers to."""
    found: dict[str, Callable[[str, SinkOptions], Sink]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for scheme in getattr(module, "SCHEMES", ()):
            found[scheme] = module.open
    return found


def open_sink(spec: str, options: SinkOptions) -> Sink:
    """Open what `--alert SPEC` names: `console`, `jsonl:PATH`, `https://…`.

    Raises ConfigError for an unknown prefix or a spec that cannot be, OutputError for a place that cannot be
    written.
    """
    scheme = spec.partition(":")[0].lower()
    known = known_sinks()
    if scheme not in known:
        names = ", ".join(sorted(known))
        raise ConfigError(f"no alert sink is called '{redact(scheme[:40])}'; known are {names}")
    return known[scheme](spec, options)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the events that one sink was given."""

    sink: str
    sent: int  # handed over without an error
    failed: int  # the sink raised
    dropped: int  # never handed over: the queue was full or the time was up
    waiting: int


class Lane:
    """One sink with its thread and its bounded queue."""

    def __init__(self, sink: Sink, bound: int) -> None:
        self._sink, self._bound = sink, bound
        self._queue: deque[Alert] = deque()
        self._change = threading.Condition()
        self._ending = False
        self._sent = self._failed = self._dropped = 0
        self._complained = -COMPLAIN
        self._thread = threading.Thread(target=self._run, name=f"sink {sink}", daemon=True)
        self._thread.start()

    def submit(self, alert: Alert) -> None:
        """Queue one event; never blocks."""
        with self._change:
            if self._ending:
                self._dropped += 1
                return
            self._queue.append(alert)
            if len(self._queue) > self._bound:
                del self._queue[victim([a.phase for a in self._queue])]
                self._dropped += 1
            self._change.notify()

    def end(self) -> None:
        """Take no more; what is queued is still handed over."""
        with self._change:
            self._ending = True
            self._change.notify()

    def join(self, timeout: float) -> None:
        """Wait until all is handed over and the sink is closed, `timeout` s at most."""
        self._thread.join(max(timeout, 0))
        if self._thread.is_alive():
            with self._change:
                lost, self._dropped = len(self._queue), self._dropped + len(self._queue)
                self._queue.clear()
            log.error("%s does not end in time; %d alert events were not handed to it", self._sink, lost)

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def counts(self) -> Counts:
        """How it goes."""
        with self._change:
            return Counts(str(self._sink), self._sent, self._failed, self._dropped, len(self._queue))

    def _take(self) -> Alert | None:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ending)
            return self._queue.popleft() if self._queue else None

    def _run(self) -> None:
        while (alert := self._take()) is not None:
            try:
                self._sink.send(alert)
                self._sent += 1
            except Exception as error:  # whatever a sink does, the others and the pump go on
                self._failed += 1
                self._complain(alert, error)
        try:
            self._sink.close()
        except Exception as error:
            log.error("%s could not be closed: %s", self._sink, redact(str(error)))

    def _complain(self, alert: Alert, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained < COMPLAIN:
            return
        self._complained = now
        why = redact(str(error) or type(error).__name__)
        log.error(
            "%s did not take alert %s (%s): %s; %d failed so far",
            *(self._sink, alert.id, alert.phase.value, why, self._failed),
        )


class Dispatcher:
    """Hands each event to every sink; a sink that fails, hangs or is slow touches nobody else."""

    def __init__(self, sinks: Sequence[Sink], bound: int = QUEUE) -> None:
        self._lanes = [Lane(sink, bound) for sink in sinks]

    def submit(self, alert: Alert) -> None:
        """Queue one event for all sinks; never blocks, never raises."""
        for lane in self._lanes:
            lane.submit(alert)

    def counts(self) -> list[Counts]:
        """What became of the events, a sink each, in the order they were given."""
        return [lane.counts() for lane in self._lanes]

    def close(self, timeout: float = 10.0) -> None:
        """Hand over what is queued and close all sinks, `timeout` s at most. May be called twice."""
        until = time.monotonic() + timeout
        for lane in self._lanes:
            lane.end()
        for lane in self._lanes:
            lane.join(until - time.monotonic())
