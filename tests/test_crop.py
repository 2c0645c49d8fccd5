"""The one crop: any box that touches the picture gives a crop, and moving both moves nothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.crop import CropSpec, crop_face, to_input
from tests.drawn_faces import draw_face

SPEC = CropSpec(size=64, margin=1.3)


@given(
    x=st.floats(-90, 150), y=st.floats(-90, 110), w=st.floats(1, 400), h=st.floats(1, 400),
    size=st.sampled_from([16, 64, 200]), margin=st.floats(1, 2),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_box_that_touches_the_picture_gives_a_crop(
    x: float, y: float, w: float, h: float, size: int, margin: float
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    box = np.array([x, y, x + w, y + h], np.float32)
    touches = x + w > 1 and y + h > 1 and x < 159 and y < 119
    try:
        crop = crop_face(image, box, CropSpec(size, margin))
    except ValueError:
        assert not touches
        return
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert image.min() <= crop.min()
    assert crop.max() <= image.max()


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (40, 40, 20, 20), (500, 500, 600, 600), (-90, -90, -50, -50)])
def test_a_box_without_area_or_outside_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="box"):
        crop_face(np.zeros((100, 100, 3), np.uint8), np.array(box, np.float32), SPEC)


@given(dx=st.integers(0, 40), dy=st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_a_picture_moved_with_its_box_gives_the_same_crop(dx: int, dy: int) -> None:
    face = draw_face(1)
    moved = cv2.copyMakeBorder(face.image, dy, 0, dx, 0, cv2.BORDER_REPLICATE)
    # Whole pixels: a box on the grid moves by whole pixels and is rounded alike.
    box = np.round(face.box) + np.float32(0.25)
    shift = np.array([dx, dy, dx, dy], np.float32)
    assert np.array_equal(crop_face(face.image, box, SPEC), crop_face(moved, box + shift, SPEC))


def test_outside_repeats_the_edge() -> None:
    face = draw_face(2)
    padded = cv2.copyMakeBorder(face.image, 300, 300, 300, 300, cv2.BORDER_REPLICATE)
    box = np.array([-50.25, 100.25, 120.25, 270.25], np.float32)
    assert np.array_equal(crop_face(face.image, box, SPEC), crop_face(padded, box + np.float32(300), SPEC))


def test_the_picture_is_not_written_to() -> None:
    image = draw_face(3).image
    image.setflags(write=False)
    crop = crop_face(image, np.array([20, 20, 84, 84], np.float32), CropSpec(83, 1.3))
    crop[:] = 0
    assert image.max() > 0


def test_the_input_is_normalised_rgb() -> None:
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    crops[0, ..., 2] = 255  # red, in BGR
    x = to_input(crops, SPEC)
    assert x.shape == (2, 3, 8, 8)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    wanted = (np.array([1, 0, 0]) - SPEC.mean) / SPEC.std
    assert np.allclose(x[0, :, 4, 4], wanted, atol=1e-5)
    assert to_input(crops[:0], SPEC).shape == (0, 3, 8, 8)
