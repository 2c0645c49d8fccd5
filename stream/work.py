"""The pumps' time at work: measured for each, and shared out in turns where cores are few."""

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2

SWITCH = 0.001  # s after which a thread of Python lets another in; the default of 5 ms is felt in the picture
BEHIND = 10  # steps of niceness
LONGEST = 0.5  # s that a live pump waits for its turn; one whose analysis hangs must not stop the others
PATIENCE = 1.0  # s that a file waits for room: it comes to its end even on a machine that is always full


def share_cores(threads: int) -> None:
    """Let the threads of this process disturb each other little; for a program, as it is felt in all of it.

    threads: of each of OpenCV's calls. With its own choice a second core wakes up, and idles round, for each
    small picture that is resized: 4 % of what a stream costs.
    """
    cv2.setNumThreads(threads)
    sys.setswitchinterval(SWITCH)


def give_way() -> None:
    """Let the calling thread give way to all others; on Linux each thread has a niceness of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        given = os.getpriority(os.PRIO_PROCESS, thread)  # the user may have started us behind others; nobody
        os.setpriority(os.PRIO_PROCESS, thread, max(given, BEHIND))  # but root may go back


@dataclass(slots=True)
class Work:
    """What a pump has done since it began. Its thread writes; others may read at any time."""

    frames: int = 0  # analysed
    busy: float = 0.0  # s, waiting for a turn included
    ages: float = 0.0  # s from capture to overlay, the sum over all frames
    begun: float | None = None  # s, monotonic, when the frame in work was taken

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While one frame is analysed."""
        self.begun = begun = time.monotonic()
        try:
            yield
        finally:
            self.begun = None
            self.busy += time.monotonic() - begun
            self.frames += 1

    def busy_until(self, now: float) -> float:
        """s of work, the frame in work included: one that never ends counts too."""
        begun = self.begun
        return self.busy + (0.0 if begun is None else max(now - begun, 0.0))


class _Ticket(threading.Event):
    """One that waits for a turn; set once it has it."""

    def __init__(self, soon: Callable[[], None] | None) -> None:
        super().__init__()
        self._soon = soon

    def tell(self) -> None:
        """It is the next one; said again, it does nothing."""
        soon, self._soon = self._soon, None
        if soon is not None:
            soon()


_Holders = dict[_Ticket, float]  # who has a turn, and since when, s, monotonic


class Turns:
    """Lets so many pumps work at once, and those that are in no hurry only where there is room beside them.

    More than there are cores would each be slower, and hand Python's lock round in vain; their frames age.
    """

    def __init__(
        self, most: float, room: float | None = None, longest: float = LONGEST, patience: float = PATIENCE
    ) -> None:
        """most: live pumps at once. room: pumps at work, in all, below which one that can wait is let in;
        as `most` if not told. longest, patience: s that one waits; then it goes on without a turn.
        """
        self._most, self._room = most, most if room is None else room
        self._longest, self._patience = longest, patience
        self._lock = threading.Lock()  # guards all below
        self._live: _Holders = {}  # the first to come first
        self._aside: _Holders = {}
        self._waiting: deque[_Ticket] = deque()  # live ones
        self._patient: deque[_Ticket] = deque()
        self.aside = 0.0  # s of processor time of those that could wait

    @contextlib.contextmanager
    def turn(self, soon: Callable[[], None] | None = None) -> Iterator[None]:
        """Wait for a place among the live ones, and keep it meanwhile.

        soon: called in any thread once one that has to wait is the next to get a place; must not block.
        """
        ticket = self._wait(self._waiting, self._live, self._longest, soon)
        try:
            yield
        finally:
            with self._lock:
                self._live.pop(ticket, None)
                self._hand_on()

    @contextlib.contextmanager
    def spare_turn(self) -> Iterator[None]:
        """Wait until the live ones leave room; what is live never waits for who has this one."""
        ticket = self._wait(self._patient, self._aside, self._patience)
        begun = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.aside += time.thread_time() - begun
                self._aside.pop(ticket, None)
                self._hand_on()

    def _wait(
        self,
        queue: deque[_Ticket],
        holders: _Holders,
        seconds: float,
        soon: Callable[[], None] | None = None,
    ) -> _Ticket:
        """Stand in a queue until it is one's turn, or for so many s."""
        ticket = _Ticket(soon)
        with self._lock:
            queue.append(ticket)
            self._hand_on()
        if not ticket.wait(seconds):
            with self._lock:
                if not ticket.is_set():  # it may have come just now
                    queue.remove(ticket)
                    self._take_over(ticket, holders, seconds)
                    self._hand_on()
        return ticket

    def _hand_on(self) -> None:
        """Give what is free to those who wait, the live ones first; tell who is the next of these."""
        now = time.monotonic()
        while self._waiting and len(self._live) < self._most:
            ticket = self._waiting.popleft()
            self._live[ticket] = now
            ticket.set()
        while self._patient and len(self._live) + len(self._aside) < self._room:
            ticket = self._patient.popleft()
            self._aside[ticket] = now
            ticket.set()
        if self._waiting:
            self._waiting[0].tell()

    def _take_over(self, ticket: _Ticket, holders: _Holders, seconds: float) -> None:
        """Take the place of one that has kept it all the time: it hangs, and must not cost others more."""
        now = time.monotonic()
        for oldest, since in list(holders.items())[:1]:
            if now - since >= seconds:
                del holders[oldest]
                holders[ticket] = now
