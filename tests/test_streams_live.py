"""Many streams on real servers: one dies, one freezes, one has a wrong password; the others go on."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.many import Many, gaps, long_clip, played, rtsp, stream
from tests.test_cli import QUIET, run


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    return long_clip(tmp_path_factory.mktemp("clips"))


def test_one_dies_and_one_freezes_and_the_third_is_not_delayed(tmp_path):
    with rtsp(tmp_path / "a") as dies, rtsp(tmp_path / "b") as freezes, rtsp(tmp_path / "c") as lives:
        text = "[defaults]\nstall = 2\n" + stream("dies", dies.url) + stream("freezes", freezes.url)
        with Many(tmp_path, text + stream("lives", lives.url)) as many:
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
    with rtsp(tmp_path / "server", "guard", "s3cr3t", "basic") as server:
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
