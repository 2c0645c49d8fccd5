"""A reader's child process as its parent sees it: start, messages, log lines, a sure end."""

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from dataclasses import replace

from stream.coded import Codec, Coded
from stream.errors import Frozen, Unreachable
from stream.frame_memory import Announced, shared_memory
from stream.reader_child import BOOT
from stream.redact import redact
from stream.values import Frame
from stream.wire import PIPE, End, Order, read

log = logging.getLogger(__name__)

STARTING = 3.0  # s that a child may take to start on a busy machine, on top of opening the source
GRACE = 0.5  # s that a child has to end by itself before it is killed
LINES, EVERY = 5, 60.0  # lines that one child may log in so many s
LONGEST_LINE = 8192  # bytes


class Child:
    """One child that reads one source, and the watchdog that kills it when it is silent for too long."""

    def __init__(self, order: Order, name: str) -> None:
        """Start it. name: the source's, without credentials. Raises OSError if the system cannot."""
        self._name, self._options = name, order.options
        self._heard = False  # whether a frame came
        self._codec: Codec | None = None  # of the packets that come
        self._late = False  # whether the watchdog had to act
        self._deadline = time.monotonic() + order.options.open_timeout + STARTING  # s, monotonic
        self._over = threading.Event()
        self.memory = shared_memory()  # of the pictures that are announced
        handles = () if self.memory is None else (self.memory.handle,)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=handles,
            )
        except OSError:
            self._forget()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        _widen(self._pipe)
        self._threads = [
            threading.Thread(target=self._forward, name=f"log of {name}", daemon=True),
            threading.Thread(target=self._watch, name=f"watchdog of {name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        with contextlib.suppress(OSError):  # dead already: receive() will tell
            self._process.stdin.write(replace(order, memory=next(iter(handles), None)).to_line())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def receive(self) -> Frame | Announced | Coded | End:
        """Wait for the next message. A child that dies without a word gives an End that says so."""
        try:
            message = read(self._pipe, self._codec)
            while isinstance(message, Codec):
                self._codec = message
                message = read(self._pipe, self._codec)
            if isinstance(message, Announced) and self.memory is not None:
                self.memory.meet(message.place, message.height, message.width)
        except (ValueError, TypeError) as error:
            return End(Unreachable.__name__, f"{self._name}: {error}")
        if isinstance(message, Frame | Announced):
            self._heard = True
            self._deadline = time.monotonic() + self._options.stall
        return self._silent_end() if message is None else message

    def _silent_end(self) -> End:
        if self._late and self._heard:
            return End(Frozen.__name__, f"{self._name}: no picture for {self._options.stall:g} s")
        if self._late:
            limit = self._options.open_timeout
            return End(Unreachable.__name__, f"{self._name}: no picture within {limit:g} s")
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return End(Unreachable.__name__, f"{self._name}: the decoder's process {how}")

    def stop(self) -> None:
        """Ask it to end; it takes leave of its server first. From any thread, more than once."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once, from any thread; receive() then returns."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End it gently, else by force; leaves no zombie, thread or open pipe. At most GRACE s and a bit."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stop()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._process.stdout.close()
        self._process.stderr.close()
        self._forget()

    def _forget(self) -> None:
        if self.memory is not None:
            self.memory.close()

    def _due(self) -> float:
        """s, monotonic, when its silence has lasted too long; pictures that nobody wants are no silence."""
        unseen = self.memory.came if self.memory is not None and self._heard else 0.0
        return max(self._deadline, unseen + self._options.stall)

    def _watch(self) -> None:
        # A deadline is never set nearer than `stall` from now, so sleeping no longer than that misses none.
        while not self._over.wait(min(max(self._due() - time.monotonic(), 0.0), self._options.stall)):
            if time.monotonic() >= self._due():
                self._late = True
                self.kill()
                return

    def _forward(self) -> None:
        """Log what the child says on stderr, FFmpeg's lines included: redacted, and never a flood."""
        assert self._process.stderr
        begin, count, held = time.monotonic(), 0, 0
        with open(self._process.stderr.fileno(), "rb", closefd=False) as lines:
            while line := lines.readline(LONGEST_LINE):
                if time.monotonic() - begin > EVERY:
                    _tell_held(self._name, held)
                    begin, count, held = time.monotonic(), 0, 0
                if count < LINES:
                    level, text = _parse(line)
                    log.log(level, "%s: %s", self._name, redact(text))
                    count += 1
                else:
                    held += 1
        _tell_held(self._name, held)


def _tell_held(name: str, held: int) -> None:
    if held:
        log.warning("%s: %d more lines like these", name, held)


def _parse(line: bytes) -> tuple[int, str]:
    """Level and text of a line: the child's own are JSON, what a C library prints is not."""
    text = line.decode("utf-8", "backslashreplace").strip()
    try:
        level, text = json.loads(text)
        return int(level), str(text).strip()
    except (ValueError, TypeError):
        return logging.WARNING, text


def _widen(pipe: int) -> None:
    """Make the pipe larger where the system can."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
    except (ImportError, AttributeError, OSError):
        log.debug("the pipe keeps its size")
