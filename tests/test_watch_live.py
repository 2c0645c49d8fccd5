"""`facewitness watch` on real servers that are killed, restarted and frozen while it runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests import clips
from tests.servers import RtspServer, Sender, free_port, wait_for
from tests.test_cli import ENVIRONMENT

STILL = (
    "filesrc location={still} ! jpegdec ! videoconvert ! imagefreeze is-live=true ! "
    "video/x-raw,framerate=30/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1"
)


class Watch:
    """The real command, watching; ends with the block."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.scores, self.log = folder / "scores.jsonl", folder / "log.jsonl"
        command = [sys.executable, "-m", "stream.cli", "watch", *words, "--scores", str(self.scores)]
        command += ["--log", "json", "--provider", "cpu"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stderr=log, stdout=log)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def lines(self) -> list[dict]:
        text = self.scores.read_text() if self.scores.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def scored(self) -> int:
        return sum(line["value"] is not None for line in self.lines())

    def goes_on(self, seconds: float = 20) -> bool:
        """Whether scores come that were not there before."""
        before = self.scored()
        return wait_for(lambda: self.scored() >= before + 4, seconds)

    def says(self, word: str, seconds: float = 20) -> bool:
        return wait_for(lambda: word in self.log.read_text(), seconds)

    def end(self) -> int:
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout=15)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_killed_restarted_and_frozen(tmp_path, transport):
    still = tmp_path / "still.jpg"
    cv2.imwrite(str(still), clips.portrait(640, 480))
    server = RtspServer("guard", "s3cr3t", "digest", launch=STILL.replace("{still}", str(still)))
    url = server.url.replace("://", "://guard:s3cr3t@")
    with server, Watch(tmp_path, url, "--stall", "2", "--rtsp-transport", transport) as watch:
        assert watch.goes_on(), watch.log.read_text()
        server.kill()
        assert watch.says("trying again", 12)
        server.start()
        assert watch.goes_on(), watch.log.read_text()
        server.freeze()
        assert watch.says("no picture for 2 s", 12), watch.log.read_text()
        server.thaw()
        assert watch.goes_on(), watch.log.read_text()
        assert watch.end() == 128 + signal.SIGTERM
        times = [line["time"] for line in watch.lines() if line["track"] == watch.lines()[0]["track"]]
        assert times == sorted(times)
        assert all(line["state"] != "ALERT" or line["value"] is not None for line in watch.lines())
        said = watch.log.read_text() + watch.scores.read_text()
        assert "s3cr3t" not in said
        assert "Traceback" not in said


def test_starts_while_the_server_is_down(tmp_path):
    still = tmp_path / "still.jpg"
    cv2.imwrite(str(still), clips.portrait(640, 480))
    server = RtspServer(launch=STILL.replace("{still}", str(still)))
    with Watch(tmp_path, server.url) as watch:
        assert watch.says("trying again", 15)
        with server:
            assert watch.goes_on(30), watch.log.read_text()
        assert watch.process.poll() is None
        assert watch.end() == 128 + signal.SIGTERM


def test_mpegts_over_udp_starts_before_and_outlives_its_sender(tmp_path):
    address = f"udp://127.0.0.1:{free_port()}"
    with Watch(tmp_path, address, "--stall", "2") as watch:
        for _ in range(2):
            with Sender(f"{address}?pkt_size=1316", "mpegts", pictures=lambda n: clips.portraits(n, step=0)):
                assert watch.goes_on(30), watch.log.read_text()
            assert watch.says("no picture for 2 s", 12), watch.log.read_text()
        assert watch.end() == 128 + signal.SIGTERM


def test_a_wrong_password_ends_it_with_one_line(tmp_path):
    with RtspServer("guard", "s3cr3t", "basic") as server:
        url = server.url.replace("://", "://guard:wr0ng@")
        command = [sys.executable, "-m", "stream.cli", "watch", url, "--quiet", "--provider", "cpu"]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 20
    assert done.stderr.startswith("facewitness: ")
    assert done.stderr.count("\n") == 1
    assert "wr0ng" not in done.stderr
