"""How one face moves, and how its box lies around its landmarks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.appearance import SHAPE
from stream.motion import Motion
from stream.values import Face


def face(x=100.0, y=80.0, side=90.0) -> Face:
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(box, (SHAPE * side + box[:2]).astype(np.float32), 0.99)


def other_box(given: Face, scale=1.0, right=0.0) -> Face:
    """The same landmarks in another box."""
    centre, half = given.box.reshape(2, 2).mean(axis=0), (given.box[2:] - given.box[:2]) / 2 * scale
    centre[0] += right * 2 * half[0]
    return replace(given, box=np.concatenate([centre - half, centre + half]).astype(np.float32))


places = st.floats(-500, 3000), st.floats(-500, 3000), st.floats(20, 900)


@given(*places)
def test_a_still_face_is_shown_where_it_is(x, y, side):
    motion = Motion(face(x, y, side), 0.0)
    for i in range(1, 30):
        motion.update(face(x, y, side), i / 30)
        if i % 10 == 0:
            motion.learn(face(x, y, side), i / 30)
    box, landmarks = motion.smoothed(1.0)
    assert box == pytest.approx(face(x, y, side).box, abs=0.01 * side)
    assert landmarks == pytest.approx(face(x, y, side).landmarks, abs=0.01 * side)


@given(st.floats(0.8, 1.25), st.floats(-0.1, 0.1))
def test_the_box_that_onet_alone_gives_does_not_count(scale, right):
    motion = Motion(face(), 0.0)
    for i in range(1, 60):
        motion.update(other_box(face(), scale, right), i / 30)
    assert motion.smoothed(2.0)[0] == pytest.approx(face().box, abs=0.1)


def test_a_face_that_comes_nearer_grows():
    motion = Motion(face(side=90), 0.0)
    for i in range(1, 61):
        motion.update(face(side=90 + i), i / 30)
    assert motion.size == pytest.approx(150, rel=0.1)


def test_a_box_that_jitters_on_key_frames_is_averaged():
    rng, motion, shown = np.random.default_rng(0), Motion(face(), 0.0), []
    for i in range(1, 300):
        motion.update(face(), i / 30)
        if i % 10 == 0:
            motion.learn(other_box(face(), 1 + 0.03 * rng.standard_normal()), i / 30)
            shown.append(motion.size)
    assert np.std(shown[5:]) < 0.5 * 0.03 * 90


def test_after_a_head_has_turned_the_box_follows_within_two_key_frames():
    motion = Motion(face(), 0.0)
    for i in range(1, 100):
        motion.update(face(), i / 30)
        if i % 10 == 0:
            motion.learn(face(), i / 30)
    turned = other_box(face(), right=0.3)
    for i in range(100, 121):
        motion.update(turned, i / 30)
        if i % 10 == 0:
            motion.learn(turned, i / 30)
    assert motion.smoothed(4.0)[0] == pytest.approx(turned.box, abs=0.04 * 90)


def test_landmarks_that_all_fall_together_leave_a_bounded_box():
    flat = replace(face(), landmarks=np.full((5, 2), 130, np.float32))
    motion = Motion(flat, 0.0)
    for i in range(1, 30):
        motion.update(face(), i / 30)
    assert motion.size < 8 * 90
    motion.learn(face(), 1.0)
    assert motion.size == pytest.approx(90, rel=0.2)


def test_a_place_that_was_asked_for_before_is_not_told_after_the_face_was_found() -> None:
    motion, moved = Motion(face(), 0.0), face(x=109.0)
    before = motion.smoothed(0.1)
    assert motion.smoothed(0.1)[0] is before[0]  # a frame asks several times
    motion.update(moved, 0.1)
    assert motion.smoothed(0.1)[0][0] > before[0][0] + 1
    box = motion.smoothed(0.1)[0]
    motion.learn(other_box(moved, 1.4), 0.1)
    assert motion.smoothed(0.1)[0][0] < box[0] - 1
    with pytest.raises(ValueError, match="read-only"):
        motion.smoothed(0.1)[0][0] = 0
