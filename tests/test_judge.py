"""The judge, fed by hand and by chance: states, hysteresis, and the lives of alerts."""

import itertools
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.card import Thresholds
from stream.judge import Judge, Policy, headline
from stream.values import Alert, Phase, Score, State

LIMITS = Thresholds(suspicious_on=0.5, suspicious_off=0.4, alert_on=0.8, alert_off=0.6)
POLICY = Policy(LIMITS, rise=0.4, fall=1.0, cooldown=10.0, update=5.0)
STEP = 0.1  # s


def make() -> Judge:
    return Judge(POLICY, "cam", "net 1", "cam-x")


def run(judge: Judge, values: list[float | None], start: float = 0.0, track: int = 1):
    """Feed one track at 10 Hz; returns its states and all events."""
    states, events = [], []
    for i, value in enumerate(values):
        time = start + i * STEP
        state, new = judge.step(time, [Score(track, time, value, 8)])
        states.append(state[track])
        events += new
    return states, events


def test_low_scores_are_clear_and_silent():
    states, events = run(make(), [0.1] * 50)
    assert set(states) == {State.CLEAR}
    assert events == []


def test_a_high_score_opens_after_the_rise_and_not_before():
    states, events = run(make(), [0.1] * 5 + [0.9] * 10)
    first = states.index(State.ALERT)
    assert first == 5 + 4  # 0.4 s at 10 Hz
    assert [e.phase for e in events] == [Phase.OPENED]
    assert events[0].start == pytest.approx(0.5)  # the rise counts from its first score
    assert events[0].peak == 0.9


def test_a_spike_shorter_than_the_rise_is_ignored():
    states, events = run(make(), [0.1] * 5 + [0.99] * 4 + [0.1] * 20)
    assert State.ALERT not in states
    assert events == []


def test_between_the_pair_the_state_holds():
    states, _ = run(make(), [0.9] * 10 + [0.7] * 50)
    assert states[-1] is State.ALERT
    states, _ = run(make(), [0.9] * 10 + [0.55] * 50)
    assert states[-1] is State.SUSPICIOUS
    states, _ = run(make(), [0.7] * 50)
    assert states[-1] is State.SUSPICIOUS


def test_no_score_is_uncertain_and_closes_only_after_the_cooldown():
    judge = make()
    states, events = run(judge, [0.9] * 10 + [None] * 90)
    assert states[-1] is State.UNCERTAIN
    assert [e.phase for e in events] == [Phase.OPENED]
    _, events = run(judge, [None] * 20, start=10.0)
    assert [e.phase for e in events] == [Phase.CLOSED]


def test_a_relapse_within_the_cooldown_continues_the_same_alert():
    judge = make()
    _, events = run(judge, [0.9] * 10 + [0.1] * 50 + [0.9] * 10)
    assert [e.phase for e in events] == [Phase.OPENED, Phase.UPDATED]
    assert len({e.id for e in events}) == 1


def test_a_relapse_after_the_cooldown_is_a_new_alert():
    _, events = run(make(), [0.9] * 10 + [0.1] * 130 + [0.9] * 10)
    assert [e.phase for e in events] == [Phase.OPENED, Phase.CLOSED, Phase.OPENED]
    assert events[0].id == events[1].id != events[2].id


def test_another_track_is_never_swallowed():
    judge = make()
    run(judge, [0.9] * 10)
    opened = []
    for i in range(10):
        time = 1.0 + i * STEP
        _, new = judge.step(time, [Score(1, time, 0.9, 8), Score(2, time, 0.95, 8)])
        opened += [e.track for e in new if e.phase is Phase.OPENED]
    assert opened == [2]


def test_a_lost_track_and_the_end_close_alerts():
    judge = make()
    run(judge, [0.9] * 10)
    _, events = judge.step(1.0, [])
    assert [e.phase for e in events] == [Phase.CLOSED]
    run(judge, [0.9] * 10, start=2.0, track=2)
    assert [e.phase for e in judge.finish()] == [Phase.CLOSED]
    assert judge.finish() == ()


def test_long_alerts_are_updated_every_five_seconds():
    _, events = run(make(), [0.9] * 156)
    assert [e.phase for e in events] == [Phase.OPENED] + [Phase.UPDATED] * 3


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([], State.NO_FACE),
        ([State.CLEAR], State.CLEAR),
        ([State.CLEAR, State.UNCERTAIN], State.UNCERTAIN),
        ([State.UNCERTAIN, State.SUSPICIOUS], State.SUSPICIOUS),
        ([State.SUSPICIOUS, State.ALERT, State.CLEAR], State.ALERT),
    ],
)
def test_the_headline_is_the_worst(states, worst):
    assert headline(states) is worst


values = st.one_of(st.none(), st.floats(0, 1))
moments = st.lists(
    st.tuples(st.floats(0.001, 3.0), st.dictionaries(st.integers(1, 3), values, max_size=3)), max_size=120
)


def play(plan) -> list[Alert]:
    judge, time, events = make(), 0.0, []
    for gap, scores in plan:
        time += gap
        _, new = judge.step(time, [Score(track, time, value, 8) for track, value in scores.items()])
        events += new
    return events + list(judge.finish())


@given(moments)
def test_every_alert_lives_one_whole_life(plan):
    lives = defaultdict(list)
    for event in play(plan):
        lives[event.id].append(event)
        assert 0 <= event.mean <= event.peak + 1e-9
        assert event.peak >= LIMITS.alert_on
        assert event.start <= event.end
    for events in lives.values():
        phases = [e.phase for e in events]
        assert phases[0] is Phase.OPENED
        assert phases[-1] is Phase.CLOSED
        assert set(phases[1:-1]) <= {Phase.UPDATED}
        assert len({e.track for e in events}) == 1
        assert all(a.end <= b.end and a.peak <= b.peak for a, b in itertools.pairwise(events))


@given(moments)
def test_a_replay_says_the_same(plan):
    assert play(plan) == play(plan)


@given(st.lists(st.floats(0, LIMITS.alert_on, exclude_max=True), max_size=100))
def test_nothing_below_the_threshold_alarms(scores):
    assert run(make(), list(scores))[1] == []
