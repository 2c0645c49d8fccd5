"""`facewitness watch` on a streams.toml that a test edits, and the sources to put into it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2

from tests import clips
from tests.servers import RtspServer, wait_for
from tests.test_cli import ENVIRONMENT
from tests.test_watch_live import STILL


def long_clip(folder: Path) -> Path:
    """A face for a minute."""
    return clips.write_clip(folder / "long.mp4", clips.portraits(600, step=0), rate=10, gop=10)


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
    """A still portrait over RTSP; account as for RtspServer."""
    folder.mkdir(exist_ok=True)
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
