"""What is said of likeness, on people made of random numbers: who is told apart, and who is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.identity import FALSE_MATCH, calibrated, cosines
from export.identity_people import Person

rng = np.random.default_rng(5)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def people(count: int, apart: float, windows: int = 6) -> list[Person]:
    """`count` people in 64 dimensions. apart: how much their own face is of what is seen, 0..1."""
    found = []
    for number in range(count):
        own = unit(rng.standard_normal(64))
        seen = unit(apart * own + (1 - apart) * unit(rng.standard_normal((windows + 1, 64))))
        found.append(Person(f"person {number}", seen[0], seen[1:]))
    return found


def test_people_that_differ_are_told_apart() -> None:
    (weight, bias, yes, no), told = calibrated(people(60, 0.8))
    assert 0 < no <= yes < 1
    assert told["eer"][0] < 0.02
    assert told["answers"]["same"]["yes"] > 0.95
    assert told["answers"]["other"]["yes"] <= 5 * FALSE_MATCH
    assert told["answers"]["other"]["no"] == pytest.approx(0.9, abs=0.05)
    probability = 1 / (1 + np.exp(-(weight * np.array([0.0, 0.9]) + bias)))
    assert probability[0] < 0.1
    assert probability[1] > 0.9


def test_people_that_look_like_anybody_are_not() -> None:
    _, told = calibrated(people(60, 0.0))
    assert told["eer"][0] == pytest.approx(0.5, abs=0.06)
    assert told["answers"]["same"]["yes"] < 0.02


def test_who_calibrates_is_not_measured() -> None:
    both = people(40, 0.8)
    fits = [person for person in both if person.fits]
    assert 8 < len(fits) < 32
    _, told = calibrated(both)
    assert told["people"] == len(both) - len(fits)
    with pytest.raises(ValueError, match="too few people"):
        calibrated(fits)


def test_strangers_are_only_asked_about() -> None:
    known, stranger = people(2, 0.9)
    same, other = cosines([known, Person("stranger", None, stranger.windows[:1])])
    assert len(same) == len(other) == 1
    assert same[0].shape == known.windows.shape[:1]
    assert other[0] == pytest.approx(stranger.windows[:1] @ known.enrolled)
