"""The relay as a process of its own, and raw HTTP requests as no library would send them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.test_cli import ENVIRONMENT


class RelayProcess:
    """`facewitness relay` on a free port of loopback, with its log; ends with the block."""

    def __init__(self, *words: str) -> None:
        """words: further flags."""
        self._folder = tempfile.TemporaryDirectory(prefix="facewitness-relay-")
        self.alerts = Path(self._folder.name) / "alerts.jsonl"
        self._log = Path(self._folder.name) / "log"
        self._words = ["--port", "0", "--alert", f"jsonl:{self.alerts}", "--provider", "cpu", *words]
        self.url = ""

    def __enter__(self) -> RelayProcess:
        command = [sys.executable, "-m", "stream.cli", "relay", *self._words]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not (found := re.search(r"facewitness relay: (\S+)/\n", self.log())):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, "the relay does not start"
            time.sleep(0.05)
        self.url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._folder.cleanup()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def troubles(self) -> list[str]:
        """Lines of the log that should not be there."""
        bad = re.compile(r"Traceback|ERROR|Exception|never retrieved|never awaited|destroyed but")
        return [line for line in self.log().splitlines() if bad.search(line)]

    def memory(self) -> float:
        """Resident MiB."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def handles(self) -> int:
        """Open file handles, sockets among them."""
        return psutil.Process(self.process.pid).num_fds()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back on a connection of its own; status 0: it was closed without a reply."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    seconds: float

    @property
    def error(self) -> str:
        """The one line of an error's JSON. Raises where it is none."""
        document = json.loads(self.body)
        assert list(document) == ["error"], document
        assert isinstance(document["error"], str)
        return document["error"]


async def send(
    port: int, request: bytes, address: str = "127.0.0.1", timeout: float = 20.0, half: bool = False
) -> Reply:
    """Send bytes from an address of loopback and read to the end. half: say that no more bytes come."""
    begin = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    raw = b""
    try:
        async with asyncio.timeout(timeout):
            try:
                writer.write(request)
                if half:
                    writer.write_eof()
                while chunk := await reader.read(65536):
                    raw += chunk
            except ConnectionError:  # closed while we still wrote; what was read before counts
                pass
    finally:
        writer.close()
    return parse(raw, time.monotonic() - begin)


def parse(raw: bytes, seconds: float = 0.0) -> Reply:
    """The last reply in what a server sent."""
    while raw.startswith(b"HTTP/1.1 100 "):
        raw = raw.partition(b"\r\n\r\n")[2]
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        return Reply(0, {}, raw, seconds)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(first.split(" ")[1]), headers, body, seconds)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A well-formed request that asks for the connection to be closed. Headers: "_" stands for "-"."""
    lines = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body
