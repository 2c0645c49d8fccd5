"""The child process of a reader: opens one source and sends its newest frames, and packets, to the parent.

It has a process of its own because FFmpeg and camera drivers can hang where no timeout reaches them.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from typing import Any

# First of the two that bring their own copies of X11's libraries: with OpenCV's loaded before FFmpeg's,
# capturing the screen crashes the process (seen with opencv-python 5.0 and PyAV 18.1).
import av  # noqa: F401

from stream.coded import Codec, Coded
from stream.errors import SourceError
from stream.frame_memory import FrameWriter, Gate
from stream.memory import keep_pictures
from stream.redact import SECRETS, RedactingFilter, redact
from stream.sources import open_frames
from stream.values import Frame
from stream.wire import End, Order, write_announcement, write_codec, write_end, write_frame, write_packet

# Started as `python -P -c BOOT`: not through multiprocessing, which would import the parent's main program
# again (onnxruntime and all), and run it where a script lacks the usual `if __name__ == "__main__"`.
BOOT = (
    "import sys, json; order = json.loads(sys.stdin.buffer.readline()); sys.path[:] = order['path'];"
    "from stream.reader_child import main; main(order)"
)

log = logging.getLogger(__name__)

WAITING = 16 << 20  # bytes of packets that wait for the parent
LEAVE = 1.0  # s to close the source properly once the parent is gone


class _Outgoing:
    """What waits between the decoder, which must never wait, and the pipe: the newest frame, all packets."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._packets: deque[Coded] = deque()
        self._bytes = 0
        self._torn = False  # packets were left out: none are of use until the next key picture
        self._closed = False

    def add(self, packet: Coded) -> None:
        with self._changed:
            if self._bytes + len(packet.data) > WAITING:
                self._packets.clear()
                self._bytes, self._torn = 0, True
            self._torn = self._torn and not packet.key
            if not self._torn:
                self._packets.append(packet)
                self._bytes += len(packet.data)
                self._changed.notify()

    def put(self, frame: Frame) -> None:
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self) -> Frame | Coded | None:
        """Wait for what is to be sent, packets first; None once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._packets or self._closed)
            if self._packets:
                packet = self._packets.popleft()
                self._bytes -= len(packet.data)
                return packet
            frame, self._frame = self._frame, None
            return frame


def main(raw: dict[str, Any]) -> None:
    """Read the source that `raw` (an Order as a dictionary) names, until its end or the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    stopping = threading.Event()
    threading.Thread(target=_end_with_parent, args=(stopping,), daemon=True).start()
    pipe = _own_stdout()
    order = Order.from_dict(raw)
    SECRETS.register(order.url)
    _log_to_parent()
    keep_pictures()
    slot = _Outgoing()
    sender = threading.Thread(target=_send, args=(pipe, slot, order.memory), daemon=True)
    sender.start()
    end = _read(order, slot, stopping)
    slot.close()
    sender.join()
    write_end(pipe, end)
    sys.stderr.flush()
    os._exit(0)  # a driver that hangs while it closes must not keep the process


def _read(order: Order, slot: _Outgoing, stopping: threading.Event) -> End:
    gate = Gate(order.memory)
    try:
        # Closing the generator closes the source: an RTSP server, for one, is told to stop sending.
        tap = slot.add if order.packets else None
        with contextlib.closing(open_frames(order.url, order.options, tap, gate.wants)) as frames:
            for frame in frames:
                gate.tell(frame.index + 1, frame.captured)
                if frame.image.size and gate.wants(frame.captured):
                    slot.put(frame)
                if stopping.is_set():
                    break
    except SourceError as error:
        return End(type(error).__name__, redact(str(error)))
    except Exception as error:  # the parent must learn of a bug, whatever it is
        log.exception("the reader failed")
        return End("Unreachable", redact(f"the reader failed: {type(error).__name__}: {error}"))
    return End("", "")


def _send(pipe: int, slot: _Outgoing, memory: int | None) -> None:
    known: Codec | None = None
    writer = None if memory is None else FrameWriter(memory)
    try:
        while (each := slot.take()) is not None:
            if isinstance(each, Frame):
                if writer is None:
                    write_frame(pipe, each)
                else:
                    write_announcement(pipe, each, writer.put(each.image))
                continue
            if each.codec is not known:
                known = each.codec
                write_codec(pipe, known)
            write_packet(pipe, each)
    except OSError:
        os._exit(0)  # nobody listens any more


def _end_with_parent(stopping: threading.Event) -> None:
    """The parent holds the other end of stdin; it closes even if the parent is killed."""
    os.read(0, 1)
    stopping.set()
    time.sleep(LEAVE)
    os._exit(0)


def _own_stdout() -> int:
    """The pipe to the parent, safe from anything that prints."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def _log_to_parent() -> None:
    """One line a record: level, logger, message; the parent logs it anew."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps([record.levelno, super().format(record)])
