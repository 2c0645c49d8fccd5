"""How many streams begin and end: what refuses the start, exit codes, signals."""

import json
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import clips
from tests.many import Many, long_clip, played, stream
from tests.servers import mute_server
from tests.test_cli import QUIET, free_port, one_line, run


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    return long_clip(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A face for a second."""
    return clips.write_clip(tmp_path_factory.mktemp("clips") / "short.mp4", clips.portraits(30), gop=15)


def test_a_signal_ends_the_dead_and_the_mute_within_seconds(tmp_path, long):
    with mute_server() as port:
        text = stream("dead", f"rtsp://127.0.0.1:{free_port()}/x") + stream(
            "mute", f"rtsp://127.0.0.1:{port}/x"
        )
        with Many(tmp_path, text + played("clip", long)) as many:
            assert many.goes_on("clip", 40), many.said()
            children = psutil.Process(many.process.pid).children(recursive=True)
            begin = time.monotonic()
            assert many.end() == 128 + signal.SIGTERM
            assert time.monotonic() - begin < 8
        assert not psutil.wait_procs(children, 3)[1]
        assert "does not end in time" not in many.said()


def test_files_and_their_exit_code(tmp_path, short):
    grey = clips.write_clip(tmp_path / "grey.mp4", (clips.portrait() * 0 + 128 for _ in range(20)))
    meter = tmp_path / "meter.json"
    done = run("watch", grey, short, tmp_path / "none.mp4", *QUIET, "--meter", meter)
    assert done.returncode in (10, 16)  # that of the first error
    assert "no face" in done.stderr
    assert "no such file" in done.stderr
    frames = {
        each["name"]: each["counts"].get("frames", 0) for each in json.loads(meter.read_text())["streams"]
    }
    assert sorted(frames.values()) == [0, 20, 30]
    done = run("watch", short, short, *QUIET)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_can_be_told_at_once_refuses_the_start(tmp_path, short):
    one_line(run("watch", short, "gopher://h/1", *QUIET), 18, "unknown scheme")
    one_line(run("watch", short, short, *QUIET, "--record", tmp_path / "x.mp4"), 2, "{name}")
    one_line(run("watch", short, short, *QUIET, "--record", short), 2, "{name}")
    one_line(run("watch", short, short, *QUIET, "--model", tmp_path / "none.onnx"), 30, "none.onnx")
    one_line(run("watch", short, short, *QUIET, "--scores", tmp_path / "none" / "{name}"), 33, "none")
    if sys.platform == "linux":
        one_line(run("watch", short, short, *QUIET, "--show"), 32, "display")
