"""Files: read whole and in order, each odd or broken one with its own clear end."""

import gc
import itertools
import time
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import decode, errors
from stream.decode import duration, upright
from stream.h264 import FrameNumbers
from stream.sources import SourceOptions, file, find, scheme_of
from stream.timeline import Damage, Timeline
from stream.values import Frame
from tests.clips import (
    corners,
    cut,
    damaged,
    garbled,
    number_of,
    numbered,
    portraits,
    quadrants,
    read_all,
    resized_midway,
    rotated,
    write_clip,
    write_sound,
)


def read(path: Path | str, **options: object) -> list[Frame]:
    return list(file.frames(str(path), SourceOptions(**options)))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 numbered pictures, 2 s, a key frame every 20."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", numbered(60), gop=20)


def test_reads_every_frame_in_order(clip: Path) -> None:
    frames = read(clip)
    assert [number_of(f.image) for f in frames] == list(range(60))
    assert [f.index for f in frames] == list(range(60))
    assert [f.time for f in frames] == pytest.approx([i / 30 for i in range(60)], abs=1e-3)
    assert not any(f.corrupt for f in frames)
    assert all(f.captured <= g.captured for f, g in itertools.pairwise(frames))


def test_words_in_a_strange_encoding_are_no_obstacle(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    assert b"Lavf" in data  # the tag that names the writing software
    (tmp_path / "strange.mp4").write_bytes(data.replace(b"Lavf", b"\xb1\xffvf"))
    assert len(read(tmp_path / "strange.mp4")) == 60
    assert duration(str(tmp_path / "strange.mp4")) == pytest.approx(2.0, abs=0.1)


def test_reading_twice_gives_the_same_bytes(clip: Path) -> None:
    for one, two in zip(read(clip), read(f"file:{clip}"), strict=True):
        assert one.time == two.time
        np.testing.assert_array_equal(one.image, two.image)


def test_b_frames_come_out_in_the_order_shown(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "b.mp4", numbered(40), b_frames=3, options={"preset": "veryfast"})
    frames = read(path)
    assert [number_of(f.image) for f in frames] == list(range(40))
    assert not any(f.corrupt for f in frames)


def test_realtime_takes_as_long_as_the_clip(clip: Path) -> None:
    begin = time.monotonic()
    frames = read(clip, realtime=True)
    assert 1.9 < time.monotonic() - begin < 4.0
    late = [f.captured - frames[0].captured - f.time for f in frames]
    assert min(late) > -0.005  # never early


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), "RGBW"),
        ((0, 1, -1, 0), "WRGB"),  # clockwise by 90 degrees
        ((-1, 0, 0, -1), "BWRG"),
        ((0, -1, 1, 0), "GBWR"),
        ((-1, 0, 0, 1), "GRWB"),  # mirrored
        ((1, 0, 0, -1), "WBGR"),  # upside down
    ],
)
def test_rotation_metadata(tmp_path: Path, matrix: tuple[int, int, int, int], expected: str) -> None:
    plain = write_clip(tmp_path / "plain.mp4", [quadrants()] * 3)
    frames = read(rotated(tmp_path / "turned.mp4", plain, matrix))
    assert {corners(f.image) for f in frames} == {expected}
    assert frames[0].image.shape == ((96, 64, 3) if matrix[1] else (64, 96, 3))
    assert frames[0].image.flags.c_contiguous


def test_decoding_leaves_no_garbage(tmp_path: Path) -> None:
    """Frames that wait for the collector of cycles are memory that grows."""
    path = write_clip(tmp_path / "clip.mp4", portraits(200))
    gc.collect()
    gc.disable()
    try:
        frames = file.frames(str(path), SourceOptions())
        next(frames)
        before = psutil.Process().memory_info().rss
        assert sum(1 for _ in frames) == 199
        grown = psutil.Process().memory_info().rss - before
    finally:
        gc.enable()
    assert grown < 12e6  # 199 frames of 320x240 are 23 MB in YUV and 46 MB in BGR


