"""Clips: stills that move smoothly, and fakes that hold along a clip while they jitter, lag and fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.clips import fake_along, moving_still, still_windows, video_windows
from models.crop import CropSpec
from models.dataset import Mix, Pairs, Stills, load_clips
from models.fakes import FacePicture, Fakes
from models.fakes.families import FAMILIES, on_the_same_head
from models.fakes.occluder import Occluder
from models.fakes.unsteady import Unsteadiness, failures, hardness, held, late, relit, shaken
from models.landmarks import five_of
from tests.drawn_faces import draw_face, write_data

COUNT = 12
FACE, DONOR = draw_face(1), draw_face(2)
STEADY = Unsteadiness(
    shakes=np.zeros((COUNT, 68, 2), np.float32),
    gains=np.ones((COUNT, 3), np.float32),
    lag=0.0,
    drift=np.zeros(COUNT, np.float32),
    fails=np.zeros(COUNT, bool),
    failing="absent",
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folders = write_data(tmp_path_factory.mktemp("clips"))
    mix = Mix(held_stills=2)
    return Pairs(Stills(*folders), load_clips(folders[1]), CropSpec(64, 1.3), 1, 5, mix)


def walking(step: float) -> list[FacePicture]:
    """A face that moves by `step` px a frame."""
    frames = []
    for t in range(COUNT):
        shift = np.float32(step * t)
        image = np.ascontiguousarray(np.roll(FACE.image, round(step * t), 1))
        points = FACE.points + np.array([shift, 0], np.float32)
        frames.append(FacePicture(image, points, FACE.box + np.array([shift, 0, shift, 0], np.float32)))
    return frames


def made(
    monkeypatch: pytest.MonkeyPatch, frames: list[FacePicture], unsteady: Unsteadiness
) -> list[np.ndarray]:
    """The frames' two-person fakes by this unsteadiness."""
    monkeypatch.setattr(Unsteadiness, "draw", staticmethod(lambda *_: unsteady))
    make = on_the_same_head(FAMILIES["two_person"])
    donors = [DONOR] * len(frames) + [draw_face(3)]
    return [f.image for f in fake_along(frames, donors, make, np.random.default_rng(3))]


def change(first: np.ndarray, second: np.ndarray) -> float:
    """The mean gap of the inner face."""
    x, y = FACE.points[30].astype(int)
    part = slice(y - 35, y + 35), slice(x - 25, x + 25)
    return float(np.abs(first[part].astype(int) - second[part]).mean())


def test_a_moving_still_stays_on_its_landmarks() -> None:
    marked = FACE.with_image(np.zeros_like(FACE.image))
    for x, y in five_of(FACE.points).astype(int):
        marked.image[y - 2 : y + 3, x - 2 : x + 3] = 255
    for seed in range(6):
        for frame in moving_still(marked, COUNT, np.random.default_rng(seed)):
            for x, y in five_of(frame.points).astype(int):
                assert frame.image[y - 3 : y + 4, x - 3 : x + 4].max() > 100
            middle = (frame.box[:2] + frame.box[2:]) / 2
            wanted = (FACE.box[:2] + FACE.box[2:]) / 2 - FACE.points[30]
            assert np.linalg.norm(middle - frame.points[30] - wanted) < 0.25 * FACE.side


def test_a_steady_fake_is_the_same_in_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    images = made(monkeypatch, [FACE] * COUNT, STEADY)
    assert all(np.array_equal(images[0], image) for image in images)
    assert change(images[0], FACE.image) > 3


def test_every_way_of_being_unsteady_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    still, rng = [FACE] * COUNT, np.random.default_rng(0)
    base = made(monkeypatch, still, STEADY)[0]
    shakes = 0.03 * rng.standard_normal((COUNT, 68, 2)).astype(np.float32)
    gains = (1 + 0.2 * rng.standard_normal((COUNT, 3))).astype(np.float32)
    ramp = np.linspace(0, 0.6, COUNT).astype(np.float32)
    for kind in ({"shakes": shakes}, {"gains": gains}, {"drift": ramp}):
        images = made(monkeypatch, still, replace(STEADY, **kind))
        assert max(change(image, base) for image in images) > 1
    drifted = [change(i, base) for i in made(monkeypatch, still, replace(STEADY, drift=ramp))]
    assert drifted == sorted(drifted)


