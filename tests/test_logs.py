"""Log lines: readable by people and by machines, without credentials, tracebacks too."""

import json
import logging

import pytest

from stream import logs


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_password_passes(capsys, style):
    logs.set_up(style, quiet=False)
    log = logging.getLogger("stream.x")
    log.info("opening %s", "rtsp://guard:s3cr3t@cam/1")
    try:
        raise OSError("cannot open rtsp://guard:s3cr3t@cam/1")
    except OSError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "opening" in text
    assert "OSError" in text
    assert "s3cr3t" not in text
    if style == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines[0]["level"] == "info"
        assert "Traceback" in lines[1]["traceback"]


def test_quiet_keeps_errors(capsys):
    logs.set_up("text", quiet=True)
    logging.getLogger("stream.x").warning("a warning")
    logging.getLogger("stream.x").error("an error")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_flood_of_lines_is_counted_and_let_through_in_part():
    trickle = logs.Trickle(3, 60.0)
    assert [trickle.admit(t)[0] for t in (0, 1, 2, 3, 4)] == [True, True, True, False, False]
    assert trickle.admit(59.9) == (False, 0)
    assert trickle.admit(60.0) == (True, 3)
    assert trickle.admit(125.0) == (True, 0)
