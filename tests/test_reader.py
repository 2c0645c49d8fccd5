"""The live reader: newest frame only, and it comes back whatever happens to the server or to its child."""

import itertools
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

from stream import errors
from stream.backoff import Backoff
from stream.child import LINES
from stream.reader import LiveReader
from stream.sources import SourceOptions
from stream.values import Frame
from stream.wire import End, Order, read, write_end, write_frame
from tests.clips import cut, number_of, numbered, portraits, write_clip
from tests.servers import RtspServer, Sender, free_port, lossy_relay, mute_server, wait_for

ROOT = Path(__file__).parents[1]


def quick() -> Backoff:
    return Backoff(0.1, 0.3)


def open_reader(url: str, retries: int | None = None, **options: object) -> LiveReader:
    return LiveReader(url, SourceOptions(**{"stall": 1.5, **options}), retries=retries, backoff=quick())


def take(reader: LiveReader, count: int, seconds: float = 20) -> list[Frame]:
    frames: list[Frame] = []
    end = time.monotonic() + seconds
    while len(frames) < count and time.monotonic() < end:
        frame = reader.newest(0.2)
        if frame is not None:
            frames.append(frame)
    assert len(frames) == count, f"{len(frames)} frames, {reader.note}"
    return frames


def outcome(reader: LiveReader, seconds: float = 20) -> Exception:
    """The error with which a reader gives up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            reader.newest(0.2)
        except errors.SourceError as error:
            return error
    pytest.fail(f"the reader does not give up: {reader.note}")


def children() -> set[int]:
    return {p.pid for p in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """After each test: no child, no zombie, no thread of a reader."""
    before = children()
    yield
    assert wait_for(lambda: children() <= before, 3)
    names = [t.name for t in threading.enumerate()]
    assert not [n for n in names if n.startswith(("reader of", "watchdog of", "log of"))]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_comes_back_after_the_server_was_killed(transport: str) -> None:
    with RtspServer() as server, closing(open_reader(server.url, rtsp_transport=transport)) as reader:
        before = take(reader, 20)
        assert reader.connected
        assert reader.note == ""
        server.kill()
        assert wait_for(lambda: not reader.connected, 5)
        assert wait_for(lambda: "reconnecting in" in reader.note, 3)
        server.start()
        after = take(reader, 20)
        frames = before + after
        assert all(a.time < b.time for a, b in itertools.pairwise(frames))
        assert all(a.index < b.index for a, b in itertools.pairwise(frames))
        wall = after[0].captured - before[-1].captured
        assert after[0].time - before[-1].time == pytest.approx(wall, abs=0.1)
        assert reader.frames == frames[-1].index + 1 or reader.frames > frames[-1].index


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_notices_a_frozen_server_and_comes_back(transport: str) -> None:
    with RtspServer() as server, closing(open_reader(server.url, rtsp_transport=transport)) as reader:
        take(reader, 10)
        server.freeze()
        begin = time.monotonic()
        assert wait_for(lambda: not reader.connected, 6)
        assert 1.0 < time.monotonic() - begin < 3.5
        assert wait_for(lambda: "no picture" in reader.note or "no answer" in reader.note, 3)
        server.thaw()
        take(reader, 10)


def test_frames_that_nobody_wants_wake_nobody_and_are_counted_all_the_same() -> None:
    with RtspServer() as server, closing(open_reader(server.url)) as reader:
        first = take(reader, 5)[-1]
        reader.want(math.inf)
        while reader.newest(0.2) is not None:  # what was on its way
            pass
        before = reader.frames
        assert wait_for(lambda: reader.frames >= before + 60, 10)  # longer than `stall`: no silence
        assert reader.newest(0.1) is None
        assert reader.connected
        assert reader.note == ""
        due = time.monotonic() + 0.5
        reader.want(due)
        frame = take(reader, 1)[0]
        assert due <= frame.captured < due + 0.3
        assert frame.index >= before + 60 > first.index
        assert frame.image.shape == first.image.shape
        assert frame.time - first.time == pytest.approx(frame.captured - first.captured, abs=0.1)
        assert reader.dropped >= 60


def test_silence_is_noticed_while_nothing_is_wanted() -> None:
    with RtspServer() as server, closing(open_reader(server.url)) as reader:
        take(reader, 10)
        reader.want(math.inf)
        server.freeze()
        assert wait_for(lambda: not reader.connected, 6)
        reader.want(-math.inf)
        server.thaw()
        take(reader, 10)


def test_server_that_comes_later() -> None:
    with RtspServer() as server:
        server.kill()
        with closing(open_reader(server.url)) as reader:
            assert reader.newest(0.8) is None
            assert wait_for(lambda: "connection refused" in reader.note, 5)
            server.start()
            take(reader, 5)


def test_first_frame_comes_soon() -> None:
    with RtspServer() as server:
        with closing(open_reader(server.url)) as warm:
            take(warm, 1)
        begin = time.monotonic()
        with closing(open_reader(server.url)) as reader:
            take(reader, 1)
            assert time.monotonic() - begin < 3.0  # 0.7 s on an idle machine


def test_wrong_password_is_final(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspServer("viewer", "right-one", "basic") as server:
        url = server.url.replace("://", "://viewer:hunter2%21@")
        with closing(open_reader(url)) as reader:
            error = outcome(reader)
            texts = [str(error), reader.note, reader.name, caplog.text]
    assert isinstance(error, errors.Unauthorized)
    for text in texts:
        assert "hunter2" not in text
        assert "viewer" not in text


@pytest.mark.parametrize(
    ("place", "kind"), [("/nope", errors.NotFound), (None, errors.Unreachable)], ids=["404", "wrong port"]
)
def test_gives_up_after_its_retries(place: str | None, kind: type[errors.SourceError]) -> None:
    with RtspServer() as server:
        url = f"rtsp://127.0.0.1:{free_port()}/x" if place is None else server.url + place
        with closing(open_reader(url, retries=2)) as reader:
            assert type(outcome(reader)) is kind
            with pytest.raises(kind):  # it stays so
                reader.newest(0)


def test_unknown_scheme_is_said_at_once() -> None:
    with pytest.raises(errors.UnknownScheme):
        LiveReader("gopher://host/x")


def test_tells_a_lasting_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="stream")
    with closing(open_reader(f"rtsp://127.0.0.1:{free_port()}/x", retries=4)) as reader:
        outcome(reader)
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "connection refused" in warnings[0].getMessage()


def test_killed_child_is_replaced() -> None:
    with RtspServer() as server, closing(open_reader(server.url)) as reader:
        take(reader, 5)
        assert reader._child is not None
        first = reader._child.pid
        os.kill(first, signal.SIGKILL)
        assert wait_for(lambda: not reader.connected, 3)
        take(reader, 5)
        assert reader._child.pid != first


def test_hanging_child_is_killed() -> None:
    """SIGSTOP is what a hang inside FFmpeg or a driver looks like from outside."""
    with RtspServer() as server, closing(open_reader(server.url)) as reader:
        take(reader, 5)
        assert reader._child is not None
        os.kill(reader._child.pid, signal.SIGSTOP)
        assert wait_for(lambda: not reader.connected, 4)
        take(reader, 5)


def test_server_that_never_answers() -> None:
    with mute_server() as port:
        reader = open_reader(f"rtsp://127.0.0.1:{port}/x", retries=1, open_timeout=1.0)
        with closing(reader):
            assert isinstance(outcome(reader, 10), errors.Unreachable)


@pytest.mark.parametrize("state", ["running", "connecting", "waiting", "stopped"])
def test_close_within_two_seconds(state: str) -> None:
    with RtspServer() as server, mute_server() as port:
        urls = {"connecting": f"rtsp://127.0.0.1:{port}/x", "waiting": f"rtsp://127.0.0.1:{free_port()}/x"}
        reader = open_reader(urls.get(state, server.url), open_timeout=30)
        if state in ("running", "stopped"):
            take(reader, 3)
        else:
            time.sleep(1.0)
        if state == "stopped":
            assert reader._child is not None
            os.kill(reader._child.pid, signal.SIGSTOP)
        begin = time.monotonic()
        reader.close()
        assert time.monotonic() - begin < 2
        reader.close()


def test_a_slow_consumer_gets_fresh_frames_and_drops_are_counted() -> None:
    port = free_port()
    with (
        Sender(f"udp://127.0.0.1:{port}?pkt_size=1316", "mpegts") as sender,
        closing(open_reader(f"udp://127.0.0.1:{port}", stall=5)) as reader,
    ):
        take(reader, 1)
        taken, ages, numbers = 1, [], []
        for _ in range(8):
            time.sleep(0.4)  # twelve frames long
            (frame,) = take(reader, 1)
            now = time.monotonic()
            taken += 1
            numbers.append(number_of(frame.image))
            # From the moment that the picture was made: encoder, network, decoder and pipe included.
            ages.append(now - sender.made[numbers[-1]])
            assert now - frame.captured < 0.2
        assert np.median(ages) < 0.2
        assert min(np.diff(numbers)) >= 8
        frames, dropped = reader.frames, reader.dropped
        assert abs(frames - dropped - taken) <= 2  # the slot may hold one, and one may come between
        assert dropped > 60


def test_damage_crosses_the_pipe() -> None:
    port = free_port()
    with (
        lossy_relay(port, lambda n: n > 30 and n % 17 == 0) as relay,
        Sender(f"udp://127.0.0.1:{relay}?pkt_size=1316", "mpegts"),
        closing(open_reader(f"udp://127.0.0.1:{port}", stall=5)) as reader,
    ):
        marked = [f.corrupt for f in take(reader, 75)]
    assert any(marked)
    assert not all(marked)


def test_a_played_file_ends_well(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", numbered(30))
    reader = LiveReader(str(path), SourceOptions(realtime=True), reconnect=False)
    with closing(reader):
        frames = take(reader, 25)
        assert number_of(frames[0].image) == 0
        assert wait_for(lambda: reader.newest(0.1) is None and reader.finished, 10)
        assert reader.frames == 30
        assert reader.newest(0) is None


def test_a_played_file_ends_badly_after_its_last_frame(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", portraits(40), gop=10)
    short = cut(tmp_path / "short.mkv", whole, 0.4)
    reader = LiveReader(str(short), SourceOptions(realtime=True), reconnect=False)
    with closing(reader):
        take(reader, 5)
        assert isinstance(outcome(reader), errors.Truncated)
        assert reader.frames >= 8
    with closing(
        LiveReader(str(tmp_path / "none.mp4"), SourceOptions(realtime=True), reconnect=False)
    ) as reader:
        assert isinstance(outcome(reader), errors.FileMissing)


# No main guard, and a main program that must not be imported again.
_SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
sys.path.insert(0, {root!r})
print("main", flush=True)
from stream.reader import LiveReader
from stream.sources import SourceOptions
reader = LiveReader({path!r}, SourceOptions(realtime=True))
while reader.newest(0.2) is None: pass
print(reader._child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_dies_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", numbered(900), options={"preset": "ultrafast", "tune": "zerolatency"}
    )
    script = tmp_path / "program.py"
    script.write_text(_SCRIPT.format(root=str(ROOT), path=str(path)))
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout
    assert parent.stdout.readline() == "main\n"
    line = parent.stdout.readline()
    assert line.strip().isdigit()  # not "main" again
    child = psutil.Process(int(line))
    # What the child loads stays light: none of the heavy libraries is in it.
    loaded = {Path(m.path).name for m in child.memory_maps()}
    assert not [name for name in loaded if "onnxruntime" in name or "torch" in name]
    assert "127" not in " ".join(child.cmdline())
    parent.send_signal(how)
    parent.wait(10)
    parent.stdout.close()
    assert wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5)


def test_no_url_in_the_process_list() -> None:
    with closing(open_reader("rtsp://viewer:hunter2@127.0.0.1:9/x")) as reader:
        assert wait_for(lambda: reader._child is not None, 5)
        lines = [" ".join(p.cmdline()) for p in psutil.Process().children()]
    assert lines
    assert not any("hunter2" in line for line in lines)


def test_a_childs_flood_of_lines_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stream with damage everywhere makes FFmpeg talk in every frame."""
    caplog.set_level(logging.WARNING, logger="stream")
    port = free_port()
    with (
        lossy_relay(port, lambda n: n > 30 and n % 3 == 0) as relay,
        Sender(f"udp://127.0.0.1:{relay}?pkt_size=1316", "mpegts"),
        closing(open_reader(f"udp://127.0.0.1:{port}", stall=5)) as reader,
    ):
        take(reader, 1)
        time.sleep(4)
    assert 0 < len(caplog.records) <= LINES + 3


