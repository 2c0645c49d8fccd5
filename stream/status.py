"""What can be followed while it runs: a status line for live sources, a bar for files, the score log."""

import contextlib
import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from stream.errors import OutputError
from stream.identity.teller import likeness_json
from stream.values import Health, Quality, Result, State

log = logging.getLogger(__name__)

_QUEUE = 10_000  # lines
_DRAIN = 5.0  # s
_PERIOD = 0.25  # s between two status lines
_BAR = 24  # characters


class StatusLine:
    """One line on a terminal, rewritten in place."""

    def __init__(self, stream: TextIO, duration: float | None) -> None:
        """duration: s of a file, for the bar; None for live sources and files that do not say."""
        self._stream, self._duration, self._next = stream, duration, 0.0
        self._begin = time.monotonic()

    def see(self, result: Result, health: Health) -> None:
        """Show the newest result, a few times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _PERIOD
        faces = ", ".join(
            f"{view.track.id} {view.state.value}"
            + (f" {view.score.value:.0%}" if view.score and view.score.value is not None else "")
            for view in result.tracks
        )
        line = f"{self._progress(result.frame.time, now)}{result.state.value}  {health.fps:.0f} fps"
        if health.age is not None:
            line += f"  age {health.age * 1000:.0f} ms  dropped {health.dropped}"
        self._stream.write(f"\r\x1b[K{line}  {faces}"[:160])
        self._stream.flush()

    def close(self) -> None:
        """Leave the terminal clean."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()

    def _progress(self, position: float, now: float) -> str:
        if not self._duration:
            return ""
        share = min(position / self._duration, 1.0)
        left = (now - self._begin) / share * (1 - share) if share > 0 else 0.0
        return f"[{'#' * round(share * _BAR):<{_BAR}}] {share:4.0%} {left:.0f} s left  "


@dataclass(frozen=True, slots=True)
class Row:
    """What a line about many streams tells of one."""

    name: str
    state: State
    health: Health


def many_line(rows: Sequence[Row]) -> str:
    """All streams in one line: the grave by name, the harmless by number, then rates and the highest age."""
    here = [row for row in rows if row.health.connected]
    parts = [f"{len(rows)} stream{'s' if len(rows) != 1 else ''}"]
    for state in reversed(tuple(State)):
        names = [row.name for row in here if row.state is state]
        if names:
            grave = state in (State.ALERT, State.SUSPICIOUS)
            parts.append(f"{state.value} {', '.join(names)}" if grave else f"{len(names)} {state.value}")
    if away := [row.name for row in rows if not row.health.connected]:
        parts.append(f"no picture {', '.join(away)}")
    parts.append(f"{sum(row.health.fps for row in here):.0f} fps")
    ages = [row.health.age for row in here if row.health.age is not None]
    if ages:
        parts.append(f"age {max(ages) * 1000:.0f} ms at most")
    if spared := sum(bool(row.health.note) for row in here):
        parts.append(f"{spared} with reduced analysis")
    return "  ".join(parts)


class ManyLine:
    """One line on a terminal about all streams, rewritten in place; called by one thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._next = stream, 0.0

    def show(self, rows: Callable[[], Sequence[Row]]) -> None:
        """Show how things are, a few times a second."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PERIOD
            self._stream.write(f"\r\x1b[K{many_line(rows())}"[:160])
            self._stream.flush()

    def close(self) -> None:
        """Leave the terminal clean."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class _Writer:
    """Writes lines in a thread of its own: a full disk or an unread pipe never holds up the pump."""

    def __init__(self, stream: TextIO, wait: bool) -> None:
        """wait: a full queue makes the caller wait (files) instead of dropping the line (live)."""
        self._stream, self._wait, self._broken = stream, wait, False
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=_QUEUE)
        self._thread = threading.Thread(target=self._run, name="score-log", daemon=True)
        self._thread.start()
        self._ending = False
        self.dropped = 0

    def write(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._lines.put(line, block=self._wait)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        if self._ending:
            return
        self._ending = True
        try:
            self._lines.put(None, timeout=_DRAIN)
            self._thread.join(_DRAIN)
        except queue.Full:
            log.warning("score log: %d lines were never taken", self._lines.qsize())
        if self.dropped:
            log.warning("score log: %d lines dropped, its reader was too slow", self.dropped)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._broken:
                continue  # go on taking, so that nobody waits for a place
            try:
                self._stream.write(line)
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError) as error:
                self._broken = True
                log.error("score log: %s; no more scores are written", error)


def _face(quality: Quality | None) -> dict[str, float | None]:
    if quality is None:
        return {"size": None, "sharpness": None, "yaw": None}
    values = {"size": quality.size, "sharpness": quality.sharpness, "yaw": quality.yaw}
    return {name: round(value, 1) for name, value in values.items()}


class ScoreLog:
    """Every new score as a JSON line, schema 1; `see` makes it."""

    def __init__(self, path: str, wait: bool, append: bool = False) -> None:
        """path: a file to write anew (append: to go on with), or "-" for stdout. Raises OutputError."""
        try:
            self._stream = sys.stdout if path == "-" else open(path, "a" if append else "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"scores {path}: {error.strerror or error}") from None
        self._writer = _Writer(self._stream, wait)

    def see(self, result: Result, health: Health) -> None:
        """Write the scores that belong to this frame. value: probability of fake, null with a reason.

        size (px), sharpness and yaw (degrees) are those of the track's last crop, null before its first.
        person, likeness (a probability), answer: of who is expected; drift: 1 - cosine to the track's first.
        """
        for view in result.tracks:
            score = view.score
            if score is None or score.time != result.frame.time:
                continue
            line = {
                "schema": 1,
                "type": "score",
                "source": health.source,
                "track": score.track,
                "time": round(score.time, 3),
                "value": None if score.value is None else round(score.value, 5),
                "samples": score.samples,
                "reason": score.reason,
                "state": view.state.value,
                **_face(view.quality),
                **likeness_json(view.likeness),
            }
            self._writer.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Write what is queued, within a bounded time, and close. Harmless when done twice."""
        self._writer.close()
        if self._stream is not sys.stdout:
            with contextlib.suppress(OSError):  # its reader went with lines still in the buffer: told already
                self._stream.close()
