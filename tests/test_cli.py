"""The real command as a user runs it: bad input, signals, the demo; what was recorded survives."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from export import weights_path
from tests import clips
from tests.test_webhook import Receiver

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("DISPLAY", None)
ENVIRONMENT.pop("WAYLAND_DISPLAY", None)
QUIET = ("--quiet", "--provider", "cpu")


def run(*words: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stream.cli", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout)


def one_line(done: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("facewitness: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("clips") / "two.mp4", clips.portraits(60), gop=15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_bad_files_each_have_their_line_and_code(tmp_path, clip):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    grey = (np.full((240, 320, 3), 128, np.uint8) for _ in range(20))
    cases = [
        (tmp_path / "none.mp4", 10, "no such file"),
        (tmp_path, 11, "directory"),
        (tmp_path / "empty.mp4", 12, "empty"),
        (tmp_path / "text.mp4", 13, "not a video"),
        (clips.write_sound(tmp_path / "sound.mp4"), 15, "no video"),
        (clips.write_clip(tmp_path / "grey.mp4", grey), 16, "no face"),
        (tmp_path / "dot.png", 17, "1x1"),
        ("gopher://example.invalid/1", 18, "unknown scheme"),
    ]
    for source, code, says in cases:
        one_line(run("watch", source, *QUIET), code, says)


def test_a_truncated_file_is_scored_as_far_as_it_goes(tmp_path, clip):
    whole = clips.write_clip(tmp_path / "whole.mkv", clips.portraits(90), gop=15)
    broken = clips.cut(tmp_path / "broken.mkv", whole, 0.6)
    scores, out = tmp_path / "scores.jsonl", tmp_path / "out.mp4"
    done = run("watch", broken, *QUIET, "--scores", scores, "--record", out, "--meter", tmp_path / "m.json")
    one_line(done, 14, "cut off")
    assert [json.loads(line) for line in scores.read_text().splitlines()]
    assert len(clips.read_all(out)) == json.loads((tmp_path / "m.json").read_text())["counts"]["frames"] > 20


def test_a_wrong_port_with_retries_gives_up():
    done = run("watch", f"rtsp://user:s3cr3t@127.0.0.1:{free_port()}/x", *QUIET, "--retries", "1")
    one_line(done, 19, "127.0.0.1")
    assert "s3cr3t" not in done.stderr + done.stdout


def test_without_weights_it_refuses(tmp_path, clip):
    one_line(run("watch", clip, *QUIET, "--model", tmp_path / "none.onnx"), 30, "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    one_line(run("watch", clip, *QUIET, "--model", tmp_path / "text.onnx"), 30, "text.onnx")
    one_line(run("watch", clip, *QUIET, "--model", weights_path("mtcnn_onet")), 30, "card")


def test_a_provider_that_is_not_there_is_an_error(clip):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    one_line(run("watch", clip, "--quiet", "--provider", "cuda"), 31, "cuda")


def test_outputs_that_cannot_be_opened(tmp_path, clip):
    missing = tmp_path / "none" / "x"
    one_line(run("watch", clip, *QUIET, "--record", f"{missing}.mp4"), 33, "none")
    one_line(run("watch", clip, *QUIET, "--scores", missing), 33, "none")
    one_line(run("watch", clip, *QUIET, "--alert", f"jsonl:{missing}"), 33, "none")
    one_line(run("watch", clip, *QUIET, "--alert", "pigeon:1"), 2, "pigeon")
    one_line(run("watch", clip, *QUIET, "--record", clip), 2, "source itself")


@pytest.mark.skipif(sys.platform != "linux", reason="the display is told by its variables on Linux only")
def test_a_window_without_a_display_is_a_clear_error(clip):
    one_line(run("watch", clip, *QUIET, "--show"), 32, "display")


def test_a_wrong_configuration_is_one_line(tmp_path):
    (tmp_path / "bad.toml").write_text("colour = 1\n")
    one_line(run("watch", "demo", "--config", tmp_path / "bad.toml"), 2, "unknown key")
    assert run("watch", "demo", "--stall", "soon").returncode == 2


def test_a_file_gives_the_same_scores_twice(tmp_path, clip):
    first, second = (run("watch", clip, *QUIET, "--scores", "-").stdout for _ in range(2))
    assert first == second
    lines = [json.loads(line) for line in first.splitlines()]
    assert {line["type"] for line in lines} == {"score"}
    assert all(line["value"] is None or 0 <= line["value"] <= 1 for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path, number):
    long = clips.write_clip(tmp_path / "long.mp4", clips.portraits(1200, step=1), gop=30)
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    words = ["watch", long, "--realtime", *QUIET, "--record", out, "--meter", report]
    command = [sys.executable, "-m", "stream.cli", *map(str, words)]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 20_000):
        assert time.monotonic() < deadline, "nothing was recorded"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal does: the children get it too
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert len(clips.read_all(out)) > 10
    assert json.loads(report.read_text())["counts"]["frames"] > 10
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no child is left


def test_the_demo_turns_from_clear_to_alert(tmp_path):
    alerts, scores, out = tmp_path / "alerts.jsonl", tmp_path / "scores.jsonl", tmp_path / "out.mp4"
    (tmp_path / "secret").write_text("hunter2-hunter2\n")
    with Receiver() as receiver:
        sinks = ["console", f"jsonl:{alerts}", f"http://127.0.0.1:{receiver.port}/hook"]
        words = [word for sink in sinks for word in ("--alert", sink)]
        words += ["--webhook-secret-file", str(tmp_path / "secret"), "--spool", str(tmp_path / "spool")]
        done = run("watch", "demo", "--provider", "cpu", *words, "--scores", scores, "--record", out)
    assert done.returncode == 0, done.stderr
    assert "ALERT opened" in done.stdout
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    half = 8.0  # s, when the face is swapped
    early = {line["state"] for line in lines if 1.5 < line["time"] < half}
    assert early == {"CLEAR"}
    events = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert [event["phase"] for event in events if event["phase"] != "updated"] == ["opened", "closed"]
    assert half <= events[0]["start"] <= half + 2
    first = next(line["time"] for line in lines if line["state"] == "ALERT")
    assert first <= half + 2.5
    assert len(clips.read_all(out)) == 480
    assert [event["phase"] for event in receiver.events] == [event["phase"] for event in events]
    assert all("X-Facewitness-Signature" in headers for headers, _ in receiver.posts)
    assert "hunter2" not in done.stdout + done.stderr


def test_models_are_listed_with_their_figures():
    done = run("models")
    assert done.returncode == 0, done.stderr
    assert "detector" in done.stdout
    assert "faceforensics 0." in done.stdout
    assert "mtcnn" not in done.stdout


def test_doctor_names_what_matters():
    done = run("doctor", "--provider", "cpu")
    assert done.returncode == 0, done.stdout
    for word in ("onnxruntime", "mtcnn_pnet", "detector", "sha256", "PyAV", "camera"):
        assert word in done.stdout


def test_doctor_fails_for_a_provider_that_is_missing():
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    done = run("doctor", "--provider", "cuda")
    assert done.returncode == 1
    assert "PROBLEM" in done.stdout


def test_quiet_says_nothing_but_alerts(clip):
    done = run("watch", clip, *QUIET)
    assert done.stderr == ""


def test_json_logs_are_json(clip):
    done = run("watch", clip, "--provider", "cpu", "--log", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("watching" in line["message"] for line in lines)


def test_the_recording_carries_the_overlay(tmp_path, clip):
    out = tmp_path / "out.mp4"
    assert run("watch", clip, *QUIET, "--record", out).returncode == 0
    annotated, plain = clips.read_all(out), clips.read_all(clip)
    assert len(annotated) == len(plain)
    changed = abs(annotated[-1].astype(int) - plain[-1].astype(int)).max(axis=2) > 60
    assert 0.005 < changed.mean() < 0.5
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
