"""One stream as the governor sees it: what it asked for, what it cost, and the effort that it is given."""

import time

from stream.analysis import Analysis
from stream.governor import Effort, Load
from stream.pump import Pump
from stream.tracker import Tracker


class Governed:
    """A pump with its tracker and analysis. The governor's thread asks and tells; the pump has its own."""

    def __init__(self, name: str, pump: Pump, tracker: Tracker, analysis: Analysis) -> None:
        self._name, self._pump, self._tracker, self._analysis = name, pump, tracker, analysis
        self._measured = (time.monotonic(), 0, 0, 0.0, 0.0)  # when, frames offered, analysed, busy s, ages s

    def load(self, offered: int, priority: float = 1.0, most: float | None = None) -> Load:
        """What it asked for and what it cost since this was called last.

        offered: frames, all that its source has delivered. most: frames a second that its settings allow.
        """
        now, work = time.monotonic(), self._pump.work
        measured = (now, offered, work.frames, work.busy_until(now), work.ages)
        seconds, came, done, busy, ages = (
            max(new - old, 0) for new, old in zip(measured, self._measured, strict=True)
        )
        self._measured = measured
        wanted = came if self._pump.rate is None else min(came, self._pump.rate * seconds)
        return Load(
            self._name,
            offered=came / max(seconds, 1e-3),
            busy=min(busy / max(seconds, 1e-3), 1.0),
            age=ages / done if done else None,
            risky=self._analysis.risky,
            lost=max(1 - done / wanted, 0.0) if wanted else 0.0,
            priority=priority,
            most=most,
        )

    def apply(self, effort: Effort, most: float | None = None) -> None:
        """Take up what the governor says. most: as for `load`."""
        rates = [rate for rate in (effort.rate, most) if rate is not None]
        self._pump.rate = min(rates, default=None)
        self._pump.note = effort.note
        self._tracker.key_frames.stretch, self._analysis.thrift = effort.stretch, effort.thrift
