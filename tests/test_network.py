"""Network, webcam and screen sources, each opened as the reader's child opens it."""

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream import errors
from stream.reader import LiveReader
from stream.sources import SourceOptions, display_name, find, screen, webcam
from stream.values import Frame
from tests.clips import number_of, numbered, write_clip
from tests.servers import RtspServer, Sender, free_port, http_server, lossy_relay, mute_server, wait_for

ROOT = Path(__file__).parent.parent


def take(url: str, count: int, **options: object) -> list[Frame]:
    """The first frames of a source, which is then closed."""
    frames = find(url).frames(url, SourceOptions(**options))
    try:
        return list(itertools.islice(frames, count))
    finally:
        frames.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_starts_fast_and_runs_steadily(transport: str) -> None:
    with RtspServer() as server:
        take(server.url, 1)  # the encoder has started once
        begin = time.monotonic()
        frames = take(server.url, 45, rtsp_transport=transport)
        assert frames[0].captured - begin < 1.0
        assert frames[0].image.shape == (240, 320, 3)
        steps = np.diff([f.time for f in frames])
        assert (steps > 0).all()
        assert np.median(steps) == pytest.approx(1 / 30, abs=0.004)
        assert not any(f.corrupt for f in frames)
        # Frames come when they are taken, not out of a buffer: both clocks agree.
        lag = [f.captured - f.time for f in frames[10:]]
        assert max(lag) - min(lag) < 0.25


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_rtsp_password(method: str) -> None:
    with RtspServer("viewer", "s:e/c@ret", method) as server:
        right = server.url.replace("://", "://viewer:s%3Ae%2Fc%40ret@")
        assert len(take(right, 2)) == 2
        for url in (server.url.replace("://", "://viewer:wrong@"), server.url):
            with pytest.raises(errors.Unauthorized, match="user and password") as caught:
                take(url, 1)
            assert "wrong@" not in str(caught.value)


def test_rtsp_wrong_path_and_wrong_port() -> None:
    with RtspServer() as server, pytest.raises(errors.NotFound, match="404"):
        take(server.url + "/nope", 1)
    with pytest.raises(errors.Unreachable, match="refused"):
        take(f"rtsp://127.0.0.1:{free_port()}/live", 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthorized),
        (403, errors.Unauthorized),
        (404, errors.NotFound),
        (503, errors.Unreachable),
    ],
)
def test_http_refusals(tmp_path: Path, status: int, kind: type[errors.SourceError]) -> None:
    with http_server(tmp_path, status) as address, pytest.raises(kind):
        take(f"{address}/live.m3u8", 1)


def test_http_page_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>" + "no video here " * 100)
    with http_server(tmp_path) as address, pytest.raises(errors.NotVideo):
        take(f"{address}/index.html", 1)


def test_mute_server_is_given_up_in_time() -> None:
    with mute_server() as port:
        begin = time.monotonic()
        with pytest.raises(errors.Unreachable, match="within 1 s"):
            take(f"rtmp://127.0.0.1:{port}/live/x", 1, open_timeout=1.0)
        assert time.monotonic() - begin < 4


@pytest.mark.parametrize("url", ["http://no.such.host.invalid/x", "udp://127.0.0.1:9?timeout=1"])
def test_nobody_there(url: str) -> None:
    with pytest.raises(errors.Unreachable):
        take(url, 1, open_timeout=1.0)


def test_file_over_http_comes_at_its_own_speed_and_ends(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", numbered(30), muxer={"movflags": "faststart"})
    frames: list[Frame] = []
    with http_server(tmp_path) as address:
        begin = time.monotonic()
        with pytest.raises(errors.Ended):
            frames.extend(find(address).frames(f"{address}/clip.mp4", SourceOptions()))
    assert [number_of(f.image) for f in frames] == list(range(30))
    assert 0.9 < time.monotonic() - begin < 3


def test_live_hls_is_paced_and_starts_at_its_newest_segment(tmp_path: Path) -> None:
    options = {"hls_time": "0.5", "hls_list_size": "6", "hls_flags": "omit_endlist"}
    playlist = tmp_path / "live.m3u8"
    with Sender(str(playlist), "hls", **options) as sender, http_server(tmp_path) as address:
        assert wait_for(lambda: playlist.exists() and playlist.read_text().count(".ts") >= 4, 15)
        frames = take(f"{address}/live.m3u8", 60)
        numbers = [number_of(f.image) for f in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 60))
        ages = [f.captured - sender.made[n] for f, n in zip(frames, numbers, strict=True)]
        assert max(ages) < 2.5  # four or more segments are 2 s and more; one segment and its making is 1 s
        steps = np.diff([f.captured for f in frames])
        assert np.mean(steps) == pytest.approx(1 / 30, rel=0.25)
        assert np.percentile(steps, 90) < 0.1


def test_mpegts_over_udp_is_fresh() -> None:
    port = free_port()
    with Sender(f"udp://127.0.0.1:{port}?pkt_size=1316", "mpegts") as sender:
        frames = take(f"udp://127.0.0.1:{port}", 60)
    assert not any(f.corrupt for f in frames)
    numbers = [number_of(f.image) for f in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 60))
    ages = [f.captured - sender.made[n] for f, n in zip(frames, numbers, strict=True)]
    assert np.median(ages[20:]) < 0.25


