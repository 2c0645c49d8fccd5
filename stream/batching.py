"""Joins what the streams of a process ask of one network into batches; each network has one worker.

The analysing threads call; each waits for its own answer. A batch takes what waits when the worker is free,
or, with a deadline, what comes within so many seconds of the oldest call; its size is padded to one of few.
Cf. D. Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.buckets import WIDE, Cut, in_runs, padded

BOUND = 512  # calls that wait for one network; whoever comes then waits before the door

Arrays = tuple[NDArray, ...]  # all with the rows (N, …) first
Run = Callable[[Hashable, Arrays], Sequence[NDArray]]
Ask = tuple[Hashable, Arrays]  # only rows of equal keys, shapes and types share a run


class BatcherClosedError(RuntimeError):
    """The batcher ended while the call waited, or before it came."""


@dataclass(slots=True, eq=False)
class _Call:
    """One thread's asks, until the last of them is answered."""

    left: int
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, eq=False)
class _Job:
    """One ask on its way."""

    kind: Hashable  # jobs of one kind may share a run
    key: Hashable
    arrays: Arrays
    call: _Call
    came: float  # s, monotonic
    outputs: Sequence[NDArray] | None = None
    error: Exception | None = None

    @property
    def rows(self) -> int:
        return len(self.arrays[0])


class Batcher:
    """Runs a network over the rows that several threads bring. Safe for any number of them."""

    def __init__(
        self,
        run: Run,
        *,
        name: str,
        deadline: float = 0.0,
        most: int = max(WIDE),
        cut: Cut = padded,
        bound: int = BOUND,
    ) -> None:
        """run: (key, arrays (N, …)) -> outputs (N, …), called by one thread alone.

        deadline: s that the oldest call may wait for company; 0: it takes what waits already. most: rows
        that end the waiting. cut: the sizes of the runs. bound: asks that may wait at once.
        """
        self._run, self._deadline, self._most, self._cut = run, deadline, most, cut
        self._bound = bound
        self._change = threading.Condition()  # guards all below
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._closed = False
        self.counts: Counter[str] = Counter()  # "asks", "rows", "batches"; written by the worker alone
        self._worker = threading.Thread(target=self._work, name=f"batches of {name}", daemon=True)
        self._worker.start()

    def __call__(self, asks: Sequence[Ask]) -> list[Sequence[NDArray]]:
        """The outputs of each ask, in order; waits for them.

        Raises what the network raised for these very rows, BatcherClosedError once it is closed.
        """
        if not asks:
            return []
        call = _Call(len(asks))
        jobs = [_Job((key, *map(_shape, arrays)), key, arrays, call, 0.0) for key, arrays in asks]
        for job in jobs:
            self._admit(job)
        call.done.wait()
        outputs = []
        for job in jobs:
            if job.error is not None:
                raise job.error
            if job.outputs is None:
                raise BatcherClosedError("the networks are closed")
            outputs.append(job.outputs)
        return outputs

    def close(self) -> None:
        """Answer nothing more: who waits gets BatcherClosedError. Waits a second for the run under way."""
        with self._change:
            self._closed = True
            for job in (*self._waiting, *self._running):
                job.call.done.set()
            self._waiting.clear()
            self._change.notify_all()
        self._worker.join(1.0)

    def _admit(self, job: _Job) -> None:
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._waiting) < self._bound)
            if self._closed:
                raise BatcherClosedError("the networks are closed")
            job.came = time.monotonic()
            self._waiting.append(job)
            self._change.notify_all()

    def _work(self) -> None:
        while jobs := self._gather():
            self._answer(jobs)
            with self._change:
                self._running = []
                for job in jobs:
                    job.call.left -= 1
                    if not job.call.left:
                        job.call.done.set()

    def _gather(self) -> list[_Job]:
        """The next jobs to run together, those of the oldest's kind; none at the end."""
        with self._change:
            while not self._closed:
                jobs = self._alike()
                if jobs:
                    left = jobs[0].came + self._deadline - time.monotonic()
                    if left <= 0 or sum(job.rows for job in jobs) >= self._most:
                        self._running = jobs
                        taken = set(map(id, jobs))
                        self._waiting = deque(job for job in self._waiting if id(job) not in taken)
                        self._change.notify_all()  # there is room
                        return jobs
                self._change.wait(left if jobs else None)
            return []

    def _alike(self) -> list[_Job]:
        """The oldest job and those of its kind, as many as fit into one batch."""
        jobs: list[_Job] = []
        rows = 0
        for job in self._waiting:
            if job.kind == self._waiting[0].kind and (not jobs or rows + job.rows <= self._most):
                jobs.append(job)
                rows += job.rows
        return jobs

    def _answer(self, jobs: list[_Job]) -> None:
        """Run jobs together. Where that fails each runs alone: an error reaches only its own caller."""
        try:
            outputs = self._through(jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].error = error
            else:
                for job in jobs:
                    self._answer([job])
            return
        start = 0
        for job in jobs:
            job.outputs = [output[start : start + job.rows] for output in outputs]
            start += job.rows

    def _through(self, jobs: list[_Job]) -> list[NDArray]:
        key, several = jobs[0].key, len(jobs) > 1
        columns = zip(*(job.arrays for job in jobs), strict=True)
        arrays = [np.concatenate(column) if several else column[0] for column in columns]
        self.counts.update(asks=len(jobs), rows=len(arrays[0]), batches=1)
        return in_runs(lambda *part: self._run(key, part), arrays, self._cut)


def _shape(array: NDArray) -> Hashable:
    return array.shape[1:], array.dtype.str
