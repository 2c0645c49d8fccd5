"""The second eye's turns: everybody gets his, and no picture more than its share."""

import math
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.card import Thresholds
from stream.second_eye import LateLook, is_settled, turns
from stream.values import State

LIMITS = Thresholds(0.5, 0.4, 0.8, 0.6)


@given(st.integers(1, 16), st.integers(1, 8))
def test_each_track_is_looked_at_each_so_many_th_crop_and_no_picture_more_than_its_share(
    tracks: int, every: int
) -> None:
    unlooked, looks = np.full(tracks, np.inf), []
    for _ in range(6 * every):
        looks.append(turns(unlooked, [every] * tracks, every))
        unlooked = np.where(looks[-1], 1, unlooked + 1)
    seen = np.array(looks)
    assert seen.sum(axis=1).max() <= math.ceil(tracks / every)
    assert seen[:every].any(axis=0).all()  # the first look of each, soon
    for track in seen.T:
        assert set(np.diff(np.flatnonzero(track))) == {every}


@given(st.lists(st.tuples(st.floats(1, 100), st.sampled_from([4, 8])), min_size=1, max_size=16))
def test_who_is_not_due_gets_none_and_the_most_overdue_come_first(tracks: list[tuple[float, int]]) -> None:
    unlooked, periods = zip(*tracks, strict=True)
    chosen = turns(unlooked, periods, 4)
    overdue = np.array(unlooked) / periods
    assert (overdue[chosen] >= 1).all()
    waiting = overdue[~chosen & (overdue >= 1)]
    if len(waiting):
        assert chosen.sum() == math.ceil(len(tracks) / 4)
        assert waiting.max() <= overdue[chosen].min()


def test_under_suspicion_a_look_comes_sooner() -> None:
    assert turns([4, 4], [8, 4], 4).tolist() == [False, True]
    assert turns([], [], 4).tolist() == []


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_is_settled_far_from_the_threshold_that_would_end_it_and_nowhere_else(
    a: float, b: float
) -> None:
    low, high = sorted((a, b))
    assert is_settled(State.CLEAR, low, LIMITS) >= is_settled(State.CLEAR, high, LIMITS)
    assert is_settled(State.ALERT, low, LIMITS) <= is_settled(State.ALERT, high, LIMITS)
    assert not (low >= LIMITS.suspicious_on and is_settled(State.CLEAR, low, LIMITS))
    assert not (high < LIMITS.alert_off and is_settled(State.ALERT, high, LIMITS))
    for state in set(State) - {State.CLEAR, State.ALERT}:
        assert not is_settled(state, low, LIMITS)


def test_a_verdict_without_a_score_is_not_settled_and_sure_ones_are() -> None:
    assert not any(is_settled(state, None, LIMITS) for state in State)
    assert is_settled(State.CLEAR, 0.0, LIMITS)
    assert is_settled(State.ALERT, 1.0, LIMITS)


class Slow:
    """Takes what is handed over, and does it when the test says so."""

    def __init__(self) -> None:
        self.tasks: list[tuple[Future, Callable]] = []
        self.full = False

    def submit(self, task: Callable) -> Future | None:
        if self.full:
            return None
        self.tasks.append((Future(), task))
        return self.tasks[-1][0]

    def work(self) -> None:
        for future, task in self.tasks:
            if future.set_running_or_notify_cancel():
                future.set_result(task())
        self.tasks = []


def look() -> np.ndarray:
    return np.float32([[8, 8, 3, 4]])


def test_what_others_have_seen_is_filled_in_when_it_is_there() -> None:
    aside, late, row = Slow(), LateLook(), np.float32([1, 2, 0, 0])
    assert late.begin(aside, look)
    late.into(row)
    assert late.collect(2) is None
    assert row.tolist() == [1, 2, 0, 0]
    aside.work()
    seconds = late.collect(2)
    assert seconds is not None
    assert seconds >= 0
    assert row.tolist() == [1, 2, 3, 4]  # the first eye's part stays the pump's own
    assert late.collect(2) is None  # once


def test_a_look_that_nobody_took_in_time_is_taken_at_once_and_the_next_is_handed_over_again() -> None:
    aside, late = Slow(), LateLook()
    assert late.begin(aside, look)
    late.into(np.zeros(4, np.float32))
    assert not late.begin(aside, look)  # the pump's turn; the old one is taken back
    aside.work()
    assert late.collect(2) is None
    assert late.begin(aside, look)


def test_a_look_under_way_is_not_lost_and_without_room_the_pump_looks_itself() -> None:
    aside, late, row = Slow(), LateLook(), np.zeros(4, np.float32)
    assert late.begin(aside, look)
    late.into(row)
    aside.tasks[0][0].set_running_or_notify_cancel()
    assert not late.begin(aside, look)
    aside.tasks[0][0].set_result((look(), 0.1))
    assert late.collect(2) == 0.1
    assert row[2:].tolist() == [3, 4]
    aside.full = True
    assert not late.begin(aside, look)


def test_where_the_program_ends_a_look_that_was_dropped_is_none() -> None:
    aside, late, row = Slow(), LateLook(), np.zeros(4, np.float32)
    assert late.begin(aside, look)
    late.into(row)
    aside.tasks[0][0].cancel()
    assert late.collect(2) is None
    assert not row.any()


def test_what_a_look_raised_is_raised() -> None:
    late, broken = LateLook(), Slow()
    assert late.begin(broken, look)
    late.into(np.zeros(4, np.float32))
    broken.tasks[0][0].set_exception(RuntimeError("no such network"))
    with pytest.raises(RuntimeError, match="no such network"):
        late.collect(2)
