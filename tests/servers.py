"""Real servers on loopback for the tests: RTSP by GStreamer, HLS over HTTP, MPEG-TS over UDP."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.clips import Picture, numbered

_GI = "/usr/bin/python3"
BALL = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96"
)


def free_port() -> int:
    """A TCP and UDP port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def rtsp_missing() -> str:
    """Why there is no RTSP server here; "" if there is one."""
    needs = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer;"
        "Gst.init(None); assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
    )
    try:
        done = subprocess.run([_GI, "-c", needs], capture_output=True, timeout=60, check=False)
    except OSError:
        return f"no {_GI}"
    return "" if done.returncode == 0 else "gst-rtsp-server, its plugins or python3-gi are not installed"


class RtspServer:
    """GStreamer's RTSP server in a process that a test can kill, start again and freeze."""

    def __init__(self, *account: str, width: int = 320, height: int = 240, launch: str = BALL) -> None:
        """account: nothing, or user, password and "basic" or "digest". Skips the test where it cannot run."""
        if why := rtsp_missing():
            pytest.skip(why)
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/live"
        self._arguments = [launch.format(width=width, height=height), *account]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it listens."""
        script = str(Path(__file__).with_name("rtsp_server.py"))
        self._process = subprocess.Popen(
            [_GI, script, str(self.port), *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """End it without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout
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


class Sender(threading.Thread):
    """Encodes pictures in real time into what PyAV can write to; knows when each was made."""

    def __init__(
        self,
        target: str,
        format: str,
        count: int = 10_000,
        rate: int = 30,
        pictures: Callable[[int], Iterator[Picture]] = numbered,
        **options: str,
    ) -> None:
        """pictures: makes so many of 320x240, numbered by default."""
        super().__init__(daemon=True)
        self._pictures = pictures
        self.made: dict[int, float] = {}  # s, monotonic, by the picture's number
        self._target, self._format, self._count, self._rate, self._options = (
            target,
            format,
            count,
            rate,
            options,
        )
        self._ending = threading.Event()

    def run(self) -> None:
        with av.open(self._target, "w", format=self._format, options=self._options) as container:
            stream = container.add_stream("libx264", rate=self._rate, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = 15, 0
            stream.codec_context.options = {"tune": "zerolatency", "preset": "ultrafast"}
            begin = time.monotonic()
            for i, picture in enumerate(self._pictures(self._count)):
                if self._ending.wait(max(begin + i / self._rate - time.monotonic(), 0)):
                    break
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts, frame.time_base = i, Fraction(1, self._rate)
                self.made[i] = time.monotonic()
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def __enter__(self) -> Sender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()


@contextlib.contextmanager
def http_server(folder: Path, status: int = 200) -> Iterator[str]:
    """Serve a folder over HTTP, or answer everything with `status`; gives the address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if status == 200:
                super().do_GET()
            else:
                self.send_error(status)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def mute_server() -> Iterator[int]:
    """A TCP server that accepts and never says a word; gives its port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        yield server.getsockname()[1]


@contextlib.contextmanager
def lossy_relay(target: int, lose: Callable[[int], bool]) -> Iterator[int]:
    """A UDP relay to port `target` that loses the datagrams whose number `lose` picks; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind(("127.0.0.1", 0))
        relay.settimeout(0.1)
        stop = threading.Event()

        def run() -> None:
            number = 0
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    data = relay.recv(65536)
                    if not lose(number):
                        relay.sendto(data, ("127.0.0.1", target))
                    number += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield relay.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether `condition` came true within so many s."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
