"""Serves the benchmark's clip as live MPEG-TS over TCP on loopback, to several clients, in one process."""

import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

Packets = list[tuple[bytes, int, int, bool]]  # data, pts, dts, key frame


@contextlib.contextmanager
def served(clip: str, count: int, seconds: float) -> Iterator[tuple[list[str], int]]:
    """`count` streams of a clip of `seconds`: their addresses, and the id of the serving process."""
    ports = _free_ports(count)
    process = multiprocessing.get_context("spawn").Process(
        target=serve_all, args=(clip, ports, seconds), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        yield [f"tcp://127.0.0.1:{port}" for port in ports], process.pid
    finally:
        process.terminate()
        process.join(5)


def serve_all(clip: str, ports: list[int], seconds: float) -> None:
    """Serve one client on each port; returns when all have gone."""
    doors = [
        socket.create_server(("127.0.0.1", port)) for port in ports
    ]  # all open before the first one knocks
    threads = [threading.Thread(target=serve, args=(clip, door, seconds)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def serve(clip: str, door: socket.socket, seconds: float) -> None:
    """Serve the clip to one client, again and again, at its own pace, with time stamps that go on."""
    with av.open(clip) as source:
        template = source.streams.video[0]
        base = template.time_base or Fraction(1, 90_000)
        packets: Packets = [
            (bytes(p), p.pts or 0, p.dts or 0, p.is_keyframe) for p in source.demux(template) if p.size
        ]
        client, _ = door.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The client goes when it has seen enough; that is the end, not an error.
        with (
            contextlib.suppress(OSError, av.FFmpegError),
            client,
            av.open(_Pipe(client), "w", format="mpegts", options={"flush_packets": "1"}) as out,
        ):
            _send(out, out.add_stream_from_template(template), packets, base, round(seconds / base))


class _Pipe:
    """A socket as the file that PyAV writes to."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def write(self, data: bytes) -> int:
        """All of it."""
        self._client.sendall(data)
        return len(data)


def _send(out: Any, stream: Any, packets: Packets, base: Fraction, period: int) -> None:
    begin, turn, first = time.monotonic(), 0, packets[0][2]
    while True:
        for data, pts, dts, key in packets:
            due = begin + float((dts - first + turn * period) * base)
            time.sleep(max(due - time.monotonic(), 0))
            packet = av.Packet(data)
            packet.pts, packet.dts = pts + turn * period, dts + turn * period
            packet.time_base, packet.stream, packet.is_keyframe = base, stream, key
            out.mux(packet)
        turn += 1


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
