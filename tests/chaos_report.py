"""What a chaos run has to show, from its records alone: scores, alerts, meters, memory. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

HEALTHY = 2.0  # s without a score that end a healthy stretch
SLACK = 4.0  # s beyond the clip's period that may lie between two alerts: rises take longer or shorter
GROWTH = 30.0  # MiB that the median of the last quarter may lie above that of the second
RETURN = 45.0  # s until a stream must be back: the longest wait between two tries is 30 s

Stretch = tuple[float, float]  # s on the source's clock


@dataclass(frozen=True, slots=True)
class Event:
    """One blow, and what became of the stream."""

    stream: str
    kind: str
    began: float  # s on the stream's clock, of its last score before
    outage: float  # s, real time, until its source was well again
    back: float | None = None  # s on the stream's clock, of its first score after that; None: never
    after: float | None = None  # s, real time, from the source's recovery to that score


@dataclass(frozen=True, slots=True)
class Record:
    """All that a run has left."""

    period: float  # s of the clip
    steady: tuple[str, ...]  # the streams that nothing befell
    calm: Mapping[str, float]  # frames a second that were analysed of each stream before the chaos
    chaos: Mapping[str, float]  # and in it
    times: Mapping[str, Sequence[float]]  # s on the stream's clock, of all its scores
    events: Sequence[Event]
    alerts: Sequence[Mapping[str, Any]]  # the sink's record
    streams: Sequence[Mapping[str, Any]]  # the streams' meters
    memory: Sequence[float]  # MiB, over the chaos
    held: tuple[tuple[int, int, int], tuple[int, int, int]]  # readers, threads, files: before it and after it
    troubles: Sequence[str]  # lines of the log that should not be there


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: what was demanded, what was found."""

    demand: str
    found: str
    held: bool


def stretches(times: Sequence[float], events: Sequence[Event] = (), gap: float = HEALTHY) -> list[Stretch]:
    """The parts of a stream's time in which scores came without a gap, and nothing had befallen its source.

    times: s, of all scores, rising. events: the stream's own.
    """
    ill = [(event.began, event.back if event.back is not None else float("inf")) for event in events]
    well = [t for t in times if not any(begin < t < end for begin, end in ill)]
    cuts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(well)) if b - a > gap or _between(a, b, ill))]
    parts = [well[i:j] for i, j in zip(cuts, [*cuts[1:], len(well)], strict=True)]
    return [(part[0], part[-1]) for part in parts if part]


def _between(a: float, b: float, ill: Sequence[Stretch]) -> bool:
    return any(a <= begin and end <= b for begin, end in ill)