def test_skewed_matrix_leaves_a_picture_whole() -> None:
    assert upright(quadrants(), None).shape == (64, 96, 3)
    slight = np.array([65000, 3000, 0, -3000, 65000, 0, 0, 0, 1 << 30], np.int32)
    np.testing.assert_array_equal(upright(quadrants(), slight), quadrants())


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv444p10le", "mkv"),
        ("libx264", "yuv422p", "mp4"),
        ("libx264", "nv12", "mp4"),
        ("mjpeg", "yuvj420p", "avi"),
        ("ffv1", "bgra", "mkv"),
        ("png", "rgb24", "mov"),
        ("ffv1", "yuv410p", "mkv"),
    ],
)
def test_odd_pixel_formats_keep_their_colours(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    path = write_clip(
        tmp_path / f"odd.{suffix}", [quadrants(128, 96)] * 3, codec=codec, pix_fmt=pix_fmt, options={}
    )
    frames = read(path)
    assert len(frames) == 3
    assert frames[0].image.shape == (96, 128, 3)
    assert frames[0].image.dtype == np.uint8
    assert corners(frames[0].image) == "RGBW"


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "gray"), ("ffv1", "gray16le")])
def test_grey_formats(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    path = write_clip(tmp_path / "grey.mkv", portraits(2), codec=codec, pix_fmt=pix_fmt)
    image = read(path)[0].image
    assert np.ptp(image.astype(int), axis=2).max() <= 2
    assert image.std() > 20


def test_palette(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "p.gif", [quadrants()] * 3, codec="gif", pix_fmt="rgb8", rate=10)
    assert corners(read(path)[0].image) == "RGBW"


def test_odd_size_and_changing_size(tmp_path: Path) -> None:
    odd = write_clip(tmp_path / "odd.mkv", [quadrants(131, 97)] * 2, codec="ffv1", pix_fmt="bgr0")
    assert read(odd)[0].image.shape == (97, 131, 3)
    frames = read(resized_midway(tmp_path / "grows.ts"))
    shapes = [f.image.shape for f in frames]
    assert shapes == [(240, 320, 3)] * 20 + [(360, 480, 3)] * 20
    assert all(a.time < b.time for a, b in itertools.pairwise(frames))


def test_variable_rate_is_kept(tmp_path: Path) -> None:
    times = [0.0, 0.01, 0.2, 0.25, 1.0, 1.04, 3.0]
    path = write_clip(tmp_path / "vfr.mkv", numbered(7), times=times)
    assert [f.time for f in read(path)] == pytest.approx(times, abs=2e-3)


def test_missing_timestamps_get_the_streams_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "raw.h264", numbered(20), rate=25, format="h264")
    times = [f.time for f in read(path)]
    assert times == pytest.approx([i / 25 for i in range(20)], abs=1e-3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_still_picture_is_a_video_of_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"still.{suffix}"
    cv2.imwrite(str(path), quadrants())
    (frame,) = read(path)
    assert corners(frame.image) == "RGBW"
    assert frame.time == 0


def test_odd_names(tmp_path: Path, clip: Path) -> None:
    for name in ("a:b.mp4", "sp ace ü.mp4", "100%25.mp4", "x?y#z.mp4"):
        path = tmp_path / name
        path.write_bytes(clip.read_bytes())
        assert len(read(path)) == 60
    assert len(read((tmp_path / "sp ace ü.mp4").as_uri())) == 60


def _broken(folder: Path, clip: Path) -> dict[str, Path]:
    empty, text, words, noise = (folder / n for n in ("empty.mp4", "text.mp4", "words.txt", "noise.mp4"))
    empty.write_bytes(b"")
    text.write_text("not a video\n" * 50)
    words.write_text("nor this\n" * 50)
    noise.write_bytes(np.random.default_rng(1).bytes(50_000))
    tiny = folder / "tiny.png"
    cv2.imwrite(str(tiny), np.zeros((1, 1, 3), np.uint8))
    return {
        "missing": folder / "none.mp4",
        "below a file": clip / "none.mp4",
        "directory": folder,
        "empty": empty,
        "text": text,
        "words": words,
        "noise": noise,
        "sound": write_sound(folder / "sound.mp4"),
        "tiny": tiny,
        "no moov": cut(folder / "nomoov.mp4", clip, 0.5),
    }


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("missing", errors.FileMissing),
        ("below a file", errors.FileMissing),
        ("directory", errors.IsDirectory),
        ("empty", errors.EmptyFile),
        ("text", errors.NotVideo),
        ("words", errors.NotVideo),
        ("noise", errors.NotVideo),
        ("sound", errors.NoVideoStream),
        ("tiny", errors.TooSmall),
        ("no moov", errors.Truncated),
    ],
)
def test_bad_files_have_one_clear_line(
    tmp_path: Path, clip: Path, what: str, kind: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    path = _broken(tmp_path, clip)[what]
    with pytest.raises(kind) as caught:
        read(path)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert caught.value.__cause__ is None
    assert capfd.readouterr() == ("", "")  # FFmpeg itself stays silent


@pytest.mark.parametrize(
    ("suffix", "muxer"),
    [("mp4", {"movflags": "faststart"}), ("mp4", {"movflags": "frag_keyframe"}), ("mkv", {})],
)
def test_truncated_file_gives_all_it_has_and_then_says_so(
    tmp_path: Path, suffix: str, muxer: dict[str, str]
) -> None:
    whole = write_clip(tmp_path / f"whole.{suffix}", portraits(90), gop=15, muxer=muxer)
    assert len(read(whole)) == 90
    short = cut(tmp_path / f"short.{suffix}", whole, 0.6)
    frames: list[Frame] = []
    with pytest.raises(errors.Truncated, match="cut off after"):
        frames.extend(file.frames(str(short), SourceOptions()))
    assert 30 <= len(frames) < 80
    assert not any(f.corrupt for f in frames[:-1])


@pytest.mark.parametrize(("b_frames", "hit"), [(0, 27), (2, 24), (2, 25), (2, 26), (2, 27), (2, 28)])
def test_damage_is_marked_until_the_next_key_frame(tmp_path: Path, b_frames: int, hit: int) -> None:
    options = {"preset": "veryfast", "x264-params": "scenecut=0:open-gop=0"}
    whole = write_clip(tmp_path / "whole.mp4", portraits(60), gop=20, b_frames=b_frames, options=options)
    broken = damaged(tmp_path / "broken.mp4", whole, lambda n, d: garbled(d) if n == hit else d)
    truth = read_all(whole)
    frames = read(broken)
    number = [round(f.time * 30) for f in frames]
    wrong = {
        n for n, f in zip(number, frames, strict=True) if np.abs(f.image.astype(int) - truth[n]).mean() > 0.5
    }
    marked = {n for n, f in zip(number, frames, strict=True) if f.corrupt}
    assert wrong <= marked
    assert marked
    assert marked <= set(range(20, 40))


@pytest.mark.parametrize(
    "options", [{}, {"x264-params": "bframes=3:ref=3"}, {"profile": "high", "preset": "slow"}]
)
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_missing_pictures_are_damage(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    """The decoder itself says nothing of a picture that never came."""
    options = {"preset": "fast", **options}
    whole = write_clip(tmp_path / f"whole.{suffix}", portraits(80), gop=40, b_frames=0, options=options)
    assert not any(f.corrupt for f in read(whole))
    broken = damaged(tmp_path / f"broken.{suffix}", whole, lambda n, d: None if n == 47 else d)
    truth = read_all(whole)
    frames = read(broken)
    for frame in frames:
        number = round(frame.time * 30)
        assert frame.corrupt or np.abs(frame.image.astype(int) - truth[number]).mean() < 0.5
    assert not any(f.corrupt for f in frames[:40])


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize(
    ("b_frames", "more", "spared"),
    [(0, {}, False), (3, {}, True), (3, {"x264-params": "interlaced=1"}, False)],
)
def test_what_nobody_wants_or_leans_on_is_not_decoded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    b_frames: int,
    more: dict[str, str],
    spared: bool,
) -> None:
    """Of B-frames, that is. What is wanted looks as if all had been decoded, and all are counted."""
    path = tmp_path / f"clip.{suffix}"
    write_clip(path, portraits(90), gop=30, b_frames=b_frames, options={"preset": "fast", **more})
    truth = {round(frame.time * 30): frame.image for frame in read(path)}
    arrivals = itertools.count()
    monkeypatch.setattr(decode.time, "monotonic", lambda: next(arrivals))  # packets come a second apart
    progress = decode.Progress()
    with av.open(str(path)) as container:
        some = decode.pictures(container, "clip", True, progress, wanted=lambda came: came % 10 < 2)
        frames = list(some)
    seen = [frame for frame in frames if frame.image.size]
    assert progress.frames == frames[-1].index + 1 == 90
    assert 40 < len(frames) < 75 if spared else len(frames) == 90
    assert len(seen) == 18
    assert not any(frame.corrupt for frame in frames)
    for frame in seen:
        assert np.array_equal(frame.image, truth[round(frame.time * 30)])


@given(st.binary(max_size=60), st.booleans(), st.lists(st.binary(max_size=40), max_size=4))
def test_no_bytes_upset_the_search_for_missing_pictures(
    extra: bytes, sized: bool, packets: list[bytes]
) -> None:
    head = b"\x01\x64\x00\x1f\xff\xe1" if sized else b"\x00\x00\x01\x67"
    numbers = FrameNumbers(head + extra)
    for packet in packets:
        assert numbers.leaps(packet) in (True, False)
        assert numbers.disposable in (True, False)
        assert numbers.leaps(b"\x00\x00\x01\x41" + packet) in (True, False)


def test_packet_cut_short_is_damage(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", portraits(60), gop=20)
    broken = damaged(tmp_path / "broken.mkv", whole, lambda n, d: d[: len(d) // 2] if n == 5 else d)
    frames = read(broken)
    truth = read_all(whole)
    for frame in frames:
        right = np.abs(frame.image.astype(int) - truth[round(frame.time * 30)]).mean() <= 0.5
        assert right or frame.corrupt
    assert any(f.corrupt for f in frames)
    assert not any(f.corrupt for f in frames if f.time > 0.66)


def test_duration(clip: Path, tmp_path: Path) -> None:
    assert duration(str(clip)) == pytest.approx(2.0, abs=0.05)
    assert duration(str(tmp_path / "none.mp4")) is None
    assert duration("rtsp://127.0.0.1/x") is None


def test_find_knows_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cases = {
        "clip.mp4": "file", "C:\\clips\\a.mp4": "file", "file:///a.mp4": "file", "0": "webcam",
        "/dev/video2": "webcam", "webcam:1": "webcam", "RTSP://cam/x": "rtsp", "https://a/b.m3u8": "https",
        "udp://@:5000": "udp", "screen:": "screen", "demo": "demo", "./demo": "file", "a b: c.mp4": "file",
    }  # fmt: skip
    assert {url: scheme_of(url) for url in cases} == cases
    for url in cases:
        find(url)
    with pytest.raises(errors.UnknownScheme, match=r"gopher.*known are .*rtsp"):
        find("gopher://user:secret@host/")
    (tmp_path / "demo").write_bytes(b"x")
    assert scheme_of("demo") == "file"


def test_timeline_repairs_what_is_broken() -> None:
    line = Timeline(0.04)
    stamps = [5.0, 5.04, None, 5.12, 5.12, 5.10, 5.2, 0.0, 0.04]  # missing, twice, back, clock set anew
    times = [line.place(s) for s in stamps]
    assert times[:4] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert times[6] == pytest.approx(0.2)
    assert times[7:] == pytest.approx([0.24, 0.28])
    assert all(a < b for a, b in itertools.pairwise(times))


def test_live_timeline_does_not_believe_a_leap() -> None:
    line = Timeline(0.04)
    assert line.place(10.0, 100.0) == 0
    assert line.place(10.04, 100.05) == pytest.approx(0.04)
    assert line.place(9000.0, 100.09) == pytest.approx(0.08)  # 40 ms later by the wall
    assert line.place(9000.04, 100.13) == pytest.approx(0.12)
    assert line.place(None, 101.13) == pytest.approx(1.12)


def test_damage_in_decoding_order() -> None:
    damage = Damage()
    for number, key in enumerate([True, False, False, False, True, False, False]):
        damage.packet(number, key, number / 10, damaged=number == 2)
    assert [damage.reaches(n, n / 10) for n in range(7)] == [False, False, True, True, False, False, False]
    assert damage.reaches(5, 0.35)  # decoded after the key frame, shown before it
