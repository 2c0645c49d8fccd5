"""What is kept of a track: the latest looks tell whose face it is, however rarely they come."""

from dataclasses import replace

import numpy as np
import pytest

from export.card import Card, Likeness, SecondEye, Thresholds, WindowSpec
from models.crop import CropSpec
from stream.track_memory import TrackMemory

EYE = SecondEye("identity", 2, 4)
LIMITS = Thresholds(0.5, 0.4, 0.8, 0.6)
CARD = Card("net", "1", CropSpec(64, 1.3), WindowSpec(2.0, 8.0, 0.25, 4), 3, 1.0, 0.0, LIMITS, second=EYE)
KNOWS = replace(CARD, likeness=Likeness(start=1, width=2, weight=10.0, bias=-5.0, yes=0.5, no=0.2, drift=0.3))
HER, NOBODY = np.float32([1, 3, 4]), np.float32([1, 0, 0])


def watched(apart: float, rows: list[np.ndarray]) -> TrackMemory:
    """A look each `apart` s, and after each what it says."""
    memory = TrackMemory(KNOWS, None)
    for i, row in enumerate(rows):
        memory.looks.add(i * apart, row, 1.0)
        memory.recognise(i * apart)
    return memory


@pytest.mark.parametrize("apart", [0.5, 1.0])
def test_as_many_looks_are_kept_whether_they_come_often_or_rarely(apart: float) -> None:
    memory = watched(apart, [HER] * 30)
    assert 4 <= len(memory.looks) <= 5
    assert memory.likeness is not None
    assert memory.likeness.drift == pytest.approx(0, abs=1e-6)


def test_looks_that_are_old_or_not_there_yet_do_not_count() -> None:
    memory = watched(0.5, [HER, NOBODY])
    assert memory.likeness is None
    memory = watched(3.0, [HER, HER, HER])
    assert len(memory.looks) == 2
    memory.recognise(60.0)
    assert not len(memory.looks)
    assert memory.likeness is not None  # what was said last stands


def test_another_face_is_told_once_its_looks_outweigh_the_old_ones() -> None:
    other = np.float32([1, -4, 3])
    assert not watched(0.5, [HER] * 8).likeness.drifted
    assert watched(0.5, [HER] * 8 + [other] * 4).likeness.drifted


def test_a_detector_that_knows_no_faces_says_nothing() -> None:
    memory = TrackMemory(CARD, None)
    memory.looks.add(0.0, HER, 1.0)
    memory.recognise(0.0)
    assert memory.likeness is None
    assert TrackMemory(replace(CARD, second=None), None).identity is None
