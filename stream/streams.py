"""Many streams in one process: starts, stops and alters them, and shares the machine out."""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.config import Settings
from stream.errors import FacewitnessError
from stream.governor import Governor
from stream.networks import NetworkPool, Networks
from stream.processor_load import ProcessorLoad
from stream.sinks.pool import Outlet, SinkPool
from stream.sources import find
from stream.status import ManyLine, Row
from stream.stream_config import MOST, Plan, in_place, kept_process
from stream.watched import WatchedStream, sink_options

if TYPE_CHECKING:
    from stream.evidence.store import EvidenceStore
    from stream.relay.serve import Page

log = logging.getLogger(__name__)

TICK = (
    0.1  # s between two rounds, each of which starts one stream: a reader needs 0.15 s of processor to begin
)
GOVERN = 1.0  # s between two decisions about effort
END = 10.0  # s for all streams to end
REPLACE = 15.0  # s that an altered stream may take to end before its successor starts regardless


@dataclass(frozen=True, slots=True)
class _Ready:
    """A stream to be: all is open that it shares with others."""

    settings: Settings
    networks: Networks
    outlet: Outlet
    until: float  # s, monotonic; so long it waits for the stream that had its name


class Streams:
    """All streams of the process. Everything here runs in the main thread; each stream in its own."""

    def __init__(
        self,
        plan: Plan,
        networks: NetworkPool,
        sinks: SinkPool,
        page: "Page | None" = None,
        governor: Governor | None = None,
        evidence: "EvidenceStore | None" = None,
    ) -> None:
        """Open all that the plan names; nothing is read yet. Pools, page and evidence stay the caller's.

        Raises a FacewitnessError where a model, a sink, an output or a scheme cannot be.
        """
        self._networks, self._sinks, self._page, self._evidence = networks, sinks, page, evidence
        self._process = plan.streams[0]  # its settings of the process hold till the end
        self._plan = {settings.name: settings for settings in plan.streams}
        self._streams: list[WatchedStream] = []  # not yet begun, running, or ending
        self._outlets: dict[WatchedStream, Outlet] = {}
        self._next: list[_Ready] = []
        self._opened: set[str] = set()  # names of all that ever was
        self._governor, self._processor = governor or Governor(), ProcessorLoad()
        self._decided = time.monotonic()  # s, when effort was decided last
        self.first_error: Exception | None = None  # that ended a stream
        self.summaries: dict[str, dict[str, Any]] = {}  # by name, of streams that have ended
        try:
            for ready in self._prepare(list(plan.streams)):
                self._open(ready)
        except FacewitnessError:
            self.close()
            raise

    def run(
        self,
        stopped: Callable[[], bool],
        edited: Callable[[], Plan | None] = lambda: None,
        line: ManyLine | None = None,
    ) -> None:
        """Watch until no stream is left or `stopped` says so, then end all. edited: a new plan, each once."""
        try:
            while not stopped() and (self._streams or self._next):
                plan = edited()
                if plan is not None:
                    self.take_up(plan)
                self.step(time.monotonic())
                if line is not None:
                    line.show(self.rows)
                time.sleep(TICK)
        finally:
            self.close()

    def step(self, now: float) -> None:
        """One round: collect who has ended, open who waited, start the next one, share the machine out."""
        for stream in [each for each in self._streams if each.ended]:
            self._collect(stream)
        for ready in list(self._next):
            if now >= ready.until or not any(each.name == ready.settings.name for each in self._streams):
                self._next.remove(ready)
                self._open_late(ready)
        waiting = next((each for each in self._streams if not each.begun), None)
        if waiting is not None:
            self._start(waiting)
        if now - self._decided >= GOVERN:
            self._govern(now - self._decided)
            self._decided = now

    def take_up(self, plan: Plan) -> None:
        """Change what runs into what an edited file says. One that cannot be is told, and changes nothing."""
        new = {settings.name: kept_process(self._process, settings)[0] for settings in plan.streams}
        changed = [s for s in new.values() if s.name not in self._plan or not in_place(self._plan[s.name], s)]
        gone = [name for name in self._plan if name not in new]
        try:
            ready = self._prepare(changed)
        except FacewitnessError as error:
            log.error("%s: %s; nothing is changed", plan.file, error)
            return
        for name in [*gone, *(settings.name for settings in changed)]:
            self._dismiss(name)
        self._next = [replace(each, settings=new[each.settings.name]) for each in self._next] + ready
        for stream in self._streams:
            if not stream.stopping:
                stream.settings = new[stream.name]  # priority and rate; the next decision applies them
        self._plan = new
        self._networks.keep(settings.model for settings in new.values())
        if held := kept_process(self._process, plan.streams[0])[1]:
            log.warning("%s: %s: taken up at the next start", plan.file, ", ".join(held))
        told = [*(f"- {name}" for name in gone), *(f"+ {settings.name}" for settings in changed)]
        log.info("%s was edited: %s", plan.file, ", ".join(told) or "no stream ends or begins")

    def rows(self) -> list[Row]:
        """What the status line tells."""
        return [Row(each.name, each.state, each.health()) for each in self._streams if not each.stopping]

    def close(self) -> None:
        """End all streams, within END s. Harmless when done twice."""
        until = time.monotonic() + END
        for name in {*self._plan, *(stream.name for stream in self._streams)}:
            self._dismiss(name)
        for stream in list(self._streams):
            stream.join(until - time.monotonic())
            if stream.ended:
                self._collect(stream)
            else:
                log.error("%s does not end in time", stream.label)

    def _prepare(self, wanted: list[Settings]) -> list[_Ready]:
        """Open what streams share. Raises a FacewitnessError; then no sink stays open for them."""
        until = time.monotonic() + REPLACE
        with contextlib.ExitStack() as stack:
            ready = []
            for settings in wanted:
                try:
                    find(settings.source)
                    networks = self._networks.get(settings.model, settings.min_face)
                    outlet = self._sinks.outlet(settings.alert, sink_options(settings))
                except FacewitnessError as error:
                    raise type(error)(f"{settings.name}: {error}") from None
                stack.callback(outlet.close)
                ready.append(_Ready(settings, networks, outlet, until))
            stack.pop_all()
        return ready

    def _open(self, ready: _Ready) -> None:
        """Open what is the stream's own. Raises a FacewitnessError."""
        settings, again = ready.settings, ready.settings.name in self._opened
        if again and settings.record is not None:  # what was recorded before an edit stays
            settings = replace(settings, record=free_place(settings.record))
        try:
            stream = WatchedStream(
                settings, ready.networks, ready.outlet, self._page, again=again, evidence=self._evidence
            )
        except FacewitnessError:
            ready.outlet.close()
            raise
        self._opened.add(stream.name)
        self._streams.append(stream)
        self._outlets[stream] = ready.outlet

    def _open_late(self, ready: _Ready) -> None:
        try:
            self._open(ready)
        except Exception as error:  # the others go on
            self._tell(ready.settings.name, error)

    def _start(self, stream: WatchedStream) -> None:
        try:
            stream.start()
        except RuntimeError as error:  # the system has no thread left
            self._dismiss(stream.name)
            self._tell(stream.label, error)

    def _dismiss(self, name: str) -> None:
        """Let a stream end, without waiting for it."""
        for ready in [each for each in self._next if each.settings.name == name]:
            self._next.remove(ready)
            ready.outlet.close()
        for stream in [each for each in self._streams if each.name == name]:
            stream.stop()
            if not stream.begun:
                stream.discard()
                self._streams.remove(stream)
                self._outlets.pop(stream).close()

    def _collect(self, stream: WatchedStream) -> None:
        """A stream has ended."""
        self._streams.remove(stream)
        self._outlets.pop(stream).close()
        self.summaries.pop(stream.name, None)  # so that the order is that of the ends
        self.summaries[stream.name] = {"name": stream.name, **stream.summary()}
        while len(self.summaries) > 2 * MOST:
            del self.summaries[next(iter(self.summaries))]
        if stream.error is not None:
            self._tell(stream.label, stream.error)
        elif not stream.stopping:
            log.info("%s: ended", stream.label)

    def _tell(self, name: str, error: Exception) -> None:
        self.first_error = self.first_error or error
        text = str(error) or type(error).__name__
        log.error("%s", text if text.startswith(name) else f"{name}: {text}")

    def _govern(self, seconds: float) -> None:
        """Measure, decide, apply."""
        live = {each.name: each for each in self._streams if each.live and each.begun and not each.stopping}
        before = self._governor.level
        loads = [stream.load() for stream in live.values()]
        efforts = self._governor.step(loads, self._processor.share(), seconds)
        for name, effort in efforts.items():
            live[name].apply(effort)
        if before is None and self._governor.level is not None:
            log.warning("the machine is full: frames are left out, evenly by priority")
        elif before is not None and self._governor.level is None:
            log.info("the machine has room again: all frames are analysed")


def free_place(path: str) -> str:
    """The path, or with the first number at its name's end that makes it one where nothing is."""
    first = Path(path)
    numbered = (first.with_stem(f"{first.stem}-{i}") for i in itertools.count(2))
    return next(str(place) for place in itertools.chain((first,), numbered) if not place.exists())
