"""The pump: turns frames into results and hands them on. Nothing that it feeds can make it wait."""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from stream.analysis import Analysis
from stream.errors import NoFaces, SourceError
from stream.logs import Trickle
from stream.meter import Meter
from stream.overlay import draw
from stream.values import Alert, Frame, Health, Result, State
from stream.views import View
from stream.window import Pacer
from stream.work import Turns, Work

log = logging.getLogger(__name__)

CHANGES = 120  # lines a minute about changes of state; a crowd that comes and goes makes many
STALE = 0.05  # s after which a frame that had to wait for its turn is left for the next one
_POLL = 0.25  # s, how soon a stop is noticed while no frame comes
_IDLE_DRAW = 0.5  # s between two pictures of a stream that delivers none


class Observer(Protocol):
    """Sees every result, in the analysing thread; must not block. Status line and score log are such."""

    def see(self, result: Result, health: Health) -> None:
        """One analysed frame."""

    def close(self) -> None:
        """The stream has ended."""


class Outlet(Protocol):
    """Where alerts go; `stream.sinks.Dispatcher` is one."""

    def submit(self, alert: Alert) -> None:
        """Queue one event; never blocks, never raises."""


class LiveFrames(Protocol):
    """What the pump needs of a live source; `stream.reader.LiveReader` is one."""

    @property
    def frames(self) -> int:
        """Frames that the source delivered, the dropped ones too."""

    @property
    def dropped(self) -> int:
        """Frames that nobody will see, because a newer one came before they were asked for."""

    @property
    def connected(self) -> bool:
        """Whether pictures come."""

    @property
    def finished(self) -> bool:
        """Whether the source came to its good end and its last frame was taken."""

    @property
    def note(self) -> str:
        """What to tell a person while nothing comes; "" while all is well."""

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame, each one once; None after `timeout` s without one. Raises a SourceError."""

    def want(self, moment: float) -> None:
        """Frames that come before `moment` (s, monotonic) are of no use; they may come all the same."""


class Pump:
    """One stream from source to alert. `run_file` and `run_live` return when it ends or `stop` is set."""

    def __init__(
        self,
        analysis: Analysis,
        outlet: Outlet,
        views: list[View],
        observers: list[Observer],
        meter: Meter,
        health: Health,
    ) -> None:
        """health: what is known before the first frame; source and provider stay."""
        self._analysis, self._outlet = analysis, outlet
        self._views, self._observers = views, observers
        self._meter, self.health = meter, health
        self.work = Work()
        self.note = ""  # told while pictures come; the governor's
        self._rate: float | None = None
        self._pacer: Pacer | None = None
        self.turns: Turns | None = None  # shared with other pumps
        self._spared = 0  # live frames that were taken and left out
        self._recent: deque[float] = deque(maxlen=600)  # s, when frames were analysed
        self._last: Result | None = None
        self._states: dict[int, State] = {}
        self._changes = Trickle(CHANGES, 60.0)
        self.stop = threading.Event()

    @property
    def rate(self) -> float | None:
        """Frames a second of a live source that are analysed at most; None: all. Set from any thread."""
        return self._rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        if rate != self._rate:
            self._rate, self._pacer = rate, None if rate is None else Pacer(rate)

    @property
    def state(self) -> State:
        """That of the last result."""
        return State.NO_FACE if self._last is None else self._last.state

    def run_file(self, frames: Iterator[Frame], duration: float | None) -> None:
        """Analyse every frame, in order, while what is live leaves room.

        Raises what the source raises, and NoFaces if there were none.
        """
        begin: float | None = None
        while not self.stop.is_set():
            with self.turns.spare_turn() if self.turns else contextlib.nullcontext():
                frame = next(frames, None)
                if frame is None:
                    break
                begin = frame.time if begin is None else begin
                if duration is not None and frame.time - begin >= duration:
                    return
                self._meter.counts["frames"] += 1
                self._one(frame, self._meter.counts["frames"], 0, None)
        if not self.stop.is_set() and not self._meter.counts["faces"]:
            raise NoFaces(f"{self.health.source}: no face in {self._meter.counts['frames']} frames")

    def run_live(self, reader: LiveFrames, duration: float | None) -> None:
        """Analyse the newest frame, again and again. Raises the source's error once the reader gives up."""
        end = None if duration is None else time.monotonic() + duration
        idle = 0.0
        while not self.stop.is_set() and (end is None or time.monotonic() < end):
            self._want(reader)
            try:
                frame = reader.newest(_POLL)
            except SourceError:
                if self.stop.is_set():  # a service manager signals the reading process too
                    return
                raise
            if frame is not None and self._spares(frame):
                continue
            self._count(reader)
            if frame is not None:
                self._live(frame, reader)
            elif reader.finished:
                return
            elif time.monotonic() - idle >= _IDLE_DRAW:
                idle = time.monotonic()
                self._idle(reader)

    def finish(self) -> None:
        """Close the alerts that are open and the observers; the owner closes views and sinks."""
        self._send(self._analysis.finish())
        for observer in self._observers:
            observer.close()

    def _want(self, reader: LiveFrames) -> None:
        """Say from when on a frame is of use, so that nobody takes trouble over the others."""
        pacer = self._pacer
        reader.want(-math.inf if pacer is None else pacer.opens)

    def _spares(self, frame: Frame) -> bool:
        """Whether the rate leaves this frame out; decided on its arrival, so that what is taken is fresh."""
        pacer = self._pacer
        spared = pacer is not None and not pacer.due(frame.captured)
        self._spared += spared
        return spared

    def _live(self, frame: Frame, reader: LiveFrames) -> None:
        with self.work.at_work(), self._turn(reader):
            newer = self._newer(frame, reader) if self.turns else None
            self._want(reader)
            self._spared += newer is not None
            dropped = self._count(reader)
            frame = newer or frame
            self._one(frame, reader.frames, dropped, frame.captured)

    def _turn(self, reader: LiveFrames) -> contextlib.AbstractContextManager[None]:
        """A turn to work. Where frames are left out, those that come while others work are of no use."""
        if self.turns is None:
            return contextlib.nullcontext()
        if self._pacer is None:
            return self.turns.turn()
        reader.want(math.inf)
        return self.turns.turn(lambda: reader.want(-math.inf))

    def _newer(self, frame: Frame, reader: LiveFrames) -> Frame | None:
        """What came while this pump waited for its turn; where that was long, what is about to come."""
        stale = self._pacer is not None and time.monotonic() - frame.captured > STALE
        if stale:
            reader.want(-math.inf)
        with contextlib.suppress(SourceError):  # it is raised again when the next frame is asked for
            return reader.newest(STALE if stale else 0)
        return None

    def _count(self, reader: LiveFrames) -> int:
        """Note what came and what nobody will see; gives the latter."""
        dropped = reader.dropped + self._spared
        self._meter.counts["frames"], self._meter.counts["dropped"] = reader.frames, dropped
        return dropped

    def _one(self, frame: Frame, frames: int, dropped: int, captured: float | None) -> None:
        result = self._analysis.step(frame)
        self._send(result.alerts)
        self._tell(result)
        self._recent.append(time.monotonic())
        age = None if captured is None else time.monotonic() - captured
        self.health = replace(
            self.health,
            connected=True,
            fps=self._fps(),
            age=age,
            frames=frames,
            dropped=dropped,
            note=self.note,
        )
        self._show(result)
        if captured is not None:
            age = time.monotonic() - captured
            self._meter.note("age", age)
            self.work.ages += age
        for observer in self._observers:
            observer.see(result, self.health)
        self._last = result

    def _idle(self, reader: LiveFrames) -> None:
        """No frame: say so on the last picture, so that nobody takes an old one for a live one."""
        if reader.connected or self._last is None:
            return
        self.health = replace(self.health, connected=False, fps=0.0, age=None, note=reader.note)
        self._show(self._last)

    def _show(self, result: Result) -> None:
        if not self._views:
            return
        with self._meter.stage("overlay"):
            picture = draw(result, self.health)
        for view in self._views:
            with self._meter.stage("view"):
                view.show(picture, result.frame.time)
            if view.closed:
                self.stop.set()

    def _send(self, alerts: tuple[Alert, ...]) -> None:
        for alert in alerts:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._meter.counts[f"alerts {alert.phase.value}"] += 1
            self._outlet.submit(replace(alert, wall_time=now))

    def _tell(self, result: Result) -> None:
        """Log each change of a track's state, as far as they are no flood."""
        states = {view.track.id: view.state for view in result.tracks}
        for view in result.tracks:
            if self._states.get(view.track.id) is view.state:
                continue
            admitted, held = self._changes.admit(time.monotonic())
            if held:
                log.info("%s  %d more changes of state in a minute", self.health.source, held)
            if admitted:
                score = view.score.value if view.score else None
                why = f"{score:.0%} fake" if score is not None else view.score.reason if view.score else ""
                log.info(
                    "%s  %.1f s  face %d: %s (%s)",
                    self.health.source, result.frame.time, view.track.id, view.state.value, why,
                )  # fmt: skip
        self._states = states

    def _fps(self) -> float:
        while len(self._recent) > 2 and self._recent[-1] - self._recent[0] > 2.0:
            self._recent.popleft()
        span = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span if span > 0 else 0.0
