"""The demo clip: a moving face in every picture, one chain for both halves, another face in the second."""

import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream.faces import FaceDetector
from stream.sources import SourceOptions, demo, find
from stream.values import Frame


@pytest.fixture(scope="module")
def clip() -> list[Frame]:
    """The whole clip as a user gets it."""
    return list(find("demo").frames("demo", SourceOptions()))


def test_the_url_demo_leads_here_and_it_is_read_as_a_file() -> None:
    assert find("demo") is demo
    assert demo.LIVE is False


def test_it_lasts_sixteen_seconds_at_thirty_pictures_a_second(clip: list[Frame]) -> None:
    assert len(clip) == demo.SECONDS * demo.FPS
    assert clip[0].image.shape == (demo.HEIGHT, demo.WIDTH, 3)
    assert [frame.index for frame in clip] == list(range(len(clip)))
    assert np.diff([frame.time for frame in clip]) == pytest.approx(1 / demo.FPS, abs=1e-3)
    assert not any(frame.corrupt for frame in clip)


def test_exactly_one_face_is_found_all_along_and_it_moves(clip: list[Frame]) -> None:
    detector = FaceDetector(min_face=80)
    faces = [detector.detect(frame.image) for frame in clip[::12]]
    assert all(len(found) == 1 and found[0].probability > 0.98 for found in faces)
    noses = np.array([found[0].landmarks[2] for found in faces])
    assert np.ptp(noses, axis=0).min() > 8  # px; no still picture
    steps = np.linalg.norm(np.diff(noses, axis=0), axis=1)
    assert steps.max() < 25  # px in 0.4 s; no leap, not even where the swap begins


def test_the_halves_differ_in_the_inner_face_and_nowhere_else() -> None:
    real = list(demo.pictures(1.0, swap_at=9.0))
    fake = list(demo.pictures(1.0, swap_at=0.5))
    assert all(np.array_equal(a, b) for a, b in zip(real[:15], fake[:15], strict=True))
    # The noise differs between the two runs, since the swap draws random numbers too: means over time do not.
    change = np.abs(np.mean(real[15:], axis=0) - np.mean(fake[15:], axis=0)).max(axis=2)
    change = cv2.GaussianBlur(change, (0, 0), 3)
    inner, frame = change[180:360, 240:420], change.copy()
    frame[130:420, 170:490] = 0
    assert inner.mean() > 12
    assert frame.max() < 4


def test_the_swap_is_blended_without_a_hard_edge_or_a_foreign_tone() -> None:
    portrait, points = demo._asset("grace_hopper.jpg")
    swap = demo._make_swap(portrait, points)
    x1, y1, x2, y2 = demo.FACE
    host = cv2.resize(portrait[y1:y2, x1:x2], (demo.DECODED, demo.DECODED), interpolation=cv2.INTER_AREA)
    inside = swap.mask > 0.5
    assert np.abs(swap.face[inside].mean(axis=0) - host[inside].mean(axis=0)).max() < 12
    assert 0.2 < inside.mean() < 0.7
    assert max(swap.mask[0].max(), swap.mask[-1].max(), swap.mask[:, 0].max(), swap.mask[:, -1].max()) < 0.02
    assert np.abs(np.diff(swap.mask, axis=0)).max() < 0.35


def test_the_clip_is_the_same_on_every_run(tmp_path: Path) -> None:
    for name in "ab":
        demo.make_clip(tmp_path / f"{name}.mp4", seconds=1.0, swap_at=0.5)
    with av.open(str(tmp_path / "a.mp4")) as one, av.open(str(tmp_path / "b.mp4")) as two:
        assert one.streams.video[0].codec_context.name == "h264"
        pairs = zip(one.decode(video=0), two.decode(video=0), strict=True)
        assert all(np.array_equal(a.to_ndarray(), b.to_ndarray()) for a, b in pairs)


def test_it_leaves_no_file_behind_even_if_left_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "pictures", lambda *_: iter([np.zeros((480, 640, 3), np.uint8)] * 9))
    reading = demo.frames("demo", SourceOptions())
    next(reading)
    assert len(list(tmp_path.iterdir())) == 1
    reading.close()
    assert not list(tmp_path.iterdir())


def test_realtime_plays_it_at_its_own_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = demo.pictures

    def short(*_: float) -> Iterator[np.ndarray]:
        return whole(0.5, 9.0)

    monkeypatch.setattr(demo, "pictures", short)
    reading = demo.frames("demo", SourceOptions(realtime=True))
    next(reading)
    begin = time.monotonic()
    assert len(list(reading)) == 14
    assert time.monotonic() - begin == pytest.approx(14 / 30, abs=0.2)


def test_the_portraits_are_credited() -> None:
    folder = Path(demo.__file__).parents[1] / "assets"
    credits = (folder / "CREDITS.txt").read_text("utf-8")
    for path in folder.iterdir():
        assert path.name == "CREDITS.txt" or path.name in credits
    assert credits.count("public domain") >= 2
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150_000
