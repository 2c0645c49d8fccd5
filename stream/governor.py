"""Decides how much effort each stream gets when the machine is full: rates fall evenly by priority. Pure.

First what is dear is spared: key frames, crops and the second eye come less often, and no frame is left out.
Where that is not enough, all streams share one level: the frames a second that priority 1 may have analysed.
Capped by what each source delivers that is weighted max-min fairness (D. Bertsekas, R. Gallager, "Data
Networks", 2nd ed. 1992, section 6.5.2): nobody gets more than it wants, and what one leaves is for the
others. The level falls and rises by factors, after the pattern of congestion control (D.-M. Chiu, R. Jain,
Computer Networks 17(1), 1989), with waiting times on both sides, and a patience that doubles whenever a rise
was too much: it must not swing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

SPARED = "looking less often where nothing is in doubt: the machine is full"


@dataclass(frozen=True, slots=True)
class Load:
    """What one live stream asked for and what it cost, over the last second or so."""

    name: str
    offered: float  # frames a second that its source delivers; 0 while there is no picture
    busy: float  # 0..1 of the time that its pump was at work
    age: float | None  # s from capture to overlay, the mean; None where no frame was analysed
    lost: float = 0.0  # 0..1 of the frames that it was to analyse, and could not
    risky: bool = False  # a face of it is SUSPICIOUS, or an ALERT that is not settled
    priority: float = 1.0  # above 0
    most: float | None = None  # frames a second that its settings allow; None: all

    @property
    def wanted(self) -> float:
        """Frames a second that it would have analysed by itself."""
        return self.offered if self.most is None else min(self.offered, self.most)


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly a stream is looked at."""

    rate: float | None = None  # frames a second that are analysed; None: all
    stretch: float = 1.0  # factor on the time between two key frames
    thrift: int = 1  # how many times rarer the second eye looks where nothing is suspicious; see Analysis
    note: str = ""  # what to tell a person


@dataclass(frozen=True, slots=True)
class Rules:
    """When the machine counts as full and as calm. Times in s."""

    late: float = 0.1  # mean age above which a stream is late: one frame in twenty nears 150 ms then
    working: float = 0.9  # busy share above which a pump cannot keep up
    resting: float = 0.7  # below which it has room
    losing: float = 0.05  # share of lost frames above which a stream loses
    hot: float = 0.85  # CPU share above which one stream that is late or loses is enough
    cool: float = 0.7  # below which there is room
    alarm: float = 2.0  # full for so long before the level falls, and between two falls
    patience: float = 5.0  # calm for so long before it rises
    longest: float = 60.0  # patience at most
    fall: float = 0.7  # the level's factor at a fall
    rise: float = 1.1  # the level's factor for a second of rising
    least: float = 4.0  # frames a second: fills a window of 2 s with twice the samples that a score needs
    risky: float = 10.0  # frames a second of a risky stream: enough for all 8 crops a second
    sparing: float = 1.5  # key frames may lie so much farther apart
    thrift: int = 2  # the second eye's looks too; and more faces are spared every other crop


class Governor:
    """One for the process; `step` it about once a second."""

    def __init__(self, rules: Rules = Rules()) -> None:
        self._rules = rules
        self.sparing = False  # whether key frames, crops and the second eye come less often
        self.level: float | None = None  # frames a second for priority 1; None: nobody is limited
        self._forget()

    def _forget(self) -> None:
        self.sparing, self.level = False, None
        self._full_for = self._calm_for = 0.0  # s
        self._well_for = 0.0  # s without limit or trouble
        self._patience, self._rose = self._rules.patience, False  # rose: since the last fall

    @property
    def measure(self) -> str:
        """What is done against a full machine, for people; nothing where it is not."""
        if self.level is not None:
            return "frames are left out, evenly by priority"
        return "what is in no doubt is looked at less often" if self.sparing else ""

    def step(self, loads: Sequence[Load], cpu: float, seconds: float) -> dict[str, Effort]:
        """Take the loads of the last `seconds` and say what each stream gets from now on.

        cpu: 0..1 of the cores that the process may use. Streams without a picture get FULL effort, so that
        their first frames are not held back.
        """
        live = [load for load in loads if load.wanted > 0]
        if not live:
            self._forget()
        elif is_full(live, cpu, self._rules) or (not self.sparing and is_losing(live, cpu, self._rules)):
            self._fall(live, seconds)
        elif is_calm(live, cpu, self._rules):
            self._rise(live, seconds)
        else:
            self._full_for = self._calm_for = 0.0
        return {load.name: effort(load, self.sparing, self.level, self._rules) for load in loads}

    def _fall(self, live: Sequence[Load], seconds: float) -> None:
        rules, self._calm_for, self._well_for = self._rules, 0.0, 0.0
        self._full_for += seconds
        if self._full_for < rules.alarm:
            return
        self._full_for = 0.0
        if self._rose:  # the last rise was too much
            self._patience, self._rose = min(2 * self._patience, rules.longest), False
        if not self.sparing:
            self.sparing = True
            return
        top = max(load.wanted / load.priority for load in live)
        bottom = rules.least / max(load.priority for load in live)  # all are at their least: no use to go on
        level = top if self.level is None else min(self.level, top)
        self.level = max(level * rules.fall, bottom)

    def _rise(self, live: Sequence[Load], seconds: float) -> None:
        rules, self._full_for = self._rules, 0.0
        if not self.sparing:
            self._well_for += seconds
            if self._well_for >= rules.longest:
                self._patience, self._rose = rules.patience, False
            return
        self._calm_for += seconds
        if self._calm_for < self._patience:
            return
        self._rose = True
        if self.level is None:
            self.sparing = False
            return
        self.level *= rules.rise**seconds
        if self.level >= max(load.wanted / load.priority for load in live):
            self.level, self._calm_for = None, 0.0


def is_full(live: Sequence[Load], cpu: float, rules: Rules) -> bool:
    """Whether more than half of the pumps cannot keep up, or one stream is late and the CPU has nothing left.

    One slow stream alone (a huge picture, say) is its own affair. Age alone is no reason: an accelerator's
    latency or other programs make it too, and leaving frames out would not lower it.
    """
    behind = sum(load.busy > rules.working for load in live)
    late = behind or any((load.age or 0.0) > rules.late for load in live)
    return 2 * behind > len(live) or (bool(late) and cpu > rules.hot)


def is_losing(live: Sequence[Load], cpu: float, rules: Rules) -> bool:
    """Whether a stream loses frames and the CPU has nothing left."""
    return cpu > rules.hot and any(load.lost > rules.losing for load in live)


def is_calm(live: Sequence[Load], cpu: float, rules: Rules) -> bool:
    """Whether there is room for more: the middle one of the pumps rests, and so does the CPU."""
    return median(load.busy for load in live) < rules.resting and cpu < rules.cool


def effort(load: Load, sparing: bool, level: float | None, rules: Rules) -> Effort:
    """What one stream gets. Never less than its risk needs, never more than it wants."""
    if load.wanted <= 0:
        return Effort()
    # A risky stream keeps its key frames; at which of its tracks to look closely, its analysis knows.
    full = Effort(None, 1.0 if load.risky else rules.sparing, rules.thrift, SPARED) if sparing else Effort()
    rate = (
        load.wanted
        if level is None
        else max(level * load.priority, rules.risky if load.risky else rules.least)
    )
    if rate >= load.wanted:
        return full
    note = f"analysing {rate:.0f} of {load.offered:.0f} frames a second: the machine is full"
    return replace(full, rate=rate, note=note)
