"""A process of its own that is fed pictures, and can be killed: for what could freeze or abort the program.

The window is one: OpenCV aborts without a display, and `import av` before `cv2.imshow` freezes windows on
some systems. The push is one: PyAV connects while it holds the interpreter's lock, which stops every thread.
It is started by hand, not by multiprocessing, which would import the program's main module there again.

In goes a line of JSON (what to do), then pictures, HEADER and pixels each; out come lines: READY for the next
picture, ENOUGH, or FAILED and a reason. The process ends with its input.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

import stream
from stream.redact import redact
from stream.views import Picture

log = logging.getLogger(__name__)

HEADER = struct.Struct("<IId")  # width, height in px, time in s; (height, width, 3) uint8 BGR follows
READY, ENOUGH, FAILED = b"ready", b"enough", b"failed"
END = 2.0  # s until a process that does not end is killed
CHILD = "import sys; sys.path.append(sys.argv[1]); from stream.views.process import main; main(sys.argv[2])"


class PictureProcess:
    """The parent's side. `ready` and `send` are called by one thread, the rest by any."""

    def __init__(self, module: str, argument: str) -> None:
        """Start a process that calls `serve(argument, Parent)` of `module`."""
        self._name = module.rpartition(".")[2]
        # -P: the folder in which the program was started must not lend it modules.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, str(Path(stream.__file__).parent.parent), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._input = cast(IO[bytes], self._process.stdin)
        self._ready = threading.Semaphore(0)
        self._words: deque[str] = deque(maxlen=20)  # its last ones
        self._failed = ""
        self.ended = self.enough = False
        self._threads = [
            threading.Thread(target=work, name=f"{self._name} {work.__name__}", daemon=True)
            for work in (self._listen, self._overhear)
        ]
        for thread in self._threads:
            thread.start()
        with contextlib.suppress(OSError):  # a process that is gone already shows below
            # By the pipe, not as an argument: every user of the machine can read those.
            self._input.write(json.dumps(argument).encode() + b"\n")
            self._input.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ready(self, timeout: float | None = None) -> bool:
        """Wait until it can take a picture. False after `timeout` s, or if it has ended."""
        return self._ready.acquire(timeout=timeout) and not self.ended

    def send(self, image: NDArray[np.uint8], time: float) -> None:
        """Hand over one picture, (H, W, 3) uint8 BGR. Raises OSError if the process is gone."""
        self._input.write(HEADER.pack(image.shape[1], image.shape[0], time))
        self._input.write(np.ascontiguousarray(image).data)
        self._input.flush()

    def why(self) -> str:
        """Why it ended, in its own words, credentials removed."""
        for thread in self._threads:
            thread.join(END)
        words = [word for word in self._words if word]
        telling = [word for word in words if "connect to display" in word] or words[-1:]
        return self._failed or (telling[0] if telling else f"its process ended with {self._process.poll()}")

    def interrupt(self) -> None:
        """Kill it; `send` raises and `ready` returns False soon."""
        self._process.kill()

    def close(self) -> None:
        """Let it end, or kill it. Called by the thread that sends, or after that has ended."""
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(END)

    def _listen(self) -> None:
        with cast(IO[bytes], self._process.stdout) as pipe:
            for line in pipe:
                word, _, rest = line.strip().partition(b" ")
                if word == READY:
                    self._ready.release()
                elif word == ENOUGH:
                    self.enough = True
                elif word == FAILED:
                    self._failed = redact(rest.decode(errors="replace"))
        self.ended = True
        self._ready.release()

    def _overhear(self) -> None:
        with cast(IO[bytes], self._process.stderr) as pipe:
            for line in pipe:
                self._words.append(redact(line.decode(errors="replace").strip()))
                log.debug("%s: %s", self._name, self._words[-1])


class Parent:
    """The process's side."""

    def __init__(self) -> None:
        self._input = os.fdopen(0, "rb", closefd=False)
        self._output = os.dup(1)
        os.dup2(2, 1)  # nothing that a library prints may pass for an answer

    def argument(self) -> str:
        """What to do."""
        return str(json.loads(self._input.readline()))

    def answer(self, word: bytes, reason: str = "") -> None:
        """Say READY, ENOUGH or FAILED. Raises BrokenPipeError if the parent is gone."""
        os.write(self._output, b" ".join((word, " ".join(reason.split()).encode())) + b"\n")

    def pictures(self) -> Iterator[Picture]:
        """The pictures that come, until the parent lets go of us."""
        while len(head := self._input.read(HEADER.size)) == HEADER.size:
            width, height, time = HEADER.unpack(head)
            pixels = self._input.read(width * height * 3)
            if len(pixels) < width * height * 3:
                return
            yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3), time


def main(module: str) -> None:
    """What the process does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends us by closing the pipe
    parent = Parent()
    code = 0
    try:
        importlib.import_module(module).serve(parent.argument(), parent)
    except Exception as error:
        code = 1
        with contextlib.suppress(BrokenPipeError):
            parent.answer(FAILED, f"{type(error).__name__}: {error}")
    os._exit(code)  # not by way of the interpreter's end, where a thread that reads would abort it
