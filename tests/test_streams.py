"""Many streams in one process, on real servers and files: isolation, edits, ends and exit codes."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import psutil
import pytest

from tests import clips
from tests.servers import RtspServer, mute_server, wait_for
from tests.test_cli import ENVIRONMENT, free_port, one_line, run
from tests.test_watch_live import STILL

QUIET = ("--quiet", "--provider", "cpu")


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A face for a minute."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return clips.write_clip(path, clips.portraits(600, step=0), rate=10, gop=10)


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A face for a second."""
    return clips.write_clip(tmp_path_factory.mktemp("clips") / "short.mp4", clips.portraits(30), gop=15)


class Many:
    """The real command on a streams.toml that the test edits; ends with the block."""

    def __init__(self, folder: Path, text: str, *words: str) -> None:
        self.folder, self.file, self.log = folder, folder / "streams.toml", folder / "log.jsonl"
        self.meter = folder / "meter.json"
        self.edit(text)
        command = [sys.executable, "-m", "stream.cli", "watch", "--config", str(self.file), *words]
        command += ["--scores", str(folder / "{name}.jsonl"), "--meter", str(self.meter)]
        command += ["--log", "json", "--provider", "cpu"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stderr=log, stdout=log)

    def __enter__(self) -> "Many":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def edit(self, text: str) -> None:
        """As editors do it: a new file in place of the old one."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.file)

    def said(self) -> str:
        return self.log.read_text()

    def says(self, word: str, seconds: float = 20) -> bool:
        return wait_for(lambda: word in self.said(), seconds)

    def times(self, name: str) -> list[float]:
        """s, of all scores of a stream."""
        path = self.folder / f"{name}.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [line["time"] for line in lines if line["value"] is not None]

    def goes_on(self, name: str, seconds: float = 20) -> bool:
        """Whether scores of a stream come that were not there before."""
        before = len(self.times(name))
        return wait_for(lambda: len(self.times(name)) >= before + 4, seconds)

    def end(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(timeout=15)


@contextlib.contextmanager
def rtsp(folder: Path, *account: str) -> Iterator[RtspServer]:
    still = folder / "still.jpg"
    cv2.imwrite(str(still), clips.portrait(640, 480))
    with RtspServer(*account, launch=STILL.replace("{still}", str(still))) as server:
        yield server


def stream(name: str, source: object, more: str = "") -> str:
    return f'[[stream]]\nname = "{name}"\nsource = "{source}"\n{more}\n'


def played(name: str, clip: Path, more: str = "") -> str:
    return stream(name, clip, f"realtime = true\n{more}")


def gaps(times: list[float]) -> float:
    """s, the longest time without a score."""
    return max(b - a for a, b in pairwise(times))


def test_one_dies_and_one_freezes_and_the_third_is_not_delayed(tmp_path):
    folders = [tmp_path / name for name in ("dies", "freezes", "lives", "watch")]
    for folder in folders:
        folder.mkdir()
    with rtsp(folders[0]) as dies, rtsp(folders[1]) as freezes, rtsp(folders[2]) as lives:
        text = "[defaults]\nstall = 2\n" + stream("dies", dies.url) + stream("freezes", freezes.url)
        with Many(folders[3], text + stream("lives", lives.url)) as many:
            for name in ("dies", "freezes", "lives"):
                assert many.goes_on(name, 40), many.said()
            calm = len(many.times("lives"))
            dies.kill()
            freezes.freeze()
            assert many.says("no picture for 2 s", 15), many.said()
            assert many.says("trying again", 15), many.said()
            time.sleep(4)
            dies.start()
            freezes.thaw()
            assert many.goes_on("dies", 40), many.said()
            assert many.goes_on("freezes", 40), many.said()
            assert many.end() == 128 + signal.SIGTERM
        assert gaps(many.times("lives")[calm - 1 :]) < 1.0
        report = json.loads(many.meter.read_text())
        ages = {each["name"]: each["stages"]["age"] for each in report["streams"]}
        assert ages["lives"]["p95_ms"] < 1000
        assert "Traceback" not in many.said()


def test_a_wrong_password_ends_its_stream_alone_and_is_not_shown(tmp_path, long):
    server_folder = tmp_path / "server"
    server_folder.mkdir()
    with rtsp(server_folder, "guard", "s3cr3t", "basic") as server:
        wrong = server.url.replace("://", "://guard:wr0ng@")
        right = server.url.replace("://", "://guard:s3cr3t@")
        text = stream("locked", wrong) + stream("open", right) + played("clip", long)
        with Many(tmp_path, text) as many:
            assert many.says("locked: rtsp://***@127.0.0.1", 30), many.said()
            assert many.goes_on("open", 40), many.said()
            assert many.goes_on("clip", 40), many.said()
            assert many.end(signal.SIGINT) == 128 + signal.SIGINT
        said = many.said() + many.meter.read_text()
        assert "wr0ng" not in said
        assert "s3cr3t" not in said
        done = run(
            "watch", wrong, wrong + "?again", *QUIET
        )  # and when none is left, its code is the program's
        assert done.returncode == 20
        assert "wr0ng" not in done.stderr


def test_an_edit_adds_removes_and_alters_while_the_others_go_on(tmp_path, long):
    with Many(tmp_path, played("stays", long) + played("goes", long)) as many:
        assert many.goes_on("stays", 40), many.said()
        assert many.goes_on("goes", 40), many.said()
        many.edit(played("stays", long, "priority = 3") + played("comes", long))
        assert many.goes_on("comes", 30), many.said()
        gone = len(many.times("goes"))
        assert many.said().count("watching stays") == 1  # its new priority needs no new start
        many.edit(played("stays", long, "priority = 3") + played("comes", long, "min-face = 40"))
        assert wait_for(lambda: many.said().count("watching comes") == 2, 30), many.said()
        before = many.times("comes")
        assert many.goes_on("comes", 30), many.said()
        assert many.times("comes")[: len(before)] == before  # its score log goes on
        assert len(many.times("goes")) == gone
        assert gaps(many.times("stays")) < 1.5
        assert many.end() == 128 + signal.SIGTERM
        assert {each["name"] for each in json.loads(many.meter.read_text())["streams"]} == {
            *("stays", "goes", "comes")
        }


def test_a_broken_edit_is_told_in_one_line_and_changes_nothing(tmp_path, long):
    good = played("stays", long)
    with Many(tmp_path, good) as many:
        assert many.goes_on("stays", 40), many.said()
        edits = {
            good + "[[stream]\n": "not TOML",
            good + stream("new", "x", "colour = 1"): "[[stream]] 2 ('new'): unknown key 'colour'",
            good + stream("new", "rtsp://guard:s3cr3t@h/1", 'model = "none.onnx"'): "new: model none.onnx",
            good + stream("new", "gopher://h/1"): "unknown scheme",
            f'source = "{long}"': "no [[stream]] in it",
            good + stream("new", "x", 'alert = "pigeon:1"'): "pigeon",
        }
        for text, says in edits.items():
            many.edit(text)
            assert many.says(says, 15), (says, many.said())
        assert many.said().count("nothing is changed") == len(edits)
        many.edit("threads = 2\n" + good)
        assert many.says("threads: taken up at the next start", 15), many.said()
        assert many.goes_on("stays"), many.said()
        assert many.said().count("watching ") == 1
        assert "s3cr3t" not in many.said()
        assert many.end() == 128 + signal.SIGTERM


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


def test_the_page_shows_all_streams_and_follows_edits(tmp_path, long):
    with Many(tmp_path, played("one", long) + played("two", long), "--serve", "127.0.0.1:0") as many:
        assert many.goes_on("two", 40), many.said()
        found = re.search(r"facewitness: (http://\S+)", many.said())
        assert found

        def rows() -> dict[str, dict]:
            with urllib.request.urlopen(f"{found[1]}api/streams", timeout=10) as answer:
                return {row["name"]: row for row in json.load(answer)["streams"]}

        assert rows().keys() == {"one", "two"}
        assert wait_for(lambda: all(row["connected"] for row in rows().values()), 20)
        many.edit(played("two", long) + played("three", long))
        assert wait_for(lambda: rows().keys() == {"two", "three"}, 20), rows()
        assert many.end() == 128 + signal.SIGTERM


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
