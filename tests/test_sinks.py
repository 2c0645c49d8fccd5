import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stream.sinks
from stream.errors import ConfigError, OutputError
from stream.sinks import Dispatcher, SinkOptions, open_sink, to_json, victim
from stream.sinks.console import clock, line
from stream.values import Alert, Phase

ROOT = Path(__file__).parent.parent


def alert(phase: Phase = Phase.OPENED, number: int = 1, source: str = "demo") -> Alert:
    return Alert(f"demo-{number}", phase, source, 1, 8.2, 12.4, 0.97, 0.91, "meso 1", "2026-11-20T10:00:00Z")


class Gathering:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Alert] = []
        self.closed = False

    def send(self, event: Alert) -> None:
        self.got.append(event)

    def close(self) -> None:
        self.closed = True


class Failing(Gathering):
    def send(self, event: Alert) -> None:
        raise OSError("no route to rtsp://user:hunter2@cam/")


class Stuck(Gathering):
    """A sink that hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def send(self, event: Alert) -> None:
        self.entered.set()
        self.go.wait(20)
        super().send(event)


def test_json_holds_every_field_of_the_schema():
    assert to_json(alert(Phase.CLOSED)) == {
        "schema": 1,
        "type": "alert",
        "id": "demo-1",
        "phase": "closed",
        "source": "demo",
        "track": 1,
        "start": 8.2,
        "end": 12.4,
        "peak": 0.97,
        "mean": 0.91,
        "model": "meso 1",
        "wall_time": "2026-11-20T10:00:00Z",
    }


@pytest.mark.parametrize("spec", ["mqtt://user:hunter2@broker/x", "consol", "", ":"])
def test_unknown_sink_names_the_known_ones(spec, tmp_path):
    with pytest.raises(ConfigError, match="console, history, http, https, jsonl") as caught:
        open_sink(spec, SinkOptions(spool_dir=tmp_path))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("spec", ["console:x", "jsonl", "jsonl:"])
def test_bad_spec(spec):
    with pytest.raises(ConfigError):
        open_sink(spec, SinkOptions())


def test_secret_is_not_in_repr():
    assert "hunter2" not in repr(SinkOptions(hmac_secret="hunter2"))


def test_a_newcomer_adds_one_file(tmp_path, monkeypatch):
    (tmp_path / "paper.py").write_text(
        "SCHEMES = ('paper',)\n"
        "class Paper:\n"
        "    def send(self, alert): pass\n"
        "    def close(self): pass\n"
        "def open(spec, options): return Paper()\n"
    )
    monkeypatch.setattr(stream.sinks, "__path__", [*stream.sinks.__path__, str(tmp_path)])
    assert type(open_sink("paper:a4", SinkOptions())).__name__ == "Paper"
    sys.modules.pop("stream.sinks.paper")


# Dispatcher


def test_all_sinks_get_all_events_in_order_and_are_closed():
    one, two = Gathering(), Gathering()
    dispatcher = Dispatcher([one, two])
    events = [alert(phase) for phase in Phase]
    for event in events:
        dispatcher.submit(event)
    dispatcher.close()
    assert one.got == two.got == events
    assert one.closed
    assert two.closed
    assert [c.sent for c in dispatcher.counts()] == [3, 3]


def test_a_failing_sink_is_logged_seldom_without_credentials_and_stops_nobody(caplog):
    good, bad = Gathering(), Failing()
    dispatcher = Dispatcher([bad, good])
    for number in range(50):
        dispatcher.submit(alert(number=number))
    dispatcher.close()
    assert len(good.got) == 50
    assert bad.closed
    assert dispatcher.counts()[0].failed == 50
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(lines) == 1
    assert "no route" in lines[0]
    assert "hunter2" not in lines[0]


def test_a_stuck_sink_slows_nobody_and_close_is_bounded(caplog):
    good, stuck = Gathering(), Stuck()
    dispatcher = Dispatcher([stuck, good], bound=10)
    begin = time.monotonic()
    for number in range(2000):
        dispatcher.submit(alert(number=number))
    assert time.monotonic() - begin < 1.0
    begin = time.monotonic()
    dispatcher.close(timeout=0.5)
    assert time.monotonic() - begin < 2.0
    counts = dispatcher.counts()
    assert counts[0].dropped + 1 == 2000  # one is in its hands
    assert counts[1].sent + counts[1].dropped == 2000
    assert "does not end in time" in caplog.text
    stuck.go.set()


def test_overflow_costs_updates_first():
    stuck = Stuck()
    dispatcher = Dispatcher([stuck], bound=4)
    dispatcher.submit(alert(Phase.OPENED, 0))
    assert stuck.entered.wait(5)
    phases = [
        Phase.UPDATED,
        Phase.OPENED,
        Phase.UPDATED,
        Phase.CLOSED,
        Phase.OPENED,
        Phase.CLOSED,
        Phase.UPDATED,
    ]
    for number, phase in enumerate(phases, 1):
        dispatcher.submit(alert(phase, number))
    assert dispatcher.counts()[0].dropped == 3
    stuck.go.set()
    dispatcher.close()
    assert [a.id for a in stuck.got] == ["demo-0", "demo-2", "demo-4", "demo-5", "demo-6"]


def test_what_comes_after_close_is_counted():
    dispatcher = Dispatcher([Gathering()])
    dispatcher.close()
    dispatcher.submit(alert())
    dispatcher.close()
    assert dispatcher.counts()[0].dropped == 1


@given(st.lists(st.sampled_from(Phase), min_size=1))
def test_victim_is_an_update_if_there_is_one_and_the_oldest_of_its_kind(phases):
    index = victim(phases)
    if Phase.UPDATED in phases:
        assert index == phases.index(Phase.UPDATED)
    else:
        assert index == 0


# Console


def test_console_lines(capsys):
    dispatcher = Dispatcher([open_sink("console", SinkOptions())])
    dispatcher.submit(alert())
    dispatcher.submit(alert(Phase.CLOSED))
    dispatcher.close()
    assert capsys.readouterr().out.splitlines() == [
        "ALERT opened  demo  face 1  at 0:08.2  peak 0.97",
        "ALERT closed  demo  face 1  from 0:08.2 to 0:12.4  peak 0.97  mean 0.91",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (8.2, "0:08.2"), (3723.4, "1:02:03.4"), (-1, "0:00.0")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_source_cannot_steer_the_terminal():
    text = line(alert(source="x\x1b]0;evil\x07\n"))
    assert text.isprintable()
    assert "\\x1b" in text


PIPE = """
import logging, sys
sys.path.insert(0, {root!r})
logging.basicConfig(level=logging.INFO)
from stream.sinks import Dispatcher, SinkOptions, open_sink
from tests_alert import make
dispatcher = Dispatcher([open_sink({spec!r}, SinkOptions())])
for number in range(200):
    dispatcher.submit(make(number))
