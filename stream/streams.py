"""Many streams in one process: starts, stops and alters them, and shares the machine out."""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.config import Settings
from stream.errors import FacewitnessError
from stream.governor import Governor
from stream.networks import NetworkPool, Networks
from stream.preparing import Edits, Preparation, networks_for
from stream.processor_load import ProcessorLoad
from stream.sinks.pool import Outlet, SinkPool
from stream.status import ManyLine, Row
from stream.stream_config import MOST, Plan
from stream.watched import WatchedStream, sink_options

if TYPE_CHECKING:
    from stream.evidence.store import EvidenceStore
    from stream.relay.serve import Page

log = logging.getLogger(__name__)

# s between two rounds, each of which starts one stream: a reader needs 0.15 s of processor to begin
TICK = 0.1
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
        self._plan = {settings.name: settings for settings in plan.streams}
        self._edits = Edits(networks, plan.streams[0])
        self._streams: list[WatchedStream] = []  # not yet begun, running, or ending
        self._outlets: dict[WatchedStream, Outlet] = {}
        self._next: list[_Ready] = []
        self._governor, self._processor = governor or Governor(), ProcessorLoad()
        self._decided = time.monotonic()  # s, when effort was decided last
        self.first_error: Exception | None = None  # that ended a stream
        self.summaries: dict[str, dict[str, Any]] = {}  # by name, of streams that have ended
        try:
            self._next = self._ready(plan.streams, networks_for(networks, plan.streams))
            while self._next:
                self._open(self._next.pop(0))
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
            while not stopped() and (self._streams or self._next or self._edits.pending):
                plan = edited()
                if plan is not None:
                    self.take_up(plan)
                self.step(time.monotonic())
                if line is not None:
                    line.show(self.rows)
                time.sleep(TICK)
        finally:
            self.close()

    def take_up(self, plan: Plan) -> None:
        """Change what runs into what an edited file says, as soon as its networks are open.

        One that cannot be is told, and changes nothing; of several the newest counts.
        """
        self._edits.offer(plan)

    def step(self, now: float) -> None:
        """One round: collect who has ended, take up an edit, open and start who waits, share effort out."""
        for stream in [each for each in self._streams if each.ended]:
            self._collect(stream)
        if (edit := self._edits.step(self._plan)) is not None:
            self._change(edit)
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

    def _change(self, edit: Preparation) -> None:
        new = {settings.name: settings for settings in edit.plan.streams}
        gone = [name for name in self._plan if name not in new]
        try:
            ready = self._ready(edit.changed, edit.networks())
        except Exception as error:  # no edit ends what runs
            log.error("%s: %s; nothing is changed", edit.plan.file, str(error) or type(error).__name__)
            return
        for name in [*gone, *(settings.name for settings in edit.changed)]:
            self._dismiss(name)
        self._next = [replace(each, settings=new[each.settings.name]) for each in self._next] + ready
        for stream in self._streams:
            if not stream.stopping:
                stream.settings = new[stream.name]  # priority and rate; the next decision applies them
        self._plan = new
        self._let_go()
        told = [*(f"- {name}" for name in gone), *(f"+ {settings.name}" for settings in edit.changed)]
        log.info("%s was edited: %s", edit.plan.file, ", ".join(told) or "no stream ends or begins")

    def _let_go(self) -> None:
        """Close the networks that nobody uses any more."""
        if not self._edits.opening:  # else some of them may be for the streams to come
            used = [stream.networks for stream in self._streams]
            self._networks.keep(used + [ready.networks for ready in self._next])

    def _ready(self, wanted: Sequence[Settings], networks: Mapping[str, Networks]) -> list[_Ready]:
        """Open the sinks of streams to be. Raises a FacewitnessError; then none stays open for them."""
        until = time.monotonic() + REPLACE
        with contextlib.ExitStack() as stack:
            ready = []
            for settings in wanted:
                try:
                    outlet = self._sinks.outlet(settings.sinks, sink_options(settings))
                except FacewitnessError as error:
                    raise type(error)(f"{settings.name}: {error}") from None
                stack.callback(outlet.close)
                ready.append(_Ready(settings, networks[settings.name], outlet, until))
            stack.pop_all()
        return ready

    def _open(self, ready: _Ready, late: bool = False) -> None:
        """Open what is the stream's own; late: after an edit, which overwrites nothing.

        Raises a FacewitnessError.
        """
        settings = ready.settings
        if late and settings.record is not None:
            settings = replace(settings, record=free_place(settings.record))
        try:
            stream = WatchedStream(
                settings, ready.networks, ready.outlet, self._page, again=late, evidence=self._evidence
            )
        except BaseException:
            ready.outlet.close()
            raise
        self._streams.append(stream)
        self._outlets[stream] = ready.outlet

    def _open_late(self, ready: _Ready) -> None:
        try:
            self._open(ready, late=True)
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
        self._let_go()
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
        before = self._governor.measure
        loads = [stream.load() for stream in live.values()]
        efforts = self._governor.step(loads, self._processor.share(self._networks.turns.aside), seconds)
        for name, effort in efforts.items():
            live[name].apply(effort)
        if self._governor.measure != before:
            if self._governor.measure:
                log.warning("the machine is full: %s", self._governor.measure)
            else:
                log.info("the machine has room again: all is analysed in full")


def free_place(path: str) -> str:
    """The path, or with the first number at its name's end that makes it one where nothing is."""
    first = Path(path)
    numbered = (first.with_stem(f"{first.stem}-{i}") for i in itertools.count(2))
    return next(str(place) for place in itertools.chain((first,), numbered) if not place.exists())
