"""The made fakes: seeded, where they should be, switched apart by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.crop import CropSpec
from models.dataset import Mix, Pairs, Stills, load_clips
from models.fakes import FAMILIES, ODDS, FacePicture, Fakes
from models.fakes.blend import blend, match_light, soft_mask
from models.fakes.donors import SAME_PERSON, Donors, Looks, nearest_donor, pose_gaps
from models.fakes.generated import Generated, in_place_of, mirrored
from models.landmarks import EYES, MOUTH, align, five_of, from_five, hull, move
from tests.drawn_faces import draw_face, shape68, write_data

SPEC = CropSpec(size=64, margin=1.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and what was prepared of it: with generated faces (larger drawn ones), without a swapper."""
    data, prepared = write_data(tmp_path_factory.mktemp("fakes"))
    (prepared / "generated").mkdir()
    faces = [draw_face(300 + i, 260) for i in range(10)]
    for i, face in enumerate(faces):
        cv2.imwrite(str(prepared / "generated" / f"face{i}.png"), face.image)
    np.savez(
        prepared / "generated" / "stills.npz",
        name=np.array([f"face{i}.png" for i in range(10)]),
        box=np.stack([f.box for f in faces]),
        points=np.stack([f.points for f in faces]),
    )
    return data, prepared


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


@pytest.mark.parametrize(("family", "changed", "kept"), [("mouth", MOUTH, EYES), ("eyes", EYES, MOUTH)])
def test_a_region_changes_itself_alone(family: str, changed: slice, kept: slice) -> None:
    face, donor = draw_face(1), draw_face(2)
    for seed in range(8):
        fake = FAMILIES[family](face, donor, np.random.default_rng(seed))
        gap = np.abs(fake.astype(int) - face.image).max(2)
        x, y, w, h = cv2.boundingRect(face.points[changed])
        assert gap[y : y + h, x : x + w].mean() > 1
        x, y, w, h = cv2.boundingRect(face.points[kept])
        assert gap[y : y + h, x : x + w].max() == 0


def test_self_blending_changes_every_face() -> None:
    face = draw_face(3)
    for seed in range(8):
        fake = FAMILIES["self_blend"](face, face, np.random.default_rng(seed))
        assert np.abs(fake.astype(int) - face.image).mean() > 0.2


def test_light_is_taken_from_the_target_and_detail_is_not() -> None:
    face = draw_face(4)
    dark = (face.image * 0.5).astype(np.uint8)
    lit = match_light(dark, face.image, 100.0, 1.0)
    assert abs(lit.mean() - face.image.mean()) < 0.2 * abs(dark.mean() - face.image.mean())
    detail = [cv2.Laplacian(i, cv2.CV_32F).std() for i in (dark, lit, face.image)]
    assert abs(detail[1] - detail[0]) < 0.2 * abs(detail[2] - detail[0])


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


def test_points_in_one_place_are_aligned_to_the_centre_and_do_not_fail() -> None:
    target = draw_face(6).points
    matrix = align(np.full_like(target, 7), target)
    assert np.allclose(move(target, matrix), target.mean(0), atol=1e-3)


def test_the_nearest_donor_is_the_one_of_the_same_pose() -> None:
    points = draw_face(6).points
    turned = points.copy()
    turned[:, 0] = points[:, 0] + 0.4 * (points[:, 1] - points[:, 1].mean())
    squeezed = points * np.array([0.5, 1], np.float32)
    assert nearest_donor(points, np.stack([squeezed, points * np.float32(2) + 7, turned])) == 1


def test_pose_gaps_are_what_the_best_similarity_leaves() -> None:
    points = draw_face(6).points
    others = np.stack(
        [draw_face(7).points * 3 + 5, points + np.float32(2), points * np.array([0.7, 1], np.float32)]
    )
    scale = np.linalg.norm(points - points.mean(0))
    wanted = [np.linalg.norm(move(o, align(o, points)) - points) / scale for o in others]
    assert np.allclose(pose_gaps(points, others), wanted, atol=2e-3)


