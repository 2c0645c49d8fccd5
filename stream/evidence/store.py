"""Where evidence is kept: one directory, one chain, one thread that writes; nobody ever waits for it."""

import contextlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from stream.errors import OutputError
from stream.evidence.chain import Chain, now_text
from stream.evidence.collector import Collector
from stream.evidence.job import Facts, Job, Opening
from stream.evidence.key import Signer
from stream.evidence.maker import Maker
from stream.redact import redact
from stream.sinks import to_json
from stream.values import Alert

log = logging.getLogger(__name__)

WAITING = 64  # openings and jobs that wait
WAITING_BYTES = 256 << 20  # of their packets
TICK = 0.5  # s between two looks at alerts whose source fell silent
PRUNE = 600.0  # s between two looks at what is too old
LOST = 100  # alerts without evidence that the next manifest names
HURRY = 8.0  # s for what waits when a signal ends the program
PATIENCE = 180.0  # s for it at the end of a file
NICE = 10  # the thread gives way to the streams, its child even more

Adorn = Callable[[Path, Job], None]  # adds files to a folder before it is sealed, e.g. heat maps


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept."""

    quota: int  # bytes
    days: float | None  # None: as long as it fits


class EvidenceStore:
    """Takes alerts from many streams and makes a signed folder of each, one after the other."""

    def __init__(self, folder: Path, signer: Signer, limits: Limits, adorn: Adorn | None = None) -> None:
        """Open the directory. adorn: runs in the store's thread; what it raises is told and costs nothing.

        Raises OutputError: not writable, in use by another process, signed with another key.
        """
        self._adorn = adorn
        self._change = threading.Condition()
        self._queue: deque[Opening | Job] = deque()
        self._bytes = 0
        self._collectors: list[Collector] = []
        self._lost: deque[dict[str, str]] = deque(maxlen=LOST)
        self._losses = 0  # since the last manifest
        self._ending = False
        self.hurry = False  # the program was told to end: close() waits for HURRY only
        self.failing = False  # the last folder could not be written
        self._maker = Maker()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        except OSError as error:
            raise OutputError(f"evidence {folder}: {error.strerror or error}") from None
        try:
            self._chain = Chain(folder, signer, limits.quota, limits.days)
        except OutputError:
            self._lock.close()
            raise
        log.info("evidence goes to %s, signed by %s", folder, signer.fingerprint)
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def collector(self, facts: Facts, packets: bool, live: bool) -> Collector:
        """What a stream feeds. packets: its source can be tapped. live: it may fall silent."""
        collector = Collector(facts, self.submit, packets, live)
        with self._change:
            self._collectors = [*(each for each in self._collectors if not each.ended), collector]
        return collector

    def submit(self, item: Opening | Job) -> None:
        """Queue an alert; never blocks. Beyond the bounds it has no evidence, which is told and recorded."""
        size = item.size if isinstance(item, Job) else 0
        with self._change:
            room = len(self._queue) < WAITING and (not size or self._bytes + size <= WAITING_BYTES)
            if room and not self._ending:
                self._queue.append(item)
                self._bytes += size
                self._change.notify()
        if not room and isinstance(item, Job):
            self._lose(item.alert, "too many alerts at once")

    def close(self) -> None:
        """Write what waits, in bounded time; what remains stays unfinished. May be called twice."""
        with self._change:
            self._ending = True
            self._change.notify()
        end = time.monotonic() + PATIENCE
        while self._thread.is_alive() and time.monotonic() < end:
            if self.hurry:
                end = min(end, time.monotonic() + HURRY)
                self.hurry = False
            self._thread.join(0.2)
        if self._thread.is_alive():
            with self._change:
                self._queue.clear()
            self._maker.stop()
            self._thread.join(HURRY)
            log.error("evidence: not all of it was finished in time")
        self._lock.close()

    def _run(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        self._recover()
        pruned = time.monotonic()
        while True:
            item, ending = self._take()
            if item is not None:
                self._handle(item)
            elif ending:
                return
            for collector in self._collectors:
                collector.tick(time.monotonic())
            if time.monotonic() - pruned > PRUNE:
                pruned = time.monotonic()
                self._attempt(self._chain.prune)

    def _take(self) -> tuple[Opening | Job | None, bool]:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ending, TICK)
            item = self._queue.popleft() if self._queue else None
            if isinstance(item, Job):
                self._bytes -= item.size
            return item, self._ending

    def _handle(self, item: Opening | Job) -> None:
        folder: Path | None = None
        try:
            folder = self._chain.begin(item.alert.id)
            if isinstance(item, Opening):
                _write_json(folder / "event.json", {"schema": 1, "events": [to_json(item.alert)]})
                return
            self._finish(item, folder)
        except Exception as error:  # a full disk, say: watching goes on
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(item, Job):  # after an opening there is a second chance
                self._lose(item.alert, redact(why))

    def _finish(self, job: Job, folder: Path) -> None:
        facts = job.facts
        _write_json(folder / "event.json", {"schema": 1, "events": [to_json(each) for each in job.events]})
        _write_json(folder / "settings.json", facts.settings)
        _write_json(folder / "model.json", {**facts.model, "card": json.loads(facts.card)})
        told = self._maker.make(job, folder)
        problems = told["problems"]
        if self._adorn is not None:
            try:
                self._adorn(folder, job)
            except Exception as error:
                log.warning("evidence: %s", redact(str(error)))
                problems.append(f"not adorned: {redact(str(error))}")
        about = {"alert": job.alert.id, "stream": facts.stream, "source": facts.source}
        self._seal(folder, job.alert.id, {**about, "complete": not problems, **told})
        for problem in problems:
            log.warning("evidence of %s: %s", job.alert.id, problem)

    def _seal(self, folder: Path, name: str, fields: Mapping[str, Any]) -> None:
        with self._change:
            losses, named = self._losses, list(self._lost)
        place = self._chain.seal(
            folder, name, {**fields, "without_evidence": {"count": losses, "alerts": named}}
        )
        self.failing = False
        with self._change:
            self._losses -= losses
            self._lost = deque((each for each in self._lost if each not in named), LOST)
        log.info("evidence: %s, head %s", place, self._chain.head)

    def _recover(self) -> None:
        """Seal what a crash left behind, as it is; the manifest says so."""
        self._attempt(self._chain.sweep)
        folders: list[Path] = []
        with contextlib.suppress(OSError):
            folders = self._chain.unfinished()
        for folder in folders:
            self._attempt(partial(self._adopt, folder))
        self._attempt(self._chain.prune)

    def _adopt(self, folder: Path) -> None:
        name = folder.name.partition("-")[2]
        if not any(folder.iterdir()) or name.startswith("deleted-"):
            shutil.rmtree(folder)  # an alert's has its event in it from the first moment on
            return
        why = "the program ended while it was made; sealed as it was found when the next one began"
        self._seal(folder, name, {"alert": name, "complete": False, "problems": [why]})

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            log.error("evidence: %s", redact(str(error)))

    def _lose(self, alert: Alert, why: str) -> None:
        """An alert has no evidence: told once until it works again, and named in the next manifest."""
        with self._change:
            self._losses += 1
            self._lost.append({"alert": alert.id, "when": now_text(), "why": why})
        log.log(
            logging.DEBUG if self.failing else logging.ERROR,
            "evidence of %s was not kept: %s; watching goes on", alert.id, why,
        )  # fmt: skip
        self.failing = True


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _locked(folder: Path) -> IO[bytes]:
    """Hold the directory for this process, as long as the file is open. Raises OSError, OutputError."""
    file = (folder / ".lock").open("ab")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        log.debug("this system has no locks; do not let two programs write to %s", folder)
    except BlockingIOError:
        file.close()
        raise OutputError(f"evidence {folder}: another process writes there; give each its own") from None
    except OSError as error:
        log.warning("evidence %s: cannot be locked (%s)", folder, error.strerror)
    return file
