"""Canonical correlation: it finds what two views share among people it has never seen, and only that."""

import numpy as np
import pytest

from models.canonical import fit
from models.metrics import auc

SHARED, WIDTH = 6, 40


def faces(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two views of the same people: a weak common part beneath strong parts and offsets of their own."""
    world, people = np.random.default_rng(0), np.random.default_rng(seed)
    common, views = people.standard_normal((count, SHARED)), []
    for _ in range(2):
        own, offset = world.standard_normal((20, WIDTH)), 4 * world.standard_normal(WIDTH)
        view = 0.8 * common @ world.standard_normal((SHARED, WIDTH)) + offset
        view += 1.5 * people.standard_normal((count, 20)) @ own + 0.3 * people.standard_normal((count, WIDTH))
        views.append((view / np.linalg.norm(view, axis=1, keepdims=True)).astype(np.float32))
    return views[0], views[1]


def test_other_people_are_told_apart_far_better_than_by_the_plain_cosine() -> None:
    match = fit(*faces(1500, seed=1), ridge=0.1, directions=SHARED)
    inner, around = faces(300, seed=2)
    strangers = np.roll(around, 1, axis=0)
    plain = auc((inner * strangers).sum(1), (inner * around).sum(1))
    found = auc(match.agreement(inner, strangers), match.agreement(inner, around))
    assert found > 0.9
    assert found > plain + 0.2


def test_views_with_nothing_in_common_agree_no_more_than_chance() -> None:
    inner, around = faces(1500, seed=3)
    match = fit(inner, np.roll(around, 7, axis=0), directions=SHARED)
    inner, around = faces(400, seed=4)
    found = auc(match.agreement(inner, np.roll(around, 1, axis=0)), match.agreement(inner, around))
    assert 0.4 < found < 0.6


def test_the_agreement_is_a_cosine_of_any_shape() -> None:
    inner, around = faces(200, seed=5)
    match = fit(inner, around, directions=SHARED)
    flat = match.agreement(inner, around)
    assert flat.shape == (200,)
    assert flat.dtype == np.float32
    assert np.abs(flat).max() <= 1 + 1e-5
    shaped = match.agreement(inner.reshape(20, 10, WIDTH), around.reshape(20, 10, WIDTH))
    assert np.allclose(shaped.ravel(), flat, atol=1e-5)
    assert match.inner.shape == match.around.shape == (WIDTH, SHARED)


@pytest.mark.parametrize(("one", "other"), [(10, 9), (6, 6), (0, 0)])
def test_too_few_or_unequal_faces_are_refused(one: int, other: int) -> None:
    inner, around = faces(20, seed=6)
    with pytest.raises(ValueError, match="do not fit"):
        fit(inner[:one], around[:other], directions=SHARED)
