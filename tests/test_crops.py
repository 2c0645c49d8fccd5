"""The crop tool: one file a track, cut by the live path, whatever lies in the folder."""

import logging

import numpy as np
import pytest

from models.crop import CropSpec, crop_face
from stream import crops as tool
from stream.faces import FaceDetector

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")
pytest.importorskip("skimage", reason="the portraits come with the [dev] extra")

SPEC = CropSpec(64, 1.6)
FIELDS = {"crops", "times", "boxes", "landmarks", "probabilities"}
QUALITY = {"weights", "reasons", "sizes", "sharpness", "yaws"}


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(min_face=60)


@pytest.fixture(scope="module")
def images():
    from tests.bench_mtcnn import portraits

    return [cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA) for image in portraits()]


def write_video(path, pictures, fps=25):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    """A video of two moving faces, a still in a subfolder, an empty picture, two files that are no video."""
    root = tmp_path_factory.mktemp("data")
    both = np.hstack(images)
    write_video(root / "pair.mp4", [np.roll(both, shift, axis=0) for shift in range(50)])
    (root / "stills").mkdir()
    cv2.imwrite(str(root / "stills" / "one.png"), images[0])
    cv2.imwrite(str(root / "stills" / "none.png"), np.full((200, 200, 3), 90, np.uint8))
    (root / "text.mp4").write_text("this is no video")
    (root / "notes.txt").write_text("nor is this")
    return root


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory, detector):
    out = tmp_path_factory.mktemp("out")
    written = tool.cut_all([folder], out, SPEC, rate=8.0, looker=detector)
    return out, written


def test_mirrors_the_folders_with_one_file_a_track(done):
    out, written = done
    found = {str(path.relative_to(out)) for path in out.rglob("*.npz")}
    assert found == {"pair.track1.npz", "pair.track2.npz", "stills/one.track1.npz"}
    assert written == 3
    assert not list(out.rglob("*.part"))


def test_a_video_gives_crops_at_the_rate_once_confirmed(done):
    for number in (1, 2):
        with np.load(done[0] / f"pair.track{number}.npz") as data:
            assert set(data.files) == FIELDS | QUALITY
            count = len(data["times"])
            assert all(len(data[name]) == count for name in data.files)
            assert data["crops"].shape == (count, 64, 64, 3)
            assert data["crops"].dtype == np.uint8
            assert data["boxes"].shape == (count, 4)
            assert data["landmarks"].shape == (count, 5, 2)
            assert 13 <= count <= 16  # 2 s at 8 Hz, less the first fifth of a second
            assert np.diff(data["times"]).mean() == pytest.approx(1 / 8, abs=0.01)
            assert data["times"][0] >= 0.2
            assert (data["weights"] > 0.5).all()
            assert set(data["reasons"]) == {""}


def test_a_still_needs_no_confirmation_and_is_cut_by_the_shared_function(done, images, detector):
    with np.load(done[0] / "stills" / "one.track1.npz") as data:
        (face,) = detector.detect(images[0])
        assert np.abs(data["boxes"][0] - face.box).max() < 3  # the decoder's colours differ by a little
        wanted = crop_face(images[0], data["boxes"][0], SPEC)
        assert np.abs(data["crops"][0].astype(int) - wanted).mean() < 3


def test_what_cannot_be_read_is_named_and_passed_over(folder, tmp_path, detector, caplog):
    with caplog.at_level(logging.WARNING, "stream.crops"):
        assert tool.cut_all([folder / "text.mp4", folder / "gone.mp4"], tmp_path, SPEC, 8.0, detector) == 0
    assert "text.mp4" in caplog.text
    assert "gone.mp4" in caplog.text
    assert not list(tmp_path.rglob("*.npz"))


def test_an_interrupted_run_goes_on_where_it_stopped(folder, done, detector, monkeypatch):
    def fail(*_):
        raise AssertionError("this file was done already")

    monkeypatch.setattr(tool, "cut_video", fail)
    monkeypatch.setattr(tool, "cut_picture", fail)
    for path in (folder / "pair.mp4", folder / "stills" / "one.png"):
        target = done[0] / path.relative_to(folder)
        assert target.with_suffix(".done").exists()
    (folder / "text.mp4").rename(folder / "text.txt")
    try:
        assert tool.cut_all([folder], done[0], SPEC, 8.0, detector) == 0
    finally:
        (folder / "text.txt").rename(folder / "text.mp4")


def test_a_truncated_video_gives_what_could_be_read(folder, tmp_path, detector, caplog, images):
    whole = tmp_path / "whole.ts"
    write_video(whole, [np.hstack(images)] * 50)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    assert tool.cut_all([cut], tmp_path / "out", SPEC, 8.0, detector) == 2


def test_command_line(folder, tmp_path, monkeypatch):
    arguments = [str(folder / "pair.mp4"), "--out", str(tmp_path / "cut"), "--size", "48", "--rate", "4"]
    monkeypatch.setattr("sys.argv", ["crops", *arguments])
    tool.main()
    with np.load(tmp_path / "cut" / "pair.track1.npz") as data:
        assert data["crops"].shape[1:] == (48, 48, 3)
        assert 6 <= len(data["times"]) <= 9
