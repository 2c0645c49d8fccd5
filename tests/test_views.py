import contextlib
import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import NoDisplay, OutputError
from stream.views import Newest, open_views, push, record, video
from stream.views.process import PictureProcess
from stream.views.push import Push
from stream.views.record import Recorder
from stream.views.video import CLOCK, Timeline, fit
from stream.views.window import Window

ROOT = Path(__file__).parent.parent
RED = np.full((120, 160, 3), (0, 0, 255), np.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def wait_for(what: Callable[[], object], timeout: float = 20.0) -> None:
    until = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.01)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.to_ndarray(format="bgr24") for f in frames], [float(f.pts * f.time_base) for f in frames]


# Pure parts


def test_newest_keeps_the_newest_and_counts_the_others():
    slot = Newest()
    for number in range(5):
        slot.put(RED, number)
    assert slot.take(0)[1] == 4
    assert slot.replaced == 4
    assert slot.take(0.01) is None
    threading.Timer(0.05, slot.end).start()
    assert slot.take() is None


@given(st.lists(st.floats(0, 1e6) | st.just(5.0), min_size=1), st.sampled_from([1.0, 29.97, 60.0]))
def test_ticks_rise_from_zero_whatever_the_times(times, rate):
    timeline = Timeline(rate)
    ticks = [timeline.place(t) for t in times]
    assert ticks[0] == 0
    assert all(b > a for a, b in itertools.pairwise(ticks))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_rising_times_are_kept_to_the_tick(steps):
    times = [10.0 + sum(steps[: n + 1]) / 1000 for n in range(len(steps))]
    timeline = Timeline(30)
    assert [timeline.place(t) for t in times] == [round((t - times[0]) * CLOCK) for t in times]


def test_a_time_that_goes_back_goes_on_and_a_still_one_steps():
    timeline = Timeline(10)
    seconds = [timeline.place(t) / CLOCK for t in (100.0, 101.0, 101.0, 3.0, 4.5)]
    assert seconds == pytest.approx([0, 1, 1.1, 1.2, 2.7])


@given(st.integers(1, 70), st.integers(1, 70), st.integers(8, 40), st.integers(8, 40))
def test_fit_always_gives_the_size_asked_for(height, width, wide, high):
    assert fit(np.zeros((height, width, 3), np.uint8), 2 * wide, 2 * high).shape == (2 * high, 2 * wide, 3)


def test_fit_puts_bars_around_and_keeps_the_shape():
    out = fit(np.full((50, 100, 3), 200, np.uint8), 100, 100)
    assert (out[25:75] == 200).all()
    assert not out[:25].any()
    assert not out[75:].any()


# Recording


@pytest.mark.parametrize("suffix", sorted(record.FORMATS))
def test_a_recording_has_every_picture_at_its_time(tmp_path, suffix):
    path = tmp_path / f"o u:t{suffix}"
    times = [5.0, 5.033, 5.1, 5.1001, 9.0]
    recorder = Recorder(path, wait=True)
    for t in times:
        recorder.show(RED, t)
    recorder.close()
    recorder.close()
    images, got = read(path)
    zero = got[0]
    assert [t - zero for t in got] == pytest.approx([t - 5.0 for t in times], abs=0.0011)
    assert images[0].shape == RED.shape
    assert np.abs(images[-1].astype(int) - RED).max() < 12, "the colours are those that were shown"
    assert (recorder.recorded, recorder.dropped) == (5, 0)
    assert not recorder.closed


def test_odd_and_changing_sizes(tmp_path):
    path = tmp_path / "out.mp4"
    recorder = Recorder(path, wait=True)
    for number, shape in enumerate([(121, 161), (720, 1280), (1, 1), (300, 20)]):
        recorder.show(noise(*shape), number / 30)
    recorder.close()
    images, _ = read(path)
    assert [i.shape for i in images] == [(122, 162, 3)] * 4


def test_one_pixel(tmp_path):
    recorder = Recorder(tmp_path / "out.mp4", wait=True)
    recorder.show(noise(1, 1), 0.0)
    recorder.close()
    assert read(tmp_path / "out.mp4")[0][0].shape == (16, 16, 3)