def test_a_failure_shows_the_real_face_or_an_old_one_or_a_misplaced_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, fails = walking(2.0), np.zeros(COUNT, bool)
    fails[5] = True
    sound = made(monkeypatch, frames, STEADY)
    absent = made(monkeypatch, frames, replace(STEADY, fails=fails))
    assert np.array_equal(absent[5], frames[5].image)
    for failing in ("absent", "frozen", "astray"):
        shakes = np.full((COUNT, 68, 2), 0.01, np.float32)
        images = made(monkeypatch, frames, replace(STEADY, fails=fails, failing=failing, shakes=shakes))
        steady = made(monkeypatch, frames, replace(STEADY, shakes=shakes))
        assert not np.array_equal(images[5], steady[5])
        assert all(np.array_equal(images[t], steady[t]) for t in range(COUNT) if t != 5)
    assert not np.array_equal(sound[5], absent[5])


def test_a_late_face_lies_where_the_head_was() -> None:
    before, now = walking(8.0)[:2]
    white = np.full_like(now.image, 255)
    dark = now.with_image(np.zeros_like(now.image))
    masks = [late(white, dark, before, lag)[..., 0].astype(float) for lag in (0.0, 1.0)]
    columns = np.arange(white.shape[1])
    middles = [(m.sum(0) * columns).sum() / m.sum() for m in masks]
    assert middles[0] - middles[1] == pytest.approx(8, abs=0.5)
    stuck = held(before.with_image(white), dark)[..., 0].astype(float)
    assert (stuck.sum(0) * columns).sum() / stuck.sum() == pytest.approx(middles[0], abs=0.5)


def test_turned_and_quick_frames_are_hard_and_fail_more() -> None:
    assert hardness([FACE] * 3).max() < 0.3
    assert hardness(walking(12.0))[1:].min() > 0.9
    turned = FACE.points.copy()
    turned[30, 0] += 0.3 * np.linalg.norm(turned[45] - turned[36])
    assert hardness([FacePicture(FACE.image, turned, FACE.box)])[0] > 1
    rng = np.random.default_rng(0)
    easy = np.mean([failures(np.zeros(COUNT, np.float32), 0.3, rng).mean() for _ in range(200)])
    hard = np.mean([failures(np.ones(COUNT, np.float32), 0.3, rng).mean() for _ in range(200)])
    assert hard > 5 * easy
    assert not failures(np.ones(COUNT, np.float32), 0.0, rng).any()


def test_light_and_landmarks_change_by_what_was_drawn() -> None:
    lit = relit(FACE.image, FACE, np.array([1.2, 1.2, 1.2], np.float32))
    assert change(lit, FACE.image) > 8
    assert np.array_equal(lit[:15], FACE.image[:15])
    moved = shaken(FACE, np.full((68, 2), 0.1, np.float32))
    assert (moved.points - FACE.points).min() > 3


def test_something_crosses_both_sides_of_a_clip() -> None:
    for seed in range(8):
        thing = Occluder.draw(FACE, COUNT, np.random.default_rng(seed))
        seen = [np.abs(thing.over(FACE, t).astype(int) - FACE.image).max(2) > 8 for t in range(COUNT)]
        covered = np.array([thing.covers(t) for t in range(COUNT)])
        assert covered.max() > 0.3
        assert seen[int(covered.argmax())].mean() > 0.005


def test_windows_are_seeded_and_their_families_known(pairs: Pairs) -> None:
    for seed in range(3):
        for make in (still_windows, video_windows):
            source = 0 if make is still_windows else pairs._reals[0]
            runs = [make(pairs, source, 6, np.random.default_rng(seed)) for _ in range(2)]  # type: ignore[operator]
            for first, again in zip(*runs, strict=True):
                assert np.array_equal(first.crops, again.crops)
            real, fake = runs[0]
            assert (real.label, fake.label) == (0.0, 1.0)
            assert fake.source.rsplit(":", 1)[1] in FAMILIES
            assert real.crops.shape == fake.crops.shape == (6, 64, 64, 3)


def test_real_windows_against_real_again_are_the_same(pairs: Pairs) -> None:
    """A family that changes nothing leaves nothing of a clip's fake side behind."""
    again = Fakes({"again": lambda face, donor, rng: face}, {"again": 1.0})
    honest = Pairs(pairs.stills, pairs.clips, pairs.spec, 1, 5, pairs.mix, again)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(Unsteadiness, "draw", staticmethod(lambda *_: STEADY))
    try:
        for seed in range(8):
            real, fake = still_windows(honest, 0, 6, np.random.default_rng(seed))
            assert np.array_equal(real.crops, fake.crops)
    finally:
        monkey.undo()


def test_the_prepared_folder_is_read_whole(tmp_path: Path) -> None:
    data, prepared = write_data(tmp_path)
    mix = Mix(families=("live_swap",), held_stills=2)
    opened = Pairs.open(data, prepared, CropSpec(64, 1.3), 1, 0, mix)
    assert video_windows(opened, opened._reals[0], 4, np.random.default_rng(0))[1].source.endswith(
        ":live_swap"
    )
