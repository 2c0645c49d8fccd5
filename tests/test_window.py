"""The pacer keeps its rate over any frame times; the window keeps its length."""

import itertools
import time as clock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.window import Pacer, Window


@pytest.mark.parametrize("fps", [8, 15, 24, 25, 29.97, 30, 50, 60])
def test_the_mean_rate_holds_at_any_frame_rate(fps):
    pacer = Pacer(8)
    taken = sum(pacer.due(i / fps) for i in range(int(fps * 20)))
    assert taken == pytest.approx(160, abs=3)


@given(st.lists(st.floats(0, 5), max_size=200))
def test_never_closer_than_half_a_period(gaps):
    pacer, time, taken = Pacer(8), 0.0, []
    for gap in gaps:
        time += gap
        if pacer.due(time):
            taken.append(time)
    assert all(b - a >= 1 / 16 - 0.001 for a, b in itertools.pairwise(taken))


def test_after_a_gap_there_is_no_burst():
    pacer = Pacer(8)
    assert pacer.due(0.0)
    assert pacer.due(100.0)
    assert not pacer.due(100.03)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=300), st.floats(0.5, 4))
def test_the_window_is_bounded_in_time_and_number(gaps, seconds):
    window, time = Window(seconds, 8), 0.0
    for gap in gaps:
        time += gap
        window.add(time, np.full(4, time, np.float32), 1.0)
        window.forget(time)
        assert len(window) <= seconds * 8 + 2
    features, weights = window.arrays()
    assert features.shape == (len(window), 4)
    assert weights.shape == (len(window),)
    assert (np.diff(features[:, 0]) >= 0).all()
    assert features[0, 0] > time - seconds - 1e-3


def test_one_more_crop_costs_the_same_in_a_long_window():
    def cost(seconds: float) -> float:
        window, feature = Window(seconds, 8), np.zeros(128, np.float32)
        for i in range(int(seconds * 8)):
            window.add(i / 8, feature, 1.0)
        best = float("inf")
        for turn in range(5):
            begin = clock.perf_counter()
            for i in range(2000):
                moment = seconds + turn * 250 + i / 8
                window.add(moment, feature, 1.0)
                window.forget(moment)
            best = min(best, clock.perf_counter() - begin)
        return best

    assert cost(200) < 3 * cost(2)
