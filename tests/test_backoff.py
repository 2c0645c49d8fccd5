"""Back-off: doubling bounds, full jitter, a cap."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.backoff import Backoff


def test_bounds_double_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 30.0, draw=lambda: 1.0)
    assert [backoff.next() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    backoff.reset()
    assert backoff.bound == 0.5
    assert backoff.next() == 0.5


@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_every_wait_is_within_its_bound(seed: int, tries: int) -> None:
    backoff = Backoff(0.5, 30.0, draw=random.Random(seed).random)
    for _ in range(tries):
        bound = backoff.bound
        assert bound <= 30
        assert 0 <= backoff.next() <= bound


def test_jitter_fills_the_whole_range() -> None:
    draw = random.Random(3).random
    waits = []
    for _ in range(2000):
        waits.append(Backoff(1.0, 1.0, draw=draw).next())
    assert min(waits) < 0.05
    assert max(waits) > 0.95
    assert sum(waits) / len(waits) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("first", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_bounds_are_refused(first: float, cap: float) -> None:
    with pytest.raises(ValueError, match="first wait"):
        Backoff(first, cap)
