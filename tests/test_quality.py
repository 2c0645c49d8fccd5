"""Quality: what is too small, blurred or turned away is not scored, and a better crop never weighs less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.appearance import SHAPE
from stream.quality import BLURRED, MIN_SIZE, NOSE, SHARP, TURNED, measure, roll_of, sharpness, yaw_of
from stream.values import Track

cv2 = pytest.importorskip("cv2")


def track(box=(50, 40, 150, 160), landmarks=None):
    box = np.float32(box)
    points = box[:2] + SHAPE * (box[2:] - box[:2]) if landmarks is None else np.float32(landmarks)
    return Track(1, box, points.astype(np.float32), 0.99, confirmed=True, seen=True)


def head(yaw, roll=0.0, eyes=60.0, centre=(100.0, 90.0)):
    """Landmarks of a head with a nose of NOSE eye distances, turned and seen from afar."""
    points = np.float64([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.55, NOSE], [-0.4, 1.05, 0], [0.4, 1.05, 0]]) * eyes
    a, b = np.radians(yaw), np.radians(roll)
    x, y = points[:, 0] * np.cos(a) + points[:, 2] * np.sin(a), points[:, 1]
    turned = np.column_stack([x * np.cos(b) - y * np.sin(b), x * np.sin(b) + y * np.cos(b)])
    return (turned + centre).astype(np.float32)


@pytest.fixture(scope="module")
def portrait():
    pytest.importorskip("skimage", reason="the portraits come with the [dev] extra")
    from stream.faces import FaceDetector
    from tests.bench_mtcnn import portraits

    image = portraits()[0]
    face = FaceDetector().detect(image)[0]
    return image, Track(1, face.box, face.landmarks, face.probability, confirmed=True, seen=True)


@given(st.floats(-80, 80), st.floats(-60, 60), st.floats(10, 300))
def test_yaw_and_roll_of_a_head_that_is_turned(yaw, roll, eyes):
    points = head(yaw, roll, eyes)
    assert yaw_of(points) == pytest.approx(yaw, abs=0.5)
    assert roll_of(points) == pytest.approx(roll, abs=0.5)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=10, max_size=10))
def test_pose_of_any_points_is_finite(values):
    points = np.float32(values).reshape(5, 2)
    assert -90 <= yaw_of(points) <= 90
    assert -180 <= roll_of(points) <= 180


def test_a_good_portrait_counts_in_full(portrait):
    image, face = portrait
    quality = measure(image, face)
    assert quality.reason == ""
    assert quality.weight == 1
    assert quality.sharpness > SHARP
    assert abs(quality.yaw) < 30
    assert abs(quality.roll) < 15
    assert quality.size == pytest.approx(max(face.box[2:] - face.box[:2]))


def test_a_mirrored_portrait_turns_the_other_way(portrait):
    image, face = portrait
    landmarks = (face.landmarks * [-1, 1] + [image.shape[1] - 1, 0])[[1, 0, 2, 4, 3]].astype(np.float32)
    assert yaw_of(landmarks) == pytest.approx(-yaw_of(face.landmarks), abs=1e-2)
    assert roll_of(landmarks) == pytest.approx(-roll_of(face.landmarks), abs=1e-2)


def test_blur_lowers_sharpness_and_weight_until_it_gates(portrait):
    image, face = portrait
    side = float(max(face.box[2:] - face.box[:2]))
    levels = [image] + [cv2.GaussianBlur(image, (0, 0), part * side) for part in (0.01, 0.02, 0.04, 0.08)]
    found = [measure(level, face) for level in levels]
    sharp = [quality.sharpness for quality in found]
    assert sharp == sorted(sharp, reverse=True)
    weights = [quality.weight for quality in found]
    assert weights == sorted(weights, reverse=True)
    assert found[-1].reason == "blurred"
    assert found[-1].sharpness < BLURRED


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_sharpness_does_not_grow_with_mere_pixels(portrait, factor):
    image, face = portrait
    large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    ratio = sharpness(large, face.box * np.float32(factor)) / sharpness(image, face.box)
    assert 0.8 < ratio < 1.25


def test_a_small_but_sharp_face_is_not_called_blurred(portrait):
    image, face = portrait
    factor = (MIN_SIZE + 5) / float(max(face.box[2:] - face.box[:2]))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    assert sharpness(small, face.box * np.float32(factor)) > BLURRED


def test_a_face_below_the_least_size_is_too_small():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    assert measure(image, track((10, 10, 30, 10 + MIN_SIZE - 1))).reason == "too small"
    assert measure(image, track((10, 10, 30, 10 + MIN_SIZE + 1))).reason == ""


def test_a_head_turned_far_is_gated_and_one_turned_a_little_is_not():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    found = {yaw: measure(image, track(landmarks=head(yaw))) for yaw in (0, 20, -20, 40, -40, 60, -60)}
    assert all(found[yaw].weight == 1 for yaw in (0, 20, -20))
    assert all(0 < found[yaw].weight < 1 for yaw in (40, -40))
    assert all(found[yaw].reason == "turned away" for yaw in (60, -60))


def test_a_box_outside_the_picture_is_blurred_not_a_crash():
    image = np.full((100, 100, 3), 128, np.uint8)
    quality = measure(image, track((300, 300, 400, 400)))
    assert quality.sharpness == 0
    assert quality.reason == "blurred"
    assert measure(image, track((-300, 20, 20, 90))).weight == 0


@settings(deadline=None)
@given(st.integers(1, 250), st.integers(0, 60), st.floats(-89, 89), st.integers(0, 255))
def test_weight_is_nought_exactly_where_a_reason_stands(size, contrast, yaw, seed):
    noise = np.random.default_rng(seed).normal(128, contrast + 1e-9, (300, 300, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    quality = measure(image, track((20, 20, 20 + size, 20 + size), head(yaw)))
    assert (quality.weight == 0) == bool(quality.reason)
    assert 0 <= quality.weight <= 1
    assert quality.reason in {"", "too small", "blurred", "turned away"}
    assert (abs(quality.yaw) > TURNED) <= bool(quality.reason)
