"""Identity consistency: the views hide what they should, and the cosines tell one person from a swap."""

import numpy as np
import pytest

from models.crop import CropSpec, crop_face
from models.identity import SCALES, SPEC, agreement, drift, ellipse, gathered, views
from tests.drawn_faces import draw_face

WIDER = CropSpec(128, 1.6)


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("spec", [SPEC, WIDER])
@pytest.mark.parametrize("scale", SCALES)
def test_the_ellipse_covers_eyes_to_mouth_and_leaves_the_rim(spec: CropSpec, scale: float) -> None:
    mask = ellipse(spec, scale)
    assert mask.shape == (spec.size, spec.size)
    assert mask.dtype == np.float32
    side, middle = spec.size / spec.margin, spec.size / 2
    for x, y in ((-0.14, -0.12), (0.14, -0.12), (0, 0.05), (-0.1, 0.25), (0.1, 0.25)):  # MTCNN's mean face
        assert mask[round(middle + y * side), round(middle + x * side)] > 0.99
    inside_box = np.zeros_like(mask, bool)
    low, high = round(middle - 0.5 * side), round(middle + 0.52 * side)
    inside_box[low:high, low:high] = True
    assert mask[~inside_box].max() < 0.6
    assert mask[0].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert 0 < ((mask > 0) & (mask < 1)).mean() < 0.2  # soft, but an edge
    assert np.array_equal(mask, mask[:, ::-1])


def test_the_scale_is_the_ellipses() -> None:
    areas = [ellipse(SPEC, s).sum() for s in SCALES]
    assert areas[0] / areas[1] == pytest.approx((SCALES[0] / SCALES[1]) ** 2, rel=0.02)
    assert areas[2] / areas[1] == pytest.approx((SCALES[2] / SCALES[1]) ** 2, rel=0.02)


def test_inner_and_surroundings_are_the_whole_and_hide_each_other() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    seen = views(crops)
    assert seen.shape == (2, 7, 3, 160, 160)
    assert seen.dtype == np.float32
    whole, inner, around = seen[:, 0], seen[:, 1:4], seen[:, 4:]
    assert np.allclose(whole[:, 0], (crops[..., 2] - np.float32(127.5)) / 128, atol=1e-5)  # RGB from BGR
    assert np.allclose(inner + around, whole[:, None], atol=1e-6)
    assert (inner[..., :8, :] == 0).all()
    assert (around[:, :, :, 70:90, 70:90] == 0).all()
    assert np.array_equal(views(crops, scales=(1.0,))[:, 1], seen[:, 2])
    assert views(crops[:0]).shape == (0, 7, 3, 160, 160)


def test_a_changed_inner_face_leaves_the_surroundings_alone() -> None:
    face = draw_face(3)
    swapped = face.image.copy()
    x, y = ((face.box[:2] + face.box[2:]) / 2).astype(int)
    swapped[y - 5 : y + 6, x - 5 : x + 6] = 255 - swapped[y - 5 : y + 6, x - 5 : x + 6]
    before, after = views(np.stack([crop_face(image, face.box, SPEC) for image in (face.image, swapped)]))
    assert np.array_equal(before[4:], after[4:])
    assert all(np.abs(before[i] - after[i]).max() > 0.5 for i in range(4))


def test_one_person_agrees_and_a_swap_does_not() -> None:
    one, other = unit(2, 512)
    same = np.stack([one] * 7)
    assert np.allclose(agreement(same), 1, atol=1e-6)
    swap = np.stack([one + other, other, other, other, one, one, one])
    figures = agreement(swap)
    assert figures.shape == (9,)
    assert figures[:3] == pytest.approx([float(one @ other)] * 3, abs=1e-5)
    assert figures[3:] == pytest.approx(
        [float((one + other) @ one / np.linalg.norm(one + other))] * 6, abs=1e-2
    )
    assert np.array_equal(agreement(np.stack([same, swap]))[1], figures)


def test_the_mean_over_a_window_is_steadier_than_its_crops() -> None:
    person = unit(1, 7, 512)
    noisy = person + 0.8 * unit(16, 7, 512, seed=3)
    weights = np.ones(16, np.float32)
    single = (noisy / np.linalg.norm(noisy, axis=-1, keepdims=True) * person).sum(-1)
    assert (gathered(noisy, weights) * person[0]).sum(-1).min() > single.max() + 0.1
    assert np.allclose(np.linalg.norm(gathered(noisy, weights), axis=-1), 1, atol=1e-6)


def test_a_crop_without_weight_is_as_if_it_were_not_there() -> None:
    some, weights = unit(6, 7, 512), np.array([1, 0, 0.5, 0, 1, 1], np.float32)
    kept = weights > 0
    assert np.allclose(gathered(some, weights), gathered(some[kept], weights[kept]), atol=1e-6)
    assert np.allclose(drift(some, weights), drift(some[kept], weights[kept]), atol=1e-6)
    with pytest.raises(ValueError, match="counts"):
        gathered(some, np.zeros(6, np.float32))


def test_drift_is_nothing_for_a_still_and_grows_with_what_wanders() -> None:
    person, weights = unit(1, 3, 512), np.ones(8, np.float32)
    assert drift(np.repeat(person, 8, 0), weights) == pytest.approx([0] * 3, abs=1e-6)
    wander = np.array([0.2, 0.5, 1.0], np.float32)[None, :, None] * unit(8, 3, 512, seed=5)
    found = drift(person + wander, weights)
    assert found.shape == (3,)
    assert 0.005 < found[0] < found[1] < found[2] < 1
