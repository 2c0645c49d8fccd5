"""The made fakes: seeded, within the face, and with no trace of the class in how both are degraded."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.crop import CropSpec
from models.dataset import degraded_pair
from models.degrade import Degradation, h264
from models.fakes import FAMILIES, nearest_donor
from models.fakes.blend import blend, soft_mask
from models.landmarks import align, five_of, from_five, hull, move
from tests.drawn_faces import draw_face, shape68

SPEC = CropSpec(size=96, margin=1.3)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_is_decided_by_its_seed(family: str) -> None:
    face, donor = draw_face(1), draw_face(2)
    make = FAMILIES[family]
    first, again = (make(face, donor, np.random.default_rng(5)) for _ in range(2))
    other = make(face, donor, np.random.default_rng(6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == face.image.shape
    assert first.dtype == np.uint8


@pytest.mark.parametrize("family", ["live_swap", "two_person"])
def test_a_swap_changes_the_face_and_leaves_the_corners(family: str) -> None:
    face, donor = draw_face(1), draw_face(2)
    for seed in range(8):
        before = face.image.copy()
        changed = np.abs(
            FAMILIES[family](face, donor, np.random.default_rng(seed)).astype(int) - face.image
        ).max(2)
        assert np.array_equal(face.image, before), "the source picture was written to"
        x, y = face.points[30].astype(int)
        assert changed[y - 30 : y + 30, x - 30 : x + 30].mean() > 1
        assert max(changed[:10, :10].max(), changed[:10, -10:].max()) == 0


def test_self_blending_changes_every_face() -> None:
    face = draw_face(3)
    for seed in range(8):
        fake = FAMILIES["self_blend"](face, face, np.random.default_rng(seed))
        assert np.abs(fake.astype(int) - face.image).mean() > 0.2


def test_a_mask_blends_between_its_ends() -> None:
    face = draw_face(4)
    mask = soft_mask(face.image.shape[:2], face.points, "inner", 0.05, np.random.default_rng(0))
    assert 0 <= mask.min() <= 0.001
    assert 0.95 < mask.max() <= 1
    white, black = np.full_like(face.image, 255), np.zeros_like(face.image)
    assert np.allclose(blend(white, black, mask)[..., 0] / 255, mask, atol=0.003)


@pytest.mark.parametrize("part", ["whole", "inner", "lower", "mouth", "eyes"])
def test_hulls_nest_in_the_whole_face(part: str) -> None:
    points = draw_face(5).points
    whole = hull(points, "whole").astype(np.float32)
    for corner in hull(points, part)[:, 0]:
        assert cv2.pointPolygonTest(whole, (float(corner[0]), float(corner[1])), True) > -3
    with pytest.raises(ValueError, match="nostril"):
        hull(points, "nostril")


@given(angle=st.floats(-1.0, 1.0), scale=st.floats(0.3, 4), x=st.floats(-200, 200), y=st.floats(-200, 200))
@settings(max_examples=50, deadline=None)
def test_alignment_recovers_a_similarity(angle: float, scale: float, x: float, y: float) -> None:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, x], [s, c, y]])
    points = shape68() * 100
    assert np.allclose(align(points, move(points, matrix)), matrix, atol=0.01)
    moved = move(points, matrix)
    assert np.allclose(from_five(five_of(moved), points), moved, atol=0.05)


def test_the_nearest_donor_is_the_one_of_the_same_pose() -> None:
    points = draw_face(6).points
    turned = points.copy()
    turned[:, 0] = points[:, 0] + 0.4 * (points[:, 1] - points[:, 1].mean())
    squeezed = points * np.array([0.5, 1], np.float32)
    assert nearest_donor(points, np.stack([squeezed, points * np.float32(2) + 7, turned])) == 1


def test_real_against_real_again_has_one_distribution() -> None:
    """With no manipulation both sides of a pair differ in the sensor's noise alone."""
    face = draw_face(7)
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for seed in range(60):
        pair = degraded_pair(face, face.image.copy(), SPEC, np.random.default_rng(seed))
        for side, crop in zip(sides, pair, strict=True):
            grey = crop.astype(np.float64).mean(2)
            side.append(
                np.array([grey.mean(), grey.std(), np.abs(np.diff(grey, axis=1)).mean(), grey[0].mean()])
            )
    first, second = np.array(sides[0]), np.array(sides[1])
    assert first.std(0).min() > 0.1, "the degradation does nothing"
    gap = np.abs(first.mean(0) - second.mean(0)) / first.std(0)
    assert gap.max() < 0.05


def test_sides_may_be_exchanged() -> None:
    """The pipeline does not know which picture is the fake: exchanged pictures give exchanged statistics."""
    face, other = draw_face(8), draw_face(8).image[:, ::-1].copy()
    for seed in range(20):
        a, b = degraded_pair(face, other, SPEC, np.random.default_rng(seed))
        swapped = type(face)(other, face.points, face.box)
        c, d = degraded_pair(swapped, face.image, SPEC, np.random.default_rng(seed))
        assert np.abs(a.astype(float).mean() - d.astype(float).mean()) < 0.5
        assert np.abs(b.astype(float).mean() - c.astype(float).mean()) < 0.5


def test_degradation_keeps_the_face_under_its_box() -> None:
    face = draw_face(9)
    marked = face.image.copy()
    x, y = ((face.box[:2] + face.box[2:]) / 2).astype(int)
    marked[:] = 0
    cv2.circle(marked, (int(x), int(y)), 12, (255, 255, 255), -1)
    side = float((face.box[2:] - face.box[:2]).max())
    for seed in range(30):
        rng = np.random.default_rng(seed)
        degradation = Degradation.draw(rng, side)
        out = degradation.apply([marked], side, rng)[0]
        ys, xs = np.nonzero(out.max(2) > out.max() * 0.6)
        box = degradation.moved_box(face.box, marked, out)
        assert np.abs((box[:2] + box[2:]) / 2 - [xs.mean(), ys.mean()]).max() < 2.5
        assert 50 <= (box[2:] - box[:2]).max() <= 260


def test_h264_returns_every_frame_and_loses_more_at_higher_factors() -> None:
    frames = [draw_face(10).image, draw_face(10).image, draw_face(11).image]
    losses = []
    for factor in (15, 40):
        back = h264(frames, factor)
        assert [f.shape for f in back] == [f.shape for f in frames]
        losses.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, back, strict=True)]))
    assert 0 < losses[0] < losses[1]
