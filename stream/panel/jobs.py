"""The queue of checks:

one file after another in a process apart, results kept for a while. Never blocks a caller.
"""

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from stream.check.checker import Checker
from stream.check.order import Checked, CheckOptions
from stream.check.values import Limits

log = logging.getLogger(__name__)

WAITING = 8  # checks that wait at most
KEPT = 64  # results at most
KEPT_BYTES = 128 << 20  # of their pictures
KEPT_SECONDS = 3600.0  # s
# What a stranger's file may cost. A relay analyses streams meanwhile.
LIMITS = Limits(bytes=100 << 20, seconds=120.0, memory=1 << 30, patience=300.0)
GENTLE = 10  # the niceness of the process apart


class Status(Enum):
    """Where a check is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Job:
    """One check of one file."""

    id: str  # 128 random bits; who has it may see the result
    name: str  # of the file, as the client called it, cleaned
    by: str  # the user who asked, "" for none
    created: float  # s since the epoch
    status: Status = Status.QUEUED
    progress: float = 0.0  # 0..1
    checked: Checked | None = None  # once it is done

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "id": self.id,
            "name": self.name,
            "by": self.by,
            "created": round(self.created, 3),
            "status": self.status.value,
            "progress": round(self.progress, 3),
            "report": self.checked.report.to_json() if self.checked else None,
            "pictures": sorted(self.checked.pictures) if self.checked else [],
        }


class BusyError(Exception):
    """As many checks wait as may wait."""


@dataclass(slots=True)
class _Entry:
    job: Job
    folder: Path | None = field(repr=False)  # with the upload; None once it is deleted
    path: Path | None = field(repr=False)


class Jobs:
    """Takes files, checks them in the order they came, keeps the results. Safe for any thread."""

    def __init__(
        self,
        options: CheckOptions,
        done: Callable[[Job], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """options: of every check. done: told of each result, by the working thread; must not block."""
        self.options, self._told, self._clock = options, done, clock
        self._change = threading.Condition()  # guards all below
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._ending = False
        self._checker: Checker | None = None
        self._current = ""
        self._worker = threading.Thread(target=self._work, name="checks", daemon=True)
        self._worker.start()

    @property
    def full(self) -> bool:
        """Whether one more would be refused."""
        with self._change:
            return sum(e.job.status is Status.QUEUED for e in self._entries.values()) >= WAITING

    def add(self, folder: Path, path: Path, by: str) -> Job:
        """Queue a file; `folder`, which holds it alone, is deleted after the check. Raises BusyError."""
        with self._change:
            waiting = sum(e.job.status is Status.QUEUED for e in self._entries.values())
            if waiting >= WAITING or self._ending:
                raise BusyError
            job = Job(secrets.token_urlsafe(16), path.name, by, self._clock())
            self._entries[job.id] = _Entry(job, folder, path)
            self._change.notify_all()
        return job

    def get(self, name: str) -> Job | None:
        """A job by its id, as long as it is kept."""
        with self._change:
            self._forget()
            entry = self._entries.get(name)
            return entry.job if entry else None

    def all(self, by: str | None = None) -> list[Job]:
        """Those that are kept, the newest first; of one user, or of all for None."""
        with self._change:
            self._forget()
            return [e.job for e in reversed(self._entries.values()) if by is None or e.job.by == by]

    def remove(self, name: str) -> bool:
        """Forget a job; its upload is deleted, its check ended."""
        with self._change:
            entry = self._entries.pop(name, None)
            running = self._current == name and self._checker is not None
            if running and self._checker is not None:
                self._checker.stop()
        if entry is not None and not running:
            _delete(entry.folder)
        return entry is not None

    def close(self) -> None:
        """End what runs, delete what waits. Returns when the worker has gone, within seconds."""
        with self._change:
            self._ending = True
            if self._checker is not None:
                self._checker.stop()
            self._change.notify_all()
        self._worker.join(5.0)
        for entry in self._entries.values():
            _delete(entry.folder)

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            checker, job = self._checker, entry.job
            assert checker is not None
            assert entry.path is not None
            try:
                checked: Checked | None = checker.check(entry.path, self.options, self._progress(job.id))
            except Exception:
                log.exception("a check failed")
                checked = None
            finally:
                _delete(entry.folder)
            self._finish(job.id, entry, checked)

    def _next(self) -> _Entry | None:
        with self._change:
            self._current, self._checker = "", None
            while not self._ending:
                for entry in self._entries.values():
                    if entry.job.status is Status.QUEUED:
                        entry.job = replace(entry.job, status=Status.RUNNING)
                        self._current, self._checker = entry.job.id, Checker()
                        return entry
                self._change.wait()
        return None

    def _progress(self, name: str) -> Callable[[float], None]:
        def tell(share: float) -> None:
            with self._change:
                entry = self._entries.get(name)
                if entry is not None:
                    entry.job = replace(entry.job, progress=min(max(share, entry.job.progress), 1.0))

        return tell

    def _finish(self, name: str, entry: _Entry, checked: Checked | None) -> None:
        with self._change:
            entry.folder = entry.path = None
            if name not in self._entries or self._ending:
                return
            if checked is None:
                del self._entries[name]
                return
            entry.job = replace(entry.job, status=Status.DONE, progress=1.0, checked=checked)
            self._forget()
            job = entry.job
        if self._told is not None:
            with contextlib.suppress(Exception):
                self._told(job)

    def _forget(self) -> None:
        """Drop results that are old, or too many, the oldest first."""
        done = [e for e in self._entries.values() if e.job.status is Status.DONE]
        size = sum(_size(e.job) for e in done)
        oldest = self._clock() - KEPT_SECONDS
        for number, entry in enumerate(done):
            left = len(done) - number
            if left <= 1 and entry.job.created > oldest:
                return
            if left > KEPT or size > KEPT_BYTES or entry.job.created <= oldest:
                size -= _size(entry.job)
                del self._entries[entry.job.id]


def _size(job: Job) -> int:
    return sum(map(len, job.checked.pictures.values())) if job.checked else 0


def _delete(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
