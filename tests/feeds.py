"""Live sources on loopback in processes of their own, which die, freeze, send junk and change their size."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from tests.servers import RtspServer, free_port

KINDS = ("tcp", "udp", "rtsp")
FROM_FILE = "filesrc location={file} ! tsdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
JUNK = 1200  # bytes at once, 200 times a second: as much as a stream of 2 Mbit/s


class PacketFeed:
    """A clip for ever as MPEG-TS, over TCP to whoever connects or over UDP to one port."""

    def __init__(self, kind: str, clips: Sequence[Path]) -> None:
        """kind: "tcp" or "udp". clips: of equal timing, each in another size; the first one is sent."""
        self.port = free_port()
        self.url = f"{kind}://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "tests.feed_process", kind, str(self.port), *map(str, clips)]
        self._size, self._sizes = 0, len(clips)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        root = Path(__file__).parent.parent
        self._process = subprocess.Popen(
            self._command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"
        self._say(f"size {self._size}")

    def kill(self) -> None:
        """End it without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin
            assert self._process.stdout
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Stop it: connections stay, nothing comes."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def resize(self) -> None:
        """From the next key frame on in another size, on the same connection."""
        self._size = (self._size + 1) % self._sizes
        self._say(f"size {self._size}")

    @contextlib.contextmanager
    def junk(self) -> Iterator[None]:
        """Random bytes instead of video, on the connections that there are and on new ones."""
        self._say("junk 1")
        try:
            yield
        finally:
            self._say("junk 0")

    def _say(self, word: str) -> None:
        assert self._process
        assert self._process.stdin
        print(word, file=self._process.stdin, flush=True)


class RtspFeed:
    """A long file over RTSP; each new server begins it anew."""

    def __init__(self, files: Sequence[Path]) -> None:
        """files: MPEG-TS, long enough, each in another size; the first one is served."""
        self._servers = [RtspServer(launch=FROM_FILE.replace("{file}", str(file))) for file in files]
        for server in self._servers[1:]:
            server.port, server.url = self._servers[0].port, self._servers[0].url
        self._server = self._servers[0]
        self.url = self._server.url

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._server.start()

    def kill(self) -> None:
        """End it without a farewell."""
        self._server.kill()

    def freeze(self) -> None:
        """Stop it: connections stay, nothing comes."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._server.thaw()

    def resize(self) -> None:
        """A new server at the same place, whose pictures have another size."""
        self._server.kill()
        self._server = self._servers[1 - self._servers.index(self._server)]
        self._server.start()

    @contextlib.contextmanager
    def junk(self) -> Iterator[None]:
        """Another server at the same place, which answers everyone with random bytes."""
        self._server.kill()
        with impostor(self._server.port):
            yield
        self._server.start()


@contextlib.contextmanager
def impostor(port: int) -> Iterator[None]:
    """A TCP server that sends random bytes to whoever connects."""
    ending, rng = threading.Event(), random.Random(port)

    def serve() -> None:
        while not ending.is_set():
            with contextlib.suppress(OSError):
                client, _ = door.accept()
                with client:
                    client.settimeout(0.5)
                    while not ending.wait(0.005):
                        client.sendall(rng.randbytes(JUNK))

    with socket.create_server(("127.0.0.1", port)) as door:
        door.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


def looped(path: Path, clip: Path, seconds: float) -> Path:
    """A clip again and again, `seconds` long at least, with time stamps that go on."""
    with av.open(str(clip)) as source, av.open(str(path), "w", format="mpegts") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        times = [packet.pts for packet in packets]
        period = max(times) - min(times) + times[1] - times[0]
        for turn in range(int(seconds / (period * stream.time_base)) + 1):
            for packet, pts in zip(packets, times, strict=True):
                packet.pts = packet.dts = pts + turn * period
                packet.stream = copy
                out.mux(packet)
    return path


def wait(seconds: float, until: float) -> None:
    """So many s, but not beyond `until` (s, monotonic)."""
    time.sleep(max(min(seconds, until - time.monotonic()), 0.0))