def test_live_never_waits_and_counts_what_it_drops(tmp_path, monkeypatch):
    slow = video.VideoWriter.write

    def write(self, image, t):
        time.sleep(0.05)
        slow(self, image, t)

    monkeypatch.setattr(video.VideoWriter, "write", write)
    recorder = Recorder(tmp_path / "out.mp4", wait=False)
    begin = time.monotonic()
    for number in range(100):
        recorder.show(RED, number / 30)
    assert time.monotonic() - begin < 0.5
    recorder.close()
    assert recorder.dropped > 0
    assert recorder.recorded + recorder.dropped == 100
    assert len(read(tmp_path / "out.mp4")[0]) == recorder.recorded


def test_waiting_loses_nothing(tmp_path):
    recorder = Recorder(tmp_path / "out.mp4", wait=True)
    for number in range(200):
        recorder.show(RED, number / 30)
    recorder.close()
    assert len(read(tmp_path / "out.mp4")[0]) == 200


def test_another_encoder_if_x264_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "ENCODERS", ("libx264-of-another-build", "mpeg4"))
    recorder = Recorder(tmp_path / "out.mp4", wait=True)
    recorder.show(RED, 0.0)
    recorder.show(RED, 0.04)
    recorder.close()
    assert recorder.encoder == "mpeg4"
    assert len(read(tmp_path / "out.mp4")[0]) == 2


def test_no_encoder_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "ENCODERS", ("no-such-encoder",))
    with pytest.raises(OutputError, match="encodes no video"):
        Recorder(tmp_path / "out.mp4", wait=True)


@pytest.mark.parametrize("name", ["out", "out.gif", "out.mp4.txt"])
def test_an_unknown_extension(tmp_path, name):
    with pytest.raises(OutputError, match=r"must end in \.mp4"):
        Recorder(tmp_path / name, wait=True)


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        Recorder(tmp_path / "missing" / "out.mp4", wait=True)
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        Recorder(tmp_path / "dir.mp4", wait=True)


def test_an_old_recording_stays_until_a_picture_comes_and_nothing_leaves_no_file(tmp_path):
    old, new = tmp_path / "old.mp4", tmp_path / "new.mp4"
    old.write_bytes(b"precious")
    for path in (old, new):
        Recorder(path, wait=True).close()
    assert old.read_bytes() == b"precious"
    assert not new.exists()


