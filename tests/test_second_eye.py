"""The second eye's turns: everybody gets his, and no picture more than its share."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.second_eye import turns


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