dispatcher.close()
print(dispatcher.counts(), file=sys.stderr)
"""

MAKE = """
from stream.values import Alert, Phase
def make(number, phase=Phase.OPENED, source="t\\u00fcr"):
    return Alert(f"a-{number}", phase, source, 1, 1.0, 2.0, 0.9, 0.8, "m 1", "")
"""


def script(tmp_path: Path, spec: str) -> list[str]:
    (tmp_path / "tests_alert.py").write_text(MAKE)
    (tmp_path / "main.py").write_text(PIPE.format(root=str(ROOT), spec=spec))
    return [sys.executable, str(tmp_path / "main.py")]


@pytest.mark.parametrize("spec", ["console", "jsonl:-"])
def test_a_reader_who_goes_away_does_no_harm(tmp_path, spec):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        script(tmp_path, spec), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr
    assert "nobody reads standard output" in done.stderr
    assert "failed=200" in done.stderr


def test_a_terminal_without_unicode_does_no_harm(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(script(tmp_path, "console"), capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0
    assert done.stdout.count(b"t\\xfcr") == 200


# JSON lines


def jsonl(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_jsonl_appends_and_each_line_is_there_at_once(tmp_path):
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"mine": 1}\n')
    sink = open_sink(f"jsonl:{path}", SinkOptions())
    for number, phase in enumerate(Phase):
        sink.send(alert(phase, number))
        assert jsonl(path)[-1] == to_json(alert(phase, number))
    sink.close()
    assert jsonl(path)[0] == {"mine": 1}
    assert len(jsonl(path)) == 4


def test_jsonl_ends_a_half_line_and_keeps_it(tmp_path):
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"mine": 1}\n{"half": ')
    sink = open_sink(f"jsonl:{path}", SinkOptions())
    sink.send(alert())
    sink.send(alert(Phase.CLOSED))
    sink.close()
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"mine": 1}', '{"half": ']
    assert [json.loads(text)["phase"] for text in lines[2:]] == ["opened", "closed"]


def test_jsonl_follows_a_rotated_file(tmp_path):
    path, old = tmp_path / "alerts.jsonl", tmp_path / "alerts.jsonl.1"
    sink = open_sink(f"jsonl:{path}", SinkOptions())
    sink.send(alert(number=1))
    path.rename(old)
    sink.send(alert(number=2))
    sink.close()
    assert [e["id"] for e in jsonl(old)] == ["demo-1"]
    assert [e["id"] for e in jsonl(path)] == ["demo-2"]


def test_jsonl_to_standard_output(capsys):
    sink = open_sink("jsonl:-", SinkOptions())
    sink.send(alert())
    assert json.loads(capsys.readouterr().out) == to_json(alert())


@pytest.mark.parametrize("name", ["missing/alerts.jsonl", "."])
def test_jsonl_that_cannot_be_written(tmp_path, name):
    with pytest.raises(OutputError, match="cannot write alerts"):
        open_sink(f"jsonl:{tmp_path / name}", SinkOptions())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_logged_and_stops_nobody(caplog):
    good = Gathering()
    dispatcher = Dispatcher([open_sink("jsonl:/dev/full", SinkOptions()), good])
    dispatcher.submit(alert())
    dispatcher.close()
    assert len(good.got) == 1
    assert "No space left" in caplog.text


def test_a_line_cut_by_a_full_disk_is_healed_once_there_is_room(tmp_path):
    """A limit on the file's size stands for the disk: the second line fits by half."""
    path = tmp_path / "alerts.jsonl"
    size = len(json.dumps(to_json(alert()))) + 1
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = open_sink(f"jsonl:{path}", SinkOptions())
    sink.send(alert())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, old[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            sink.send(alert(number=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    sink.send(alert(number=3))
    sink.close()
    lines = path.read_text().splitlines()
    assert json.loads(lines[0])["id"] == "demo-1"
    assert json.loads(lines[2])["id"] == "demo-3"
    assert len(lines) == 3