def missing(healthy: Sequence[Stretch], starts: Sequence[float], period: float) -> tuple[int, int]:
    """How many alerts must have been, and how many of them are missing: one in each pass of the clip.

    starts: s, when alerts began. Between two of a stretch, and between them and its ends, lies one pass at
    most, and SLACK.
    """
    passes = lost = 0
    for begin, end in healthy:
        inside = sorted(start for start in starts if begin - HEALTHY <= start <= end)
        passes += max(int((end - begin - SLACK) // period), 0)
        lost += sum(int((b - a - SLACK) // period) for a, b in pairwise([begin, *inside, end])
                    if b - a > period + SLACK)  # fmt: skip
    return passes, lost


def unpaired(alerts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the sink's record: each alert is opened, updated perhaps, and closed, in order."""
    lives: dict[str, list[str]] = defaultdict(list)
    latest: dict[str, str] = {}
    wrong = []
    for alert in alerts:
        lives[alert["id"]].append(alert["phase"])
        if alert["wall_time"] < latest.get(alert["source"], ""):
            wrong.append(f"{alert['id']}: out of order")
        latest[alert["source"]] = alert["wall_time"]
    for id, phases in lives.items():
        if phases[0] != "opened" or phases[-1] != "closed" or set(phases[1:-1]) - {"updated"}:
            wrong.append(f"{id}: {', '.join(phases)}")
    return wrong


def unrecorded(alerts: Sequence[Mapping[str, Any]], streams: Sequence[Mapping[str, Any]]) -> int:
    """By how many events the sink's record and the streams' own counts differ."""
    told: dict[tuple[str, str], int] = defaultdict(int)
    for alert in alerts:
        told[alert["source"], alert["phase"]] += 1
    for stream in streams:
        for phase in ("opened", "updated", "closed"):
            told[stream["name"], phase] -= stream["counts"].get(f"alerts {phase}", 0)
    return sum(map(abs, told.values()))


def quarters(values: Sequence[float]) -> list[float]:
    """The median of each quarter."""
    quarter = max(len(values) // 4, 1)
    return [round(median(values[i * quarter : (i + 1) * quarter] or values[-1:]), 1) for i in range(4)]


def loss(calm: float, chaos: float) -> float:
    """The share of the calm rate that chaos took; 0 where it took none."""
    return max(1 - chaos / calm, 0.0) if calm > 0 else 1.0


def verdict(record: Record, allowed: float) -> list[Line]:
    """allowed: the share of its analyses that a steady stream may lose."""
    losses = {name: loss(record.calm[name], record.chaos[name]) for name in record.steady}
    worst = max(losses, key=lambda name: losses[name])
    passes, lost = _alerts_due(record)
    wrong, apart = unpaired(record.alerts), unrecorded(record.alerts, record.streams)
    gone = [event for event in record.events if event.back is None]
    slow = max((event.after for event in record.events if event.after is not None), default=0.0)
    parts = quarters(record.memory)
    before, after = record.held
    names = "readers", "threads", "files"
    grown = ", ".join(f"{b} -> {a} {name}" for name, b, a in zip(names, before, after, strict=True))
    return [
        Line(
            f"the {len(record.steady)} steady streams lose {allowed:.0%} of their analyses at most",
            f"{losses[worst]:.2%} at most ({worst})",
            losses[worst] <= allowed,
        ),
        Line(
            "each healthy pass of the clip raises its alert",
            f"{lost} of {passes} missing",
            not lost and passes > 0,
        ),
        Line("each alert is opened and closed, in order", "; ".join(wrong[:3]) or "so it is", not wrong),
        Line(
            "the sink has every event that the streams sent",
            f"{apart} apart of {len(record.alerts)}",
            not apart,
        ),
        Line(
            f"every ill stream returns within {RETURN:.0f} s",
            f"{len(record.events) - len(gone)} of {len(record.events)} did, within {slow:.1f} s",
            bool(record.events) and not gone and slow <= RETURN,
        ),
        Line(
            f"memory grows by {GROWTH:.0f} MiB at most from the second quarter to the last",
            f"{', '.join(map(str, parts))} MiB",
            parts[3] - parts[1] <= GROWTH,
        ),
        Line(
            "nothing is left behind",
            grown,
            after[0] <= before[0] and after[1] <= before[1] + 4 and after[2] <= before[2] + 8,
        ),
        Line("no error of the program's own", "; ".join(record.troubles[:2]) or "none", not record.troubles),
    ]


def _alerts_due(record: Record) -> tuple[int, int]:
    """Healthy passes of all streams, and how many of them raised no alert."""
    passes = lost = 0
    for name, times in record.times.items():
        events = [event for event in record.events if event.stream == name]
        starts = [a["start"] for a in record.alerts if a["source"] == name and a["phase"] == "opened"]
        due, none = missing(stretches(times, events), starts, record.period)
        passes, lost = passes + due, lost + none
    return passes, lost


def table(record: Record, lines: Sequence[Line]) -> str:
    """For people: the streams, the blows by kind, the verdict."""
    head = f"{'stream':<10}{'calm /s':>9}{'chaos /s':>10}{'loss':>8}"
    rows = [f"{head}{'alerts':>8}{'blows':>7}{'worst return':>14}"]
    for name, calm in record.calm.items():
        mine = [event for event in record.events if event.stream == name]
        back = [event.after for event in mine if event.after is not None]
        opened = sum(a["source"] == name and a["phase"] == "opened" for a in record.alerts)
        lost = f"{loss(calm, record.chaos[name]):.2%}" if name in record.steady else "-"
        slowest = f"{max(back):.1f} s" if back else "-"
        rows.append(
            f"{name:<10}{calm:>9.2f}{record.chaos[name]:>10.2f}{lost:>8}{opened:>8}{len(mine):>7}{slowest:>14}"
        )
    rows.append("")
    for kind in sorted({event.kind for event in record.events}):
        back = [e.after for e in record.events if e.kind == kind and e.after is not None]
        typical = f"back after {median(back):.1f} s, {max(back):.1f} s at most" if back else "never back"
        rows.append(f"{kind:<10}{sum(e.kind == kind for e in record.events):>4} times, {typical}")
    rows.append("")
    rows += [f"{'ok  ' if line.held else 'FAIL'}  {line.demand}: {line.found}" for line in lines]
    return "\n".join(rows)