def test_lost_datagrams_mark_frames_as_damaged() -> None:
    port = free_port()
    with (
        lossy_relay(port, lambda n: n > 30 and n % 17 == 0) as relay,
        Sender(f"udp://127.0.0.1:{relay}?pkt_size=1316", "mpegts"),
    ):
        frames = take(f"udp://127.0.0.1:{port}", 90)
    marked = [f.corrupt for f in frames]
    assert sum(marked) > 3
    assert not all(marked)  # key frames heal
    clean = [
        np.abs(f.image[100:, :].astype(int) - (64 + number_of(f.image) * 5 % 64)).mean()
        for f in frames
        if not f.corrupt
    ]
    assert max(clean) < 6


def test_protocol_that_this_ffmpeg_lacks() -> None:
    """PyAV's wheels come without SRT; a build that has it finds nobody at that port."""
    with pytest.raises(errors.SourceError, match=r"does not speak srt|no answer|refused|cannot be reached"):
        take("srt://127.0.0.1:9", 1, open_timeout=1.0)


def test_webcam_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert webcam.device_of("0") == 0
    assert webcam.device_of("webcam:2") == 2
    assert webcam.device_of("camera://1") == 1
    assert webcam.device_of("/dev/video3") in ("/dev/video3", 3)
    with pytest.raises(errors.NoDevice, match="no webcam"):
        webcam.device_of("webcam:front door")


def test_missing_webcam_is_one_clear_line() -> None:
    with pytest.raises(errors.NoDevice, match="/dev/video97: no such camera"):
        take("97", 1)


def test_webcam_loop_on_opencvs_file_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV reads a clip through the very calls that read a camera."""
    import cv2

    path = write_clip(tmp_path / "clip.mp4", numbered(12))
    monkeypatch.setattr(webcam, "_backend", lambda: cv2.CAP_FFMPEG)
    frames: list[Frame] = []
    with pytest.raises(errors.Ended):
        frames.extend(webcam.frames(f"webcam:{path}", SourceOptions(resolution=(320, 240), rate=30)))
    assert [number_of(f.image) for f in frames] == list(range(12))
    assert [f.index for f in frames] == list(range(12))
    assert (np.diff([f.time for f in frames]) > 0).all()
    (tmp_path / "dead").write_bytes(b"no camera")
    with pytest.raises(errors.NoDevice, match="busy or no camera"):
        next(webcam.frames(f"webcam:{tmp_path / 'dead'}", SourceOptions()))


def test_real_webcam() -> None:
    if not any(Path("/dev").glob("video*")):
        pytest.skip("no webcam here: there is no /dev/video*")
    frames = take(sorted(map(str, Path("/dev").glob("video*")))[0], 10)
    assert len(frames) == 10


@pytest.fixture
def display() -> Iterator[str]:
    """An X server without a screen; its root window is white."""
    try:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-wr", "-nolisten", "tcp", "-noreset"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("Xvfb is not installed")
    assert server.stdout
    yield ":" + server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()


def read(url: str, count: int, **options: Any) -> list[Frame]:
    """The first frames that come through a reader's own process, which is where the screen is captured."""
    with contextlib.closing(LiveReader(url, SourceOptions(**options), retries=1)) as reader:
        frames: list[Frame] = []
        end = time.monotonic() + 20
        while len(frames) < count and time.monotonic() < end:
            frame = reader.newest(1.0)
            frames += [frame] if frame else []
    return frames


def test_screen(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    frames = read("screen:", 8, rate=20)
    assert len(frames) == 8
    assert {f.image.shape for f in frames} == {(480, 640, 3)}
    assert frames[0].image.min() > 250
    assert np.median(np.diff([f.captured for f in frames])) == pytest.approx(0.05, abs=0.02)
    part = read(f"screen:{display}+10,20", 1, resolution=(320, 200))[0]
    assert part.image.shape == (200, 320, 3)


def test_the_reader_loads_ffmpeg_before_opencv() -> None:
    code = (
        "import sys; import stream.reader_child; assert 'cv2' not in sys.modules; assert 'av' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(errors.NoDevice, match="no display"):
        take("screen:", 1)
    with pytest.raises(errors.NoDevice, match="x11grab"):
        take("screen::97", 1)


def test_grabbers_of_each_platform() -> None:
    plain = SourceOptions(resolution=(800, 600), rate=15)
    x11 = screen.grabber("screen:window=0x1a0", "linux", ":0", plain)
    assert (x11.format, x11.target, x11.options["window_id"]) == ("x11grab", ":0", "0x1a0")
    assert x11.options["video_size"] == "800x600"
    windows = screen.grabber("screen:window=Video call", "win32", "", plain)
    assert (windows.format, windows.target) == ("gdigrab", "title=Video call")
    assert screen.grabber("screen:", "darwin", "", plain).target == "Capture screen 0"
    with pytest.raises(errors.NoDevice, match="single window"):
        screen.grabber("screen:window=x", "darwin", "", plain)


def test_names_hold_no_password() -> None:
    assert display_name("rtsp://me:secret@cam/x?token=abc") == "rtsp://***@cam/x?token=***"
