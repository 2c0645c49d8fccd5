"""Preparing data: what stream.crops wrote becomes stills and clips with 68 points each."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models import prepare as preparing
from models.crop import CropSpec, crop_face
from models.dataset import Clip, Stills
from models.fakes.generated import Generated
from models.landmarks import five_of
from models.prepare import (
    CROP_MARGIN,
    CROP_SIZE,
    add_generated,
    index_stills,
    index_videos,
    known_points,
    sane_boxes,
)
from tests import clips
from tests.drawn_faces import draw_face, shape68

COUNT = 5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Four stills, one of them in a folder, and a video of two tracks, as stream.crops writes them."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("prepared")
    crops = out / "crops"
    names = ["a.jpg", "b.jpg", "c.jpg", "portraits/d.jpg"]
    for i, name in enumerate(names):
        face = draw_face(i)
        (data / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(data / name), face.image)
        _track(crops / Path(name).with_suffix(".track1.npz"), i, 1, np.ones(1))
    (data / "e.jpg").write_bytes((data / "a.jpg").read_bytes())  # a picture in which no face was found
    np.savez(
        data / "landmarks68.npz",
        name=np.array(names[:3]),
        points=np.stack([draw_face(i).points for i in range(3)]),
    )
    _track(crops / "dfdc/real/x.track1.npz", 7, 3, np.ones(3))
    weights = np.ones(COUNT)
    weights[2] = 0
    _track(crops / "dfdc/real/x.track2.npz", 8, COUNT, weights)
    known, shape = known_points(data)
    assert index_stills(data, crops, out, known, shape) == 4
    assert index_videos(crops, out, shape) == 1
    return data, out


def _track(path: Path, seed: int, count: int, weights: np.ndarray) -> None:
    face = draw_face(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    crop = crop_face(face.image, face.box, CropSpec(CROP_SIZE, CROP_MARGIN))
    np.savez(
        path,
        crops=np.repeat(crop[None], count, 0),
        times=np.arange(count) / 8,
        boxes=np.repeat(face.box[None], count, 0),
        landmarks=np.repeat(five_of(face.points)[None], count, 0),
        weights=weights.astype(np.float32),
    )


def test_stills_have_boxes_and_points(prepared: tuple[Path, Path]) -> None:
    stills = Stills(*prepared)
    assert stills.names.tolist() == ["a.jpg", "b.jpg", "c.jpg", "portraits/d.jpg"]
    assert np.allclose(stills.points[1], draw_face(1).points)
    # The portrait's 68 points are estimated from five; its eyes must lie where they are.
    assert np.abs(stills.points[3][36:48] - draw_face(3).points[36:48]).max() < 3


def test_the_longest_track_without_gated_crops_is_kept(prepared: tuple[Path, Path]) -> None:
    clip = Clip.load(prepared[1] / "videos" / "dfdc__real__x.npz")
    assert clip.times.tolist() == [0, 0.125, 0.375, 0.5]
    face = draw_face(8)
    side = float((face.box[2:] - face.box[:2]).max()) * CROP_MARGIN
    corner = (face.box[:2] + face.box[2:]) / 2 - side / 2
    wanted = (face.points - corner) * CROP_SIZE / side
    assert np.abs(clip.points[0][36:60] - wanted[36:60]).max() < 4


def test_boxes_far_outside_a_tight_picture_are_replaced() -> None:
    faces = [draw_face(i) for i in range(6)]
    boxes, points = np.stack([f.box for f in faces]), np.stack([f.points for f in faces])
    guessed = boxes.copy()
    guessed[4] = [-80, -90, 280, 290]
    sizes = np.full((6, 2), 200)
    fixed = sane_boxes(guessed, points, sizes)
    assert np.array_equal(np.delete(fixed, 4, 0), np.delete(boxes, 4, 0))
    assert np.abs(fixed[4] - boxes[4]).max() < 8
    assert np.array_equal(sane_boxes(guessed[4:5], points[4:5], sizes[:1]), guessed[4:5])
    assert shape68().shape == (68, 2)


def test_generated_faces_are_added_with_boxes_and_points(
    prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, pictures = tmp_path / "prepared", tmp_path / "pictures"
    out.mkdir()
    pictures.mkdir()
    for i in range(8):
        cv2.imwrite(str(pictures / f"face{i}.png"), draw_face(50 + i).image)

    def found(data: Path, crops: Path) -> None:
        """The detector's place: it misses the last face."""
        assert data == pictures
        for i in range(7):
            _track(crops / f"face{i}.track1.npz", 50 + i, 1, np.ones(1))

    monkeypatch.setattr(preparing, "cut", found)
    with pytest.raises(FileNotFoundError, match="prepare the data first"):
        add_generated(pictures, out)
    (out / "stills.npz").write_bytes((prepared[1] / "stills.npz").read_bytes())
    assert add_generated(pictures, out) == 7
    stills = Stills(out / "generated", out / "generated")
    assert stills.names.tolist() == [f"face{i}.png" for i in range(7)]
    assert np.abs(stills.points[2][36:48] - draw_face(52).points[36:48]).max() < 3
    face = draw_face(1)
    fake = Generated(out / "generated")(face, face, np.random.default_rng(0))
    assert fake.image.shape == face.image.shape


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"landmarks68\.npz"):
        preparing.prepare(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        preparing.cut(tmp_path / "nowhere", tmp_path / "out")


def test_the_command_runs_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture and a video become a still and a clip, by the live detector and tracker."""
    pytest.importorskip("skimage", reason="the portrait of the test clips is scikit-image's")
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "real_talking").mkdir(parents=True)
    cv2.imwrite(str(data / "someone.png"), clips.portrait(512, 384))
    (data / "broken.jpg").write_bytes(b"no picture")
    clips.write_clip(data / "real_talking" / "walk.mp4", clips.portraits(20, 512, 384))
    np.savez(data / "landmarks68.npz", name=np.array(["drawn.jpg"]), points=draw_face(0).points[None])
    monkeypatch.setattr("sys.argv", ["prepare", "--data", str(data), "--out", str(out)])
    for _ in range(2):  # the second time it finds all done
        preparing.main()
        still = Stills(data, out).face(0)
        assert Stills(data, out).names.tolist() == ["someone.png"]
        assert 60 < still.side < 250
        clip = Clip.load(out / "videos" / "real_talking__walk.npz")
        assert len(clip.crops) >= 4
        assert clip.crops.shape[1:] == (CROP_SIZE, CROP_SIZE, 3)
        assert np.abs(np.median(five_of(clip.points[0]), axis=0) - CROP_SIZE / 2).max() < 40
