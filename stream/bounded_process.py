"""Runs work that may crash or hang in a Python process of its own, and ends it in time."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping


class StoppedError(RuntimeError):
    """`stop` was called before the process was started."""


class BoundedProcess:
    """One process after the other; `stop` may be called by another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = False  # by `stop`, for good
        self.late = False  # the newest one took too long and was killed

    @contextlib.contextmanager
    def run(
        self, code: str, seconds: float, environment: Mapping[str, str] = {}
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A process that executes `code`, with pipes to its stdin and stdout; killed after `seconds`, or when
        the block is left. environment: in addition to this process's. Raises StoppedError, and OSError where
        the system starts none.
        """
        with self._lock:
            if self.stopped:
                raise StoppedError
            self.late = False
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        timer = threading.Timer(seconds, self._expire, [process])
        timer.daemon = True
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    assert pipe is not None
                    pipe.close()
            self._process = None

    def stop(self) -> None:
        """End what runs, and what would follow."""
        with self._lock:
            self.stopped = True
            process = self._process
        if process is not None:
            process.kill()

    def _expire(self, process: "subprocess.Popen[bytes]") -> None:
        self.late = True
        process.kill()
