"""A queue and one thread before the history, so that nobody waits for a database."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stream.backoff import Backoff
from stream.check.values import FileReport
from stream.errors import FacewitnessError, Refused
from stream.history.store import History
from stream.redact import redact
from stream.sinks import COMPLAIN, victim
from stream.values import Alert, Phase

log = logging.getLogger(__name__)

MOST = 1000  # entries that wait
HEAVIEST = 500_000  # samples in the reports that wait, some 100 MB


@dataclass(frozen=True, slots=True)
class _Job:
    """One entry to be written."""

    write: Callable[[], int]
    phase: Phase | None  # of an alert
    weight: int  # samples


class Recorder:
    """Writes to a history in the order of the calls. A database that is down is tried again and again."""

    def __init__(self, history: History, backoff: Backoff | None = None, most: int = MOST) -> None:
        """history: stays the caller's, who closes it after this. most: entries that wait."""
        self._history, self._most = history, most
        self._backoff = backoff or Backoff(0.2, 10.0)
        self._queue: deque[_Job] = deque()
        self._change = threading.Condition()
        self._until: float | None = None  # time.monotonic() after which nothing more is tried; None: open
        self._trouble, self._complained = "", -COMPLAIN
        self.dropped = self.written = 0
        self._thread = threading.Thread(target=self._run, name=f"history {history}", daemon=True)
        self._thread.start()

    def put_check(self, report: FileReport, by: str, at: float) -> None:
        """Have a check kept; see History.add_check. Never blocks, never raises."""
        weight = sum(len(face.samples) for face in report.faces)
        self._put(_Job(lambda: self._history.add_check(report, by, at), None, weight))

    def put_alert(self, alert: Alert, stream: str, at: float) -> None:
        """Have an event of an alert kept; see History.add_alert. Never blocks, never raises."""
        self._put(_Job(lambda: self._history.add_alert(alert, stream, at), alert.phase, 1))

    @property
    def waiting(self) -> int:
        """Entries that are not in the database yet."""
        with self._change:
            return len(self._queue)

    def close(self, timeout: float) -> None:
        """Write what waits, `timeout` s at most; what is left then is lost, counted and logged."""
        with self._change:
            self._until = time.monotonic() + timeout
            self._change.notify_all()
        self._thread.join(timeout)
        with self._change:
            lost = len(self._queue)
            self._queue.clear()
            self.dropped += lost
        if lost:
            log.error("history %s: %d entries could not be written in time and are lost", self._history, lost)

    def _put(self, job: _Job) -> None:
        with self._change:
            lost = int(self._until is not None)
            if not lost:
                self._queue.append(job)
            while self._too_much():
                # The first one may be in work.
                del self._queue[1 + victim([j.phase or Phase.OPENED for j in list(self._queue)[1:]])]
                lost += 1
            self.dropped += lost
            self._change.notify_all()
            loud = lost and time.monotonic() - self._complained >= COMPLAIN
            if loud:
                self._complained = time.monotonic()
        if loud:
            log.error("history %s: no room for more; %d entries lost so far", self._history, self.dropped)

    def _too_much(self) -> bool:
        if len(self._queue) < 2:
            return False
        return len(self._queue) > self._most or sum(job.weight for job in self._queue) > HEAVIEST

    def _run(self) -> None:
        while (job := self._next()) is not None:
            trouble = self._tried(job)
            self._tell(trouble)
            with self._change:
                if not trouble:
                    if self._queue and self._queue[0] is job:  # not given up by close()
                        self._queue.popleft()
                    self._backoff.reset()
                    continue
                self._change.wait_for(lambda: self._until is not None, self._backoff.next())
            if self._until is not None:
                time.sleep(min(0.1, max(self._until - time.monotonic(), 0)))

    def _next(self) -> _Job | None:
        """The oldest job, which stays in the queue; None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._queue or self._until is not None)
            if not self._queue or (self._until is not None and time.monotonic() >= self._until):
                return None
            return self._queue[0]

    def _tried(self, job: _Job) -> str:
        """Why it must be tried again, "" where it must not."""
        try:
            job.write()
            self.written += 1
        except Refused as error:
            self._lose(str(error))
        except FacewitnessError as error:
            return str(error)
        except Exception as error:  # this thread must not end before the program does
            self._lose(redact(f"{type(error).__name__}: {error}"))
        return ""

    def _lose(self, why: str) -> None:
        with self._change:
            self.dropped += 1
        log.error("history %s: an entry was not taken: %s", self._history, why)

    def _tell(self, trouble: str) -> None:
        """Log when trouble begins, changes or ends; not each try."""
        if trouble and trouble != self._trouble:
            log.warning("history: %s; %d entries wait, trying again", trouble, self.waiting)
        elif self._trouble and not trouble:
            log.info("history %s takes entries again", self._history)
        self._trouble = trouble
