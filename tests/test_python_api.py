"""`import facewitness`: sources, callbacks, own frames, the manual's code; nothing left behind."""

import gc
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

import facewitness
from facewitness import Phase, Scorer, State, watch
from stream.api import watch as module
from tests import clips
from tests.servers import RtspServer
from tests.test_cli import run

ROOT = Path(__file__).parent.parent
MANUAL = (ROOT / "docs/python.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", MANUAL, re.S)
PORTRAIT = ROOT / "stream/assets/grace_hopper.jpg"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return clips.write_clip(path, clips.portraits(75, step=0), gop=15)


def left_behind() -> set[str]:
    """Threads and processes that are ours."""
    threads = {t.name for t in threading.enumerate() if t.name.startswith(("stream", "alerts", "callback"))}
    return threads | {f"process {p.pid}" for p in psutil.Process().children(recursive=True) if p.is_running()}


@pytest.fixture(autouse=True)
def nothing_stays():
    before = left_behind()
    yield
    gc.collect()
    end = time.monotonic() + 10
    while left_behind() - before and time.monotonic() < end:
        time.sleep(0.05)
    assert left_behind() <= before


def test_there_are_three_examples_and_the_first_has_five_lines():
    assert len(BLOCKS) == 3
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 5


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_manuals_code_runs_as_it_stands(number: int, film: Path, tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(film.read_bytes())
    (tmp_path / "portrait.jpg").write_bytes(PORTRAIT.read_bytes())
    (tmp_path / "example.py").write_text(BLOCKS[number])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_a_strict_type_checker_accepts_the_manuals_code(tmp_path: Path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"example{number}.py").write_text(block)
    words = [
        "--strict",
        "--follow-imports=silent",
        "--ignore-missing-imports",
        "--cache-dir",
        str(tmp_path / "c"),
    ]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    files = [str(path) for path in sorted(tmp_path.glob("*.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, *files],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_there_and_says_what_it_is():
    tables = re.sub(r"```.*?```", "", MANUAL, flags=re.S)
    for name in facewitness.__all__:
        assert getattr(facewitness, name).__doc__, name
    for field in facewitness.TrackView.__slots__:
        assert f"`{field}`" in tables, field
    for field in facewitness.Alert.__slots__:
        assert f"`{field}`" in tables, field


def test_the_import_is_quick_and_loads_no_torch():
    code = "import sys, time; import facewitness; print(time.process_time(), 'torch' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert told[1] == "False"
    assert float(told[0]) < 5


def test_a_file_gives_each_frame_and_its_alerts(film: Path):
    times = [result.frame.time for result in watch(str(film), provider="cpu")]
    assert len(times) == 75
    assert times == sorted(times)
    told: list[facewitness.Alert] = []
    with watch("demo", duration=12, provider="cpu", on_alert=told.append) as seen:
        states = {result.state for result in seen}
    assert {State.CLEAR, State.ALERT} <= states
    assert [alert.phase for alert in told] == [Phase.OPENED, Phase.CLOSED]
    assert seen.skipped == 0
    assert repr(seen) == "Watch(demo)"


def test_a_slow_reader_of_a_live_source_gets_the_newest(film: Path):
    with watch(str(film), provider="cpu", realtime=True) as seen:
        times = []
        for result in seen:
            times.append(result.frame.time)
            time.sleep(0.3)
    assert len(times) < 20
    assert seen.skipped > 30
    assert max(np.diff(times)) > 0.2


def test_the_loop_may_be_left_at_any_time(film: Path):
    for result in watch(str(film), provider="cpu"):
        assert result.frame.index == 0
        break
    seen = watch(str(film), provider="cpu")

    def fail() -> None:
        with seen:
            for _ in seen:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    seen.close()
    assert list(seen) == []


def test_a_function_that_fails_or_hangs_stops_nothing(monkeypatch: pytest.MonkeyPatch, caplog):
    hanging = threading.Event()

    def fail(alert: facewitness.Alert) -> None:
        raise RuntimeError("what users write")

    with watch("demo", duration=11, provider="cpu", on_alert=fail) as seen:
        assert sum(1 for _ in seen) == 330
    assert "what users write" in caplog.text
    monkeypatch.setattr(module.Dispatcher, "close", lambda self, timeout=0.5: None)
    try:
        with watch("demo", duration=11, provider="cpu", on_alert=lambda alert: hanging.wait(60)) as seen:
            assert sum(1 for _ in seen) == 330
    finally:
        hanging.set()


def test_what_cannot_be_opened_is_one_line(tmp_path: Path):
    with pytest.raises(facewitness.SourceError, match="no such file"):
        list(watch(str(tmp_path / "none.mp4"), provider="cpu"))
    with pytest.raises(facewitness.ModelError):
        watch("demo", model=str(tmp_path / "none.onnx"), provider="cpu")
    with pytest.raises(facewitness.FacewitnessError) as caught:
        list(watch("rtsp://watchman:s3cret-word@127.0.0.1:1/x", provider="cpu", retries=0))
    assert "s3cret-word" not in str(caught.value)
    seen = watch("rtsp://watchman:s3cret-word@127.0.0.1:1/x", provider="cpu")
    assert "s3cret-word" not in repr(seen)
    assert not seen.health.connected
    seen.close()


def test_a_camera_may_go_and_come_back():
    with RtspServer() as server, watch(server.url, provider="cpu") as seen:
        results = iter(seen)
        before = [next(results).frame.time for _ in range(20)]
        assert seen.health.connected
        server.kill()
        server.start()
        after = [next(results).frame.index for _ in range(5)]
    assert before == sorted(before)
    assert len(after) == 5


def test_two_at_once_share_the_networks(film: Path):
    one, two = watch(str(film), provider="cpu"), watch(str(film), provider="cpu")
    assert one._stream.networks.detector is two._stream.networks.detector
    assert [sum(1 for _ in each) for each in (one, two)] == [75, 75]


def test_who_drops_it_ends_it(film: Path):
    seen = watch(str(film), provider="cpu", realtime=True)
    stream = seen._stream
    next(iter(seen))
    del seen
    gc.collect()
    end = time.monotonic() + 10
    while not stream.ended and time.monotonic() < end:
        time.sleep(0.05)
    assert stream.ended


def test_own_frames_get_what_the_command_says(film: Path, tmp_path: Path):
    scores = tmp_path / "scores.jsonl"
    assert run("watch", film, "--provider", "cpu", "--quiet", "--scores", scores).returncode == 0
    wanted = [json.loads(line) for line in scores.read_text().splitlines()]
    scorer, found = Scorer(provider="cpu"), []
    for result in watch(str(film), provider="cpu"):
        again = scorer.add(result.frame.image, result.frame.time)
        for view in again.tracks:
            if view.score is not None and view.score.time == again.frame.time:
                found.append((round(view.score.time, 3), view.score.value, view.state.value))
    assert scorer.finish() == ()
    assert [(line["time"], line["state"]) for line in wanted] == [(t, s) for t, _, s in found]
    for line, (_, value, _) in zip(wanted, found, strict=True):
        assert (value is None) == (line["value"] is None)
        assert value is None or value == pytest.approx(line["value"], abs=1e-5)


def test_a_single_picture_is_judged_as_check_does():
    image = cv2.imread(str(PORTRAIT))
    (face,) = Scorer(provider="cpu").picture(image)
    told = json.loads(run("check", PORTRAIT, "--json", "-", "--quiet").stdout)["files"][0]
    assert face.fake == pytest.approx(told["fake"], abs=1e-4)
    assert face.state.value == told["verdict"]


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[1]],
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((20, 64, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_a_value_error(image):
    scorer = Scorer(provider="cpu")
    with pytest.raises(ValueError, match="image"):
        scorer.add(image, 0.0)
    with pytest.raises(ValueError, match="image"):
        scorer.picture(image)


def test_time_must_grow():
    scorer, image = Scorer(provider="cpu"), np.zeros((64, 64, 3), np.uint8)
    scorer.add(image, 1.0)
    for bad in (1.0, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="later"):
            scorer.add(image, bad)
    assert scorer.add(image, 1.1).state is State.NO_FACE