KILLED = """
import sys, time
sys.path.insert(0, {root!r})
import numpy as np
from stream.views.record import Recorder
recorder = Recorder({path!r}, wait=True)
for number in range(300):
    recorder.show(np.full((120, 160, 3), number % 256, np.uint8), number / 30)
while recorder.recorded < 300:
    time.sleep(0.01)
print("there", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_program_leaves_a_readable_file(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    code = KILLED.format(root=str(ROOT), path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "there\n"
        program.send_signal(signal.SIGKILL)
    images, times = read(path)
    assert times[-1] - times[0] > 10 - 2.2, "at most the last two seconds are missing"
    assert len(images) == round((times[-1] - times[0]) * 30) + 1


FULL = """
import logging, resource, sys, time
sys.path.insert(0, {root!r})
import numpy as np
from stream.views.record import Recorder
logging.basicConfig(level=logging.ERROR, format="%(message)s")
recorder = Recorder({path!r}, wait=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
for number in range(300):
    recorder.show(np.roll(picture, number, 1), number / 30)
recorder.close()
print(recorder.recorded, recorder.dropped)
"""


def test_a_full_disk_ends_the_recording_not_the_program(tmp_path):
    """A limit on the file's size stands for the disk."""
    path = tmp_path / "out.mp4"
    code = FULL.format(root=str(ROOT), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    recorded, dropped = map(int, done.stdout.split())
    assert dropped > 0
    assert recorded < 300
    lines = [text for text in done.stderr.splitlines() if text.startswith("recording")]
    assert len(lines) == 1
    assert "File too large" in lines[0]
    with av.open(str(path)) as container:
        readable = 0
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.InvalidDataError):  # the last one is cut
                readable += len(packet.decode())
    assert readable >= recorded - 32, "what was recorded is readable but for the last fragment"


# Window


def test_no_display_is_one_clear_line(monkeypatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have one")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoDisplay, match="neither DISPLAY nor WAYLAND_DISPLAY"):
        Window("x")


def test_an_opencv_without_windows_is_named(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    with pytest.raises(NoDisplay, match="opencv-python-headless"):
        Window("x")


def test_the_window_and_its_process_import_no_pyav():
    code = "import stream.views.window, stream.views.process, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


STAGE = """
import os, sys, cv2
log = open(os.environ["STAGE"], "a", buffering=1)
keys = []
def named(title, flags): print("title", title, file=log)
def show(title, image):
    print("shown", *image.shape[:2], image[0, 0, 0], file=log)
    action = {7: lambda: keys.append(ord("q")), 8: lambda: keys.append("x"), 9: lambda: os._exit(7)}
    action.get(int(image[0, 0, 0]), lambda: None)()
def key(wait): return keys.pop() if keys and keys[-1] != "x" else -1
def prop(title, which):
    if "x" in keys: raise cv2.error("no window")
    return 1.0
cv2.namedWindow, cv2.imshow, cv2.waitKey, cv2.getWindowProperty = named, show, key, prop
cv2.resizeWindow = lambda *a: print("size", *a[1:], file=log)
cv2.destroyAllWindows = lambda: print("closed", file=log)
if os.environ.get("BROKEN"): cv2.namedWindow = lambda *a: os.abort()
print("av" in sys.modules, file=log)
"""


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Path:
    """OpenCV's windows on paper: the window's process runs for real, what it draws is written down."""
    (tmp_path / "sitecustomize.py").write_text(STAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STAGE", str(tmp_path / "stage"))
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           QT5\n")
    return tmp_path / "stage"


def grey(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_the_window_shows_the_newest_picture_of_any_size_and_ends(stage):
    window = Window("rtsp://user:hunter2@cam/ tür")
    begin = time.monotonic()
    for number in range(500):
        window.show(grey(50 + number % 100, 720, 1280), number / 30)
    assert time.monotonic() - begin < 1.0, "never waits"
    for level, shape in ((1, (240, 320)), (2, (2160, 3840)), (3, (1, 1)), (4, (720, 1281))):
        window.show(grey(level, *shape), 0)
        wait_for(lambda level=level: f" {level}\n" in stage.read_text())
    assert not window.closed
    window.close()
    said = stage.read_text().splitlines()
    assert "title rtsp://***@cam/ tür" in said
    assert "shown 1080 1920 2" in said
    assert said[-1] == "closed"
    assert sum("shown" in line for line in said) < 100


@pytest.mark.parametrize("level", [7, 8], ids=["key q", "closed by its frame"])
def test_the_viewer_ends_the_pump(stage, level):
    window = Window("x")
    window.show(grey(level), 0)
    wait_for(lambda: window.closed)
    window.show(grey(1), 1)
    window.close()
    assert window.closed


def test_a_window_that_dies_does_not_end_the_pump(stage, caplog):
    window = Window("x")
    window.show(grey(9), 0)
    wait_for(lambda: "the window is gone" in caplog.text)
    window.show(grey(1), 1)
    assert not window.closed
    window.close()


def test_a_window_that_hangs_is_killed(stage):
    window = Window("x")
    os.kill(window._process.pid, signal.SIGSTOP)
    begin = time.monotonic()
    for number in range(50):
        window.show(grey(1, 720, 1280), number)
    assert time.monotonic() - begin < 0.5
    window.close()
    assert time.monotonic() - begin < 10
    assert window._process.ended


def test_a_display_that_nobody_serves(stage, monkeypatch):
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(NoDisplay, match="cannot be opened"):
        Window("x")


@pytest.fixture
def screen(monkeypatch) -> Iterator[str]:
    if "GUI:                           NONE" in cv2.getBuildInformation():
        pytest.skip("this OpenCV opens no windows (headless build)")
    for tool in ("Xvfb", "xdotool"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            display = ":" + pipe.readline().strip()
        monkeypatch.setenv("DISPLAY", display)
        yield display
        server.terminate()


def test_a_real_window(screen):
    """On a real X server with PyAV imported here: it stands, shows, and q ends it."""
    window = Window("facewitness test")
    for number in range(10):
        window.show(noise(240, 320, number), number / 30)
        time.sleep(0.03)
    found = subprocess.run(
        ["xdotool", "search", "--name", "facewitness test"], capture_output=True, text=True
    )
    subprocess.run(["xdotool", "windowfocus", found.stdout.split()[-1], "key", "q"], check=True)
    wait_for(lambda: window.closed, 5)
    window.close()


def test_a_process_tells_what_broke_it_without_credentials(tmp_path, monkeypatch):
    (tmp_path / "breaks.py").write_text("def serve(argument, parent): raise OSError(argument)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = PictureProcess("breaks", "no rtsp://user:hunter2@cam/")
    assert not process.ready(20)
    process.close()
    assert process.why() == "OSError: no rtsp://***@cam/"


# Push


class Reader:
    """A receiver in a process of its own that prints each picture that it decodes."""

    CODE = (
        "import av, sys\n"
        "with av.open(sys.argv[1], options=eval(sys.argv[2])) as c:\n"
        "    for f in c.decode(video=0):\n"
        "        print(f.width, f.height, f.to_ndarray(format='bgr24')[60, 80].tolist(), flush=True)\n"
    )

    def __init__(self, url: str, **options: str) -> None:
        options = {"probesize": "100000", "analyzeduration": "300000", **options}
        command = [sys.executable, "-c", self.CODE, url, repr(options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join(5)
        if self.process.stdout:
            self.process.stdout.close()


class Feed:
    """Shows red pictures at 30 a second and notes the longest time that `show` took."""

    def __init__(self, view: Push) -> None:
        self.view, self.longest = view, 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended.wait(1 / 30):
            begin = time.perf_counter()
            self.view.show(RED, time.monotonic())
            self.longest = max(self.longest, time.perf_counter() - begin)

    def end(self) -> None:
        self.ended.set()
        self.thread.join()
        self.view.close()


def test_udp_push_is_read_back(caplog):
    caplog.set_level(logging.INFO)
    port = free_port(socket.SOCK_DGRAM)
    reader = Reader(f"udp://127.0.0.1:{port}")
    feed = Feed(Push(f"udp://127.0.0.1:{port}?pkt_size=1316"))
    wait_for(lambda: len(reader.lines) > 20)
    feed.end()
    reader.kill()
    width, height, *pixel = reader.lines[-1].split(maxsplit=2)
    assert (width, height) == ("160", "120")
    assert np.abs(np.array(eval(pixel[0])) - (0, 0, 255)).max() < 12
    assert "pushing to udp" in caplog.text
    assert feed.longest < 0.1
    assert not feed.view.closed


def test_rtsp_push_comes_back_after_its_server_and_hides_its_credentials(caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(push, "MOST", 1.0)
    port = free_port()
    url = f"rtsp://127.0.0.1:{port}/live"
    options = {"rtsp_flags": "listen", "listen_timeout": "20"}
    view = Push(f"rtsp://user:hunter2@127.0.0.1:{port}/live")  # starting with the server down is fine
    feed = Feed(view)
    wait_for(lambda: "fails, trying again" in caplog.text)
    for _ in range(2):
        reader = Reader(url, **options)
        wait_for(lambda reader=reader: len(reader.lines) > 10)
        reader.kill()
    feed.end()
    assert caplog.text.count("pushing to rtsp://") >= 2
    assert "hunter2" not in caplog.text
    assert feed.longest < 0.1


def test_a_server_that_accepts_and_says_nothing_is_given_up(caplog, monkeypatch):
    """PyAV waits for it with the interpreter's lock held; that must be the child's trouble alone."""
    monkeypatch.setattr(push, "STALL", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        feed = Feed(Push(f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/secret-stream-key"))
        wait_for(lambda: "no progress for 2 s" in caplog.text)
        begin = time.monotonic()
        feed.end()
        assert time.monotonic() - begin < 10
    assert "secret-stream-key" not in caplog.text
    assert feed.longest < 0.1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://u:hunter2@h/x", "known are rtsp://"),
        ("out.mp4", "known are rtsp://"),
        ("rtmp:///live", "needs a host"),
        ("rtsp://h:port/x", "needs a host"),
        ("/dev/video-not-here", "no such device|no virtual camera"),
    ],
)
def test_a_push_that_cannot_be(url, why):
    with pytest.raises(OutputError, match=why) as caught:
        Push(url)
    assert "hunter2" not in str(caught.value)


def test_srt_is_refused_at_once_where_ffmpeg_lacks_it(monkeypatch):
    monkeypatch.setattr(push, "speaks_srt", lambda: False)
    with pytest.raises(OutputError, match="without srt"):
        Push("srt://127.0.0.1:9")


# All of them


def test_open_views_opens_what_was_asked_for_and_leaves_nothing_open(tmp_path, monkeypatch):
    path = tmp_path / "out.mp4"
    views = open_views(show=False, record=str(path), push="udp://127.0.0.1:9", title="x", wait=True)
    assert [type(v) for v in views] == [Recorder, Push]
    for view in views:
        view.close()
    before = threading.active_count()
    with pytest.raises(OutputError, match="known are rtsp"):
        open_views(show=False, record=str(path), push="nowhere", title="x", wait=True)
    assert threading.active_count() == before
    assert open_views(show=False, record=None, push=None, title="x", wait=True) == []
