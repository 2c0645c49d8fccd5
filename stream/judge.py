"""The judge: scores in, states and alert events out. Pure: no clock, no thread, no I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from export.card import Thresholds
from stream.values import Alert, Phase, Score, State, TrackView

_RANK = (
    State.NO_FACE,
    State.CLEAR,
    State.UNCERTAIN,
    State.SUSPICIOUS,
    State.ALERT,
)  # what a headline shows first


@dataclass(frozen=True, slots=True)
class Policy:
    """When a score becomes a verdict. All durations in seconds on the source's clock."""

    thresholds: Thresholds
    rise: float = 0.4  # this long above `on` before a state begins
    fall: float = 1.0  # this long below `off` before it ends
    cooldown: float = 10.0  # a rise of the same track this soon after the last continues the same alert
    update: float = 5.0  # between two `updated` events of one alert


@dataclass(slots=True)
class _Trigger:
    """A Schmitt trigger with minimum durations on both sides."""

    on: bool = False
    turning: float | None = None  # s, since when the score has been on the other side
    began: float = 0.0  # s, the first score of the rise that turned it on

    def step(self, time: float, value: float, high: float, low: float, policy: Policy) -> None:
        crossing = value < low if self.on else value >= high
        if not crossing:
            self.turning = None
            return
        if self.turning is None:
            self.turning = time
        if time - self.turning >= (policy.fall if self.on else policy.rise):
            self.on, self.began, self.turning = not self.on, self.turning, None


@dataclass(slots=True)
class _OpenAlert:
    """An alert between `opened` and `closed`."""

    id: str
    start: float
    end: float
    peak: float
    total: float
    count: int
    told: float  # s, the last event
    resting: float | None = None  # s, since when nothing has supported it

    def add(self, time: float, value: float) -> None:
        self.end, self.peak = time, max(self.peak, value)
        self.total, self.count = self.total + value, self.count + 1


@dataclass(slots=True)
class _Case:
    """All that the judge remembers of one track."""

    suspicious: _Trigger = field(default_factory=_Trigger)
    alert: _Trigger = field(default_factory=_Trigger)
    state: State = State.UNCERTAIN
    open: _OpenAlert | None = None
    rising: list[tuple[float, float]] = field(default_factory=list)  # scores of a rise not yet decided


class Judge:
    """Decides for each track of one stream what its scores mean, and runs the alerts' lives.

    An alert opens when a track's score has stayed at or above `alert_on` for `rise`; it closes when
    nothing has supported it for `cooldown`, when its track is gone, or at the end. A rise of the same
    track within the cool-down continues the alert that is still open (`updated`); a rise of any other
    track, or a later one, is a new alert. So one incident tells itself once, and none is swallowed.
    """

    def __init__(self, policy: Policy, source: str, model: str, prefix: str) -> None:
        """source, model: as events name them. prefix: makes ids unique, e.g. "front-door-1a2b3c4d"."""
        self._policy, self._source, self._model, self._prefix = policy, source, model, prefix
        self._cases: dict[int, _Case] = {}
        self._opened = 0

    @property
    def limits(self) -> Thresholds:
        """The thresholds that it goes by."""
        return self._policy.thresholds

    def step(self, time: float, scores: Iterable[Score]) -> tuple[dict[int, State], tuple[Alert, ...]]:
        """Judge one moment. `scores` holds each confirmed track once; a track that is missing is gone.

        Returns the state of each track given, and the events that this moment brought.
        """
        events: list[Alert] = []
        states: dict[int, State] = {}
        for score in scores:
            case = self._cases.setdefault(score.track, _Case())
            events += self._case(case, score, time)
            states[score.track] = case.state
        for gone in self._cases.keys() - states.keys():
            events += self._close(gone, self._cases.pop(gone))
        return states, tuple(events)

    def finish(self) -> tuple[Alert, ...]:
        """Close what is open: the stream has ended."""
        return self.step(0.0, ())[1]

    def _case(self, case: _Case, score: Score, time: float) -> list[Alert]:
        limits, value = self._policy.thresholds, score.value
        if value is None:
            case.state = State.UNCERTAIN
            # A rise counts only while it is watched; a decision already made stands until the cool-down.
            case.suspicious.turning = case.alert.turning = None
            case.rising.clear()
        else:
            case.suspicious.step(time, value, limits.suspicious_on, limits.suspicious_off, self._policy)
            case.alert.step(time, value, limits.alert_on, limits.alert_off, self._policy)
            case.state = (
                State.ALERT if case.alert.on else State.SUSPICIOUS if case.suspicious.on else State.CLEAR
            )
            if case.alert.turning is not None and not case.alert.on:
                case.rising.append((time, value))
            elif not case.alert.on:
                case.rising.clear()
        return self._life(case, score, time)

    def _life(self, case: _Case, score: Score, time: float) -> list[Alert]:
        if case.alert.on and score.value is not None:
            if case.open is None:
                return [self._open(case, score, time)]
            alert, woken = case.open, case.open.resting is not None
            alert.add(time, score.value)
            alert.resting = None
            if woken or time - alert.told >= self._policy.update:
                alert.told = time
                return [self._event(Phase.UPDATED, alert, score.track)]
        elif case.open is not None:
            if case.open.resting is None:
                case.open.resting = time
            if time - case.open.resting >= self._policy.cooldown:
                case.alert = _Trigger()
                return self._close(score.track, case)
        return []

    def _open(self, case: _Case, score: Score, time: float) -> Alert:
        self._opened += 1
        value = score.value or 0.0
        seen = [v for _, v in case.rising] + [value]
        case.open = _OpenAlert(
            f"{self._prefix}-{self._opened}", case.alert.began, time, max(seen), sum(seen), len(seen), time
        )
        case.rising.clear()
        return self._event(Phase.OPENED, case.open, score.track)

    def _close(self, track: int, case: _Case) -> list[Alert]:
        alert, case.open = case.open, None
        return [] if alert is None else [self._event(Phase.CLOSED, alert, track)]

    def _event(self, phase: Phase, alert: _OpenAlert, track: int) -> Alert:
        mean = alert.total / alert.count
        return Alert(
            alert.id, phase, self._source, track, alert.start, alert.end, alert.peak, mean, self._model, ""
        )


def headline(states: Iterable[State]) -> State:
    """The state of a stream: that of its worst track; NO_FACE without any."""
    return max(states, key=_RANK.index, default=State.NO_FACE)


def verdict(tracks: Sequence[TrackView]) -> State:
    """The state of a stream. A face out of sight that never had a score says nothing beside others."""
    told = [view.state for view in tracks if view.track.seen or view.history]
    return headline(told or [view.state for view in tracks])
