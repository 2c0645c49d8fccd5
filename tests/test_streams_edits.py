"""Edits of streams.toml while it runs: added, removed, altered, broken; and the page that follows."""

import json
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.many import Many, gaps, long_clip, played, stream
from tests.servers import wait_for


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    return long_clip(tmp_path_factory.mktemp("clips"))


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
