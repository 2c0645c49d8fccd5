"""What it costs: milliseconds a stage, frames in, dropped and scored, the picture's age at the overlay."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 40_000  # newest measurements a stage: 22 minutes of 30 fps


class _Ring:
    """The newest measurements of one stage. Takes its memory at once: a long run must not grow."""

    def __init__(self) -> None:
        self._ms = np.zeros(_KEPT, np.float32)
        self._taken = 0

    def add(self, seconds: float) -> None:
        self._ms[self._taken % _KEPT] = seconds * 1000
        self._taken += 1

    def values(self) -> NDArray[np.float32]:
        """Milliseconds, oldest first."""
        if self._taken <= _KEPT:
            return self._ms[: self._taken]
        return np.roll(self._ms, -(self._taken % _KEPT))


class Meter:
    """Gathers durations and counts; one for each stream, used from the analysing thread alone."""

    def __init__(self) -> None:
        self._stages: dict[str, _Ring] = defaultdict(_Ring)
        self.counts: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one run of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.note(name, time.perf_counter() - start)

    def note(self, name: str, seconds: float) -> None:
        """Take one measurement of a stage."""
        self._stages[name].add(seconds)

    def summary(self) -> dict[str, object]:
        """For machines: per stage the runs kept, p50 and p95 in ms, p50 of the first and of the last third
        (a delay that builds up shows there); the counts beside them.
        """
        stages = {}
        for name, ring in self._stages.items():
            ms = ring.values()
            third = max(len(ms) // 3, 1)
            figures = *np.percentile(ms, (50, 95)), np.median(ms[:third]), np.median(ms[-third:])
            names = "p50_ms", "p95_ms", "first_third_ms", "last_third_ms"
            rounded = {key: round(float(value), 2) for key, value in zip(names, figures, strict=True)}
            stages[name] = {"runs": len(ms), **rounded}
        return {"stages": stages, "counts": dict(self.counts)}

    def table(self) -> str:
        """For people."""
        rows = [f"{'stage':<12}{'runs':>8}{'p50 ms':>10}{'p95 ms':>10}"]
        for name, ring in self._stages.items():
            p50, p95 = np.percentile(ring.values(), (50, 95))
            rows.append(f"{name:<12}{len(ring.values()):>8}{p50:>10.2f}{p95:>10.2f}")
        rows.append("   ".join(f"{name} {count}" for name, count in self.counts.items()))
        return "\n".join(rows)


def many_table(summaries: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """For people: a line for each stream, from its name and its `Meter.summary`."""
    rows = [f"{'stream':<24}{'frames':>9}{'dropped':>9}{'detects':>9}{'p50 age':>9}{'p95 age':>9}"]
    for name, summary in summaries:
        counts, stages = summary["counts"], summary["stages"]
        age, searches = stages.get("age", {}), [stages.get(each, {}) for each in ("detect", "search")]
        detects = sum(each.get("runs", 0) for each in searches)  # by the stream itself and beside it
        rows.append(
            f"{name:<24}{counts.get('frames', 0):>9}{counts.get('dropped', 0):>9}{detects:>9}"
            f"{age.get('p50_ms', '–'):>9}{age.get('p95_ms', '–'):>9}"
        )
    return "\n".join(rows)
