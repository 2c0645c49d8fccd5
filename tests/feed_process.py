"""The process behind `tests.feeds.PacketFeed`: `python -m tests.feed_process tcp|udp PORT CLIP…`.

Obeys lines on standard input: "size N" sends clip N from its next key frame on, "junk 1" random bytes instead
of it until "junk 0". The clips' packets are muxed anew, so that time stamps go on over loops and sizes.
"""

import contextlib
import itertools
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av

from tests.feeds import JUNK

UDP = 1316  # bytes a datagram: seven packets of MPEG-TS
Send = Callable[[bytes], None]


@dataclass
class Orders:
    """What is to be sent now."""

    size: int = 0
    junk: bool = False


@dataclass(frozen=True)
class Clip:
    """The packets of a clip, and how long it is."""

    path: str
    packets: list[tuple[bytes, int, bool]]  # bytes, pts from 0, key frame
    base: Fraction  # s
    period: int  # in units of base


def read(path: str) -> Clip:
    """All packets of a clip without B frames."""
    with av.open(path) as source:
        stream = source.streams.video[0]
        found = [(bytes(p), p.pts, p.is_keyframe) for p in source.demux(stream) if p.size]
        first, step = found[0][1], found[1][1] - found[0][1]
        return Clip(
            path,
            [(data, pts - first, key) for data, pts, key in found],
            stream.time_base,
            found[-1][1] - first + step,
        )


class _Pipe:
    """What PyAV writes to."""

    def __init__(self, send: Send, orders: Orders) -> None:
        self._send, self._orders = send, orders

    def write(self, data: bytes) -> int:
        if not self._orders.junk:
            self._send(data)
        return len(data)


def play(clips: list[Clip], orders: Orders, send: Send, begin: float) -> None:
    """Send the clip of the size that is asked for, in real time, until `send` raises OSError.

    begin: s, monotonic, when the clip began: everyone sees the same moment of it.
    """
    rng = random.Random(0)
    with (
        av.open(clips[0].path) as template,
        av.open(_Pipe(send, orders), "w", format="mpegts", options={"flush_packets": "1"}) as out,
    ):
        stream = out.add_stream_from_template(template.streams.video[0])
        size = None
        count = len(clips[0].packets)
        for turn, i in (divmod(number, count) for number in itertools.count()):
            clip = clips[0] if size is None else clips[size]
            _, pts, key = clip.packets[i]
            due = begin + float((pts + turn * clip.period) * clip.base)
            if due < time.monotonic() - 0.5:  # a newcomer, or after a freeze: go on with what is now
                size = None
                continue
            if key:
                size = orders.size
            if size is None:
                continue
            while (left := due - time.monotonic()) > 0:
                if orders.junk:
                    send(rng.randbytes(JUNK))
                time.sleep(min(left, 0.005) if orders.junk else left)
            data = clips[size].packets[i][0]
            packet = av.Packet(data)
            packet.pts = packet.dts = pts + turn * clip.period
            packet.time_base, packet.stream, packet.is_keyframe = clip.base, stream, key
            out.mux(packet)


def serve_tcp(port: int, clips: list[Clip], orders: Orders, begin: float) -> None:
    """Send to whoever connects, each in a thread."""

    def serve(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, contextlib.suppress(OSError, av.FFmpegError):
            play(clips, orders, client.sendall, begin)

    with socket.create_server(("127.0.0.1", port)) as door:
        print("ready", flush=True)
        while True:
            client, _ = door.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()


def serve_udp(port: int, clips: list[Clip], orders: Orders, begin: float) -> None:
    """Send to one port, whether anybody listens or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:

        def send(data: bytes) -> None:
            for at in range(0, len(data), UDP):
                with contextlib.suppress(ConnectionRefusedError):
                    out.sendto(data[at : at + UDP], ("127.0.0.1", port))

        print("ready", flush=True)
        play(clips, orders, send, begin)


def main() -> None:
    kind, port, *paths = sys.argv[1:]
    orders, clips = Orders(), [read(path) for path in paths]
    serve = serve_tcp if kind == "tcp" else serve_udp
    threading.Thread(target=serve, args=(int(port), clips, orders, time.monotonic()), daemon=True).start()
    for line in sys.stdin:
        what, value = line.split()
        if what == "size":
            orders.size = int(value)
        else:
            orders.junk = value == "1"


if __name__ == "__main__":
    main()