def test_donors_look_alike_but_are_not_the_same_person() -> None:
    rng = np.random.default_rng(0)
    kin = rng.standard_normal((3, 64)).astype(np.float32)
    people = np.repeat(kin, 200, 0) + 0.9 * rng.standard_normal((600, 64)).astype(np.float32)
    names = [f"n{i}" for i in range(600)]
    people[1] = people[0]  # the same person twice
    points = np.tile(np.stack([draw_face(i).points for i in range(5)]), (120, 1, 1))
    known = Donors(names, points, Looks(names, people))
    picked = [known.pick("n0", points[0], np.random.default_rng(s)) for s in range(60)]
    blind = Donors(names, points, Looks.nobody())
    drawn = [blind.pick("n0", points[0], np.random.default_rng(s)) for s in range(60)]
    assert np.mean([p < 200 for p in picked]) > 0.65 > 0.5 > np.mean([p < 200 for p in drawn])
    unit = people / np.linalg.norm(people, axis=1, keepdims=True)
    assert unit[1] @ unit[0] > SAME_PERSON
    assert not {0, 1} & set(picked) or picked.count(1) < 3  # by pose alone nobody is known


def test_families_are_switched_by_name(folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    data, prepared = folders
    every = Fakes.open(prepared)
    assert set(every.makers) == set(ODDS) - {"neural_swap"}
    assert "neural_swap" in caplog.text
    with pytest.raises(FileNotFoundError, match="swapper"):
        Fakes.open(prepared, ("self_blend", "neural_swap"))
    with pytest.raises(FileNotFoundError, match="generated"):
        Fakes.open(data, ("generated",))
    with pytest.raises(ValueError, match="nonsense"):
        Fakes.open(prepared, ("nonsense",))
    with pytest.raises(ValueError, match="do not fit"):
        Fakes.open(prepared, ("mouth", "eyes"), (1.0,))
    two = Fakes.open(prepared, ("mouth", "eyes", "live_swap"), (3.0, 1.0, 0.0))
    drawn = [two.draw(np.random.default_rng(s)) for s in range(400)]
    assert drawn.count("live_swap") == 0
    assert 0.68 < drawn.count("mouth") / 400 < 0.82
    assert {every.draw(np.random.default_rng(s), without=("generated",)) for s in range(200)} == set(FAMILIES)
    mix = Mix(families=("mouth",), labelled=0, held_stills=2)
    assert Pairs.open(data, prepared, SPEC, 2, 0, mix).fakes.makers.keys() == {"mouth"}
    with pytest.raises(ValueError, match="other families"):
        Pairs(Stills(data, prepared), load_clips(prepared), SPEC, 2, 0, mix)


def test_generated_faces_take_the_place_of_the_real_one(folders: tuple[Path, Path]) -> None:
    make = Generated(folders[1] / "generated")
    face = draw_face(1)
    bordered = FacePicture(
        cv2.copyMakeBorder(face.image, 40, 40, 40, 40, cv2.BORDER_REFLECT_101),
        face.points + 40,
        face.box + 40,
        40,
    )
    first, again, other = (make(bordered, bordered, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.image.shape == bordered.image.shape
    assert np.abs(five_of(first.points) - five_of(bordered.points)).max() < 0.08 * bordered.side
    assert np.array_equal(first.box, bordered.box)
    # The border mirrors the picture, as the still's does; the JPEG blurs that a little.
    assert np.abs(first.image[40:60].astype(int) - first.image[40:20:-1]).mean() < 6
    held = Generated(folders[1] / "generated", held=True)
    assert not set(held._rows) & set(make._rows)


def test_a_mirrored_face_keeps_its_points_in_order() -> None:
    face = draw_face(2)
    twice = mirrored(mirrored(face))
    assert np.array_equal(twice.image, face.image)
    assert np.allclose(twice.points, face.points)
    once = mirrored(face)
    assert once.points[36:42, 0].mean() < once.points[42:48, 0].mean()  # the left eye is still the left one
    assert np.allclose(once.points[30, 0], face.image.shape[1] - 1 - face.points[30, 0])
    placed = in_place_of(face, draw_face(3))
    assert np.allclose(five_of(placed.points), five_of(draw_face(3).points), atol=4)
