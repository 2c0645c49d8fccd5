"""The status line and the score log: what a terminal shows, and a log that never holds up the pump."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from stream.errors import OutputError
from stream.status import ManyLine, Row, ScoreLog, StatusLine, _Writer, many_line
from stream.values import Frame, Health, Quality, Result, Score, State, Track, TrackView
from tests.test_cli import ENVIRONMENT

HEALTH = Health("cam", "CPU", True, 29.7, 0.031, 100, 3)


def result(moment: float, value: float | None = 0.93, quality: Quality | None = None) -> Result:
    picture = np.zeros((32, 32, 3), np.uint8)
    track = Track(1, np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0, True, True)
    score = Score(1, moment, value, 16, "" if value is not None else "blurred")
    view = TrackView(track, State.ALERT, score, quality, ())
    return Result(Frame(picture, moment, 0.0, 0), State.ALERT, (view,), ())


def test_a_live_line_says_state_rate_age_and_drops():
    out = io.StringIO()
    StatusLine(out, None).see(result(1.0), HEALTH)
    for word in ("ALERT", "30 fps", "age 31 ms", "dropped 3", "93%"):
        assert word in out.getvalue()


def test_a_file_has_a_bar_with_the_time_left():
    out = io.StringIO()
    StatusLine(out, 10.0).see(result(5.0), HEALTH)
    assert "50%" in out.getvalue()
    assert "s left" in out.getvalue()


def test_it_is_not_rewritten_for_every_frame():
    out = io.StringIO()
    line = StatusLine(out, None)
    for i in range(50):
        line.see(result(i / 30), HEALTH)
    assert out.getvalue().count("\r") == 1
    line.close()
    assert out.getvalue().endswith("\r\x1b[K")


def test_a_line_for_many_names_the_grave_and_counts_the_harmless():
    away = replace(HEALTH, connected=False, fps=0.0, age=None, note="reconnecting in 4 s")
    full = replace(HEALTH, age=0.08, note="analysing 12 of 30 frames a second: the machine is full")
    rows = [
        Row("front", State.ALERT, HEALTH),
        Row("back", State.CLEAR, full),
        Row("roof", State.CLEAR, HEALTH),
        Row("gate", State.ALERT, away),  # what it was before its signal was lost
    ]
    line = many_line(rows)
    for words in ("4 streams", "ALERT front  ", "2 CLEAR", "no picture gate", "89 fps", "age 80 ms at most"):
        assert words in line
    assert "1 with reduced analysis" in line
    assert many_line([]) == "0 streams  0 fps"


def test_a_line_for_many_is_rewritten_in_place_a_few_times_a_second():
    out = io.StringIO()
    line = ManyLine(out)
    for _ in range(50):
        line.show(lambda: [Row("front", State.CLEAR, HEALTH)])
    assert out.getvalue().count("\r") == 1
    line.close()
    assert out.getvalue().endswith("\r\x1b[K")


def test_scores_are_json_lines_and_each_is_written_once(tmp_path):
    log = ScoreLog(str(tmp_path / "s.jsonl"), wait=True)
    log.see(result(1.0), HEALTH)
    stale = result(1.0)
    log.see(Result(Frame(stale.frame.image, 1.03, 0.0, 1), stale.state, stale.tracks, ()), HEALTH)
    log.see(result(1.25, None, Quality(81.26, 40.04, -12.3, 3.0, 1.0)), HEALTH)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["value"] for line in lines] == [0.93, None]
    assert lines[1]["reason"] == "blurred"
    assert {line["schema"] for line in lines} == {1}
    faces = [(line["size"], line["sharpness"], line["yaw"]) for line in lines]
    assert faces == [(None, None, None), (81.3, 40.0, -12.3)]


def test_a_path_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OutputError, match="scores"):
        ScoreLog(str(tmp_path / "none" / "s.jsonl"), wait=True)


def test_an_unread_pipe_drops_lines_and_does_not_wait():
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    writer = _Writer(stream, wait=False)
    begin = time.monotonic()
    for _ in range(30_000):
        writer.write("x" * 99 + "\n")
    assert time.monotonic() - begin < 5
    assert writer.dropped > 10_000
    os.close(reading)  # the reader goes: what is left is thrown away, not raised
    writer.close()
    with contextlib.suppress(BrokenPipeError):  # what the stream itself still held
        stream.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_a_reader_of_the_scores_that_goes_is_no_error(tmp_path):
    pipe = tmp_path / "scores"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    scores = ScoreLog(str(pipe), wait=False)
    for _ in range(3000):
        scores._writer.write("x" * 99 + "\n")
    time.sleep(0.2)  # the pipe is full, and the writer waits with lines in its buffer
    os.close(reading)
    scores.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_real_terminal_sees_the_bar(tmp_path):
    import pty

    from tests import clips

    clip = clips.write_clip(tmp_path / "clip.mp4", clips.portraits(60))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stream.cli", "watch", str(clip), "--provider", "cpu"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=theirs, stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux says so when the other side has closed
        pass
    assert process.wait(timeout=60) == 0
    assert b"fps" in shown
    assert b"[#" in shown or b"[ " in shown
    os.close(ours)
