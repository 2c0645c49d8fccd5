"""A process for risky work: it answers, or it is ended in time, and nothing of it stays."""

import threading
import time

import psutil
import pytest

from stream.bounded_process import BoundedProcess, StoppedError

ECHO = "import sys; sys.stdout.write(sys.stdin.readline()); sys.stdout.flush(); sys.stdin.read()"
HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
VARIABLE = "import os; print(os.environ['FACEWITNESS_TEST'], os.environ['PATH'])"


def children() -> int:
    return len(psutil.Process().children())


def test_it_talks_and_leaves_nothing() -> None:
    apart, before = BoundedProcess(), children()
    for _ in range(2):
        with apart.run(ECHO, 60.0) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"hello\n"
        assert process.poll() is not None
        assert process.stdout.closed
        assert children() == before
    assert not apart.late


def test_what_takes_too_long_is_killed_and_the_next_one_is_not_called_late() -> None:
    apart, begin = BoundedProcess(), time.monotonic()
    with apart.run(HANGS, 0.3) as process:
        assert process.wait(10) < 0
    assert time.monotonic() - begin < 10
    assert apart.late
    with apart.run(ECHO, 60.0):
        assert not apart.late


def test_stop_ends_what_runs_and_what_would_follow() -> None:
    apart = BoundedProcess()
    with apart.run(HANGS, 60.0) as process:
        threading.Timer(0.1, apart.stop).start()
        assert process.wait(10) < 0
    assert apart.stopped
    assert not apart.late
    with pytest.raises(StoppedError), apart.run(ECHO, 60.0):
        pass


def test_an_error_in_the_block_ends_the_process() -> None:
    apart = BoundedProcess()
    with pytest.raises(ZeroDivisionError), apart.run(HANGS, 60.0) as process:
        _ = 1 / 0
    assert process.poll() is not None


def test_variables_are_added_to_those_of_this_process() -> None:
    with BoundedProcess().run(VARIABLE, 60.0, {"FACEWITNESS_TEST": "here"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"here /")
