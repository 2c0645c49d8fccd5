"""A bounded queue of events on disk, one file an event, that survives a crash of the program.

Any number of programs may put events into the same folder; only the one that holds its lock takes them out.
"""

import hashlib
import itertools
import os
import re
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult

from stream.sinks import victim
from stream.values import Phase

REJECTED = 200  # refused events kept to be looked at
STALE = 60.0  # s after which a file that was never finished is a leftover of a crash

NAME = re.compile(r"(\d{16})-([0-9a-f]{8})-(opened|updated|closed)\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event that waits."""

    name: str
    sequence: int  # µs, grows with each event that a program puts in
    phase: Phase
    size: int  # bytes


def folder_for(url: SplitResult) -> str:
    """The name of a receiver's folder. The account is left out: a new password must not orphan what waits."""
    place = url._replace(netloc=url.netloc.rpartition("@")[2], fragment="").geturl()
    return f"webhook-{hashlib.sha256(place.encode()).hexdigest()[:16]}"


def try_lock(file: int) -> bool:
    """Take the lock on an open file; False if someone else holds it. It ends with the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_durably(folder: Path, name: str, data: bytes) -> None:
    """Write a file so that, after a crash at any moment, it is there whole or not at all. Raises OSError."""
    unfinished = folder / f"{name}.part"
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, folder / name)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":
        here = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(here)
        finally:
            os.close(here)


class Spool:
    """Events in order of their making; too many, and the oldest UPDATED goes first, then the oldest."""

    def __init__(self, folder: Path, max_events: int, max_bytes: int) -> None:
        """Make the folder if it is not there. Raises OSError."""
        self._folder, self._max_events, self._max_bytes = folder, max_events, max_bytes
        self._rejected = folder / "rejected"
        self._rejected.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._token = secrets.token_hex(4)  # tells programs apart that write in the same microsecond
        self._last = 0
        self._lock: int | None = None
        self.dropped = 0  # events that the bounds cost

    def lock(self) -> bool:
        """Become the one who takes events out; True if we are."""
        if self._lock is None:
            file = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not try_lock(file):
                os.close(file)
                return False
            self._lock = file
            self._sweep()
        return True

    def unlock(self) -> None:
        """Let another program take events out."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def put(self, phase: Phase, body: bytes) -> int:
        """Keep one event; returns how many had to go for it. Raises OSError, then it is not kept."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        write_durably(self._folder, f"{self._last:016d}-{self._token}-{phase.value}.json", body)
        entries, gone = self.entries(), 0
        size = sum(entry.size for entry in entries)
        while entries and (len(entries) > self._max_events or size > self._max_bytes):
            entry = entries.pop(victim([e.phase for e in entries]))
            self.remove(entry)
            size, gone = size - entry.size, gone + 1
        self.dropped += gone
        return gone

    def entries(self) -> list[Entry]:
        """All events that wait, the oldest first. Raises OSError."""
        found = []
        with os.scandir(self._folder) as items:
            for item in items:
                if match := NAME.fullmatch(item.name):
                    try:
                        size = item.stat().st_size
                    except FileNotFoundError:  # delivered by another program meanwhile
                        continue
                    found.append(Entry(item.name, int(match[1]), Phase(match[3]), size))
        return sorted(found, key=lambda entry: entry.name)

    def read(self, entry: Entry) -> bytes | None:
        """The event's body; None if the bounds have cost it meanwhile."""
        try:
            return (self._folder / entry.name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, entry: Entry) -> None:
        """Forget an event."""
        (self._folder / entry.name).unlink(missing_ok=True)

    def reject(self, entry: Entry) -> None:
        """Put an event aside that nobody will ever take; the newest of them are kept."""
        os.replace(self._folder / entry.name, self._rejected / entry.name)
        aside = sorted(path for path in self._rejected.iterdir() if NAME.fullmatch(path.name))
        for path in itertools.islice(aside, max(len(aside) - REJECTED, 0)):
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for path in self._folder.glob("*.part"):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink(missing_ok=True)
