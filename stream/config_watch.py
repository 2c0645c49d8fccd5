"""Watches a TOML file and hands its tables over whenever it has changed and settled."""

import contextlib
import logging
import os
import stat
import threading
from collections import deque
from pathlib import Path
from typing import Any

from stream.config import load_toml
from stream.errors import ConfigError

log = logging.getLogger(__name__)

_PERIOD = 0.5  # s between two looks

Version = tuple[int, int, int]  # inode, size, time of the last change: what tells one version from the next


class ConfigWatch:
    """Looks at a file now and then, in a thread of its own: a network's file system may hang."""

    def __init__(self, path: Path, known: Version | None, period: float = _PERIOD) -> None:
        """known: the version that was read already. period: s between two looks."""
        self._path, self._period = path, period
        self._known = self._before = known
        self._fresh: deque[dict[str, Any]] = deque(maxlen=1)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="config", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, Any] | None:
        """The tables of a new version, each once; None while there is none."""
        with contextlib.suppress(IndexError):
            return self._fresh.pop()
        return None

    def close(self) -> None:
        """End the thread; does not wait for it."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(self._period):
            version = version_of(self._path)
            # An editor may be half-way through: the same twice in a row is a finished version.
            if version is not None and version == self._before and version != self._known:
                self._known = version
                self._read()
            self._before = version

    def _read(self) -> None:
        try:
            self._fresh.append(load_toml(self._path))
        except ConfigError as error:
            log.error("%s; nothing is changed", error)


def version_of(path: Path) -> Version | None:
    """What a file is like now; None where there is no plain file: a new one may be on its way."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