def test_messages_cross_the_pipe_whole() -> None:
    out, into = os.pipe()
    image = np.random.default_rng(0).integers(0, 256, (37, 41, 3), dtype=np.uint8)
    frame = Frame(image[:, ::-1], 1.25, 99.5, 7, corrupt=True)
    got: list[Frame | End | None] = []
    thread = threading.Thread(target=lambda: got.extend([read(out), read(out), read(out)]))
    thread.start()
    write_frame(into, frame)
    write_end(into, End("NotFound", 'a "line"'))
    os.write(into, b"half")
    os.close(into)
    thread.join()
    os.close(out)
    back, end, nothing = got
    assert isinstance(back, Frame)
    np.testing.assert_array_equal(back.image, frame.image)
    assert (back.time, back.captured, back.index, back.corrupt) == (1.25, 99.5, 7, True)
    assert isinstance(end, End)
    assert type(end.error()) is errors.NotFound
    assert nothing is None


def test_junk_in_the_pipe_is_an_error() -> None:
    out, into = os.pipe()
    os.write(into, b"\x07" * 200)
    with pytest.raises(ValueError, match="format"):
        read(out)
    os.close(into)
    os.close(out)
    assert type(End("NoSuchError", "x").error()) is errors.Unreachable
    assert End("", "").error() is None


def test_orders_survive_json() -> None:
    import json

    order = Order("rtsp://a/b", SourceOptions(resolution=(640, 480), rate=12.5, realtime=True))
    assert Order.from_dict(json.loads(order.to_line())) == order
