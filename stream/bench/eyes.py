"""What the benchmark sees of a stream: the pictures' ages at the overlay, and how soon a swap is an alert."""

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.bench.clips import Clip
from stream.meter import Meter
from stream.values import Health, Phase, Result


@dataclass(slots=True)
class Measured:
    """Whether it is measured now."""

    open: bool = False


class Timed(Meter):
    """A meter that counts only while the run is measured."""

    def __init__(self, window: "Measured") -> None:
        super().__init__()
        self._window = window

    def note(self, name: str, seconds: float) -> None:
        """Take a measurement, if it is time."""
        if self._window.open:
            super().note(name, seconds)


class Eyes:
    """A stream's view and observer: takes the drawn pictures, keeps their ages and the alerts' delays."""

    closed = False

    def __init__(self, clip: Clip, window: Measured) -> None:
        self._clip, self._window = clip, window
        self.up = threading.Event()
        self.ages: list[float] = []  # s, at the overlay
        self.times: list[float] = []  # s on the source's clock, of the frames that were measured
        self.delays: list[float] = []  # s from the swap to the alert
        self.alerts = 0

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """A drawn picture; what becomes of it costs no more here."""

    def see(self, result: Result, health: Health) -> None:
        """One analysed frame, drawn already."""
        age = time.monotonic() - result.frame.captured
        self.up.set()
        if not self._window.open:
            return
        self.ages.append(age)
        self.times.append(result.frame.time)
        for alert in result.alerts:
            if alert.phase is Phase.OPENED:
                self.alerts += 1
                since = result.frame.time % self._clip.seconds - self._clip.swap_at
                if since >= 0:
                    self.delays.append(since + age)

    def close(self) -> None:
        """Nothing is kept open."""

    def swaps(self) -> int:
        """How many swaps were watched from before they began to 2 s after."""
        if not self.times:
            return 0
        first, last = self.times[0], self.times[-1] - 2.0
        swaps = np.arange(self._clip.swap_at, last + 1, self._clip.seconds)
        return int(((swaps >= first) & (swaps <= last)).sum())


def ages_of(ages: list[float]) -> dict[str, float]:
    """p50 and p95 in ms of ages in s, and the medians of the first and of the last third."""
    if not ages:
        return {}
    ms, third = np.array(ages) * 1000, max(len(ages) // 3, 1)
    parts = *np.percentile(ms, (50, 95)), np.median(ms[:third]), np.median(ms[-third:])
    names = "p50", "p95", "first_third", "last_third"
    return {name: round(float(value), 1) for name, value in zip(names, parts, strict=True)}
