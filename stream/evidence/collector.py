"""Gathers what evidence is made of, one collector a stream: packets, results, the events of its alerts."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stream.coded import Coded
from stream.evidence.job import AFTER, BEFORE, Facts, Job, Note, Opening
from stream.evidence.reencode import PictureEncoder
from stream.evidence.ring import KEEP, PacketRing
from stream.values import Alert, Health, Phase, Result

log = logging.getLogger(__name__)

NOTES = 2000  # results that are kept at most
OPEN = 16  # alerts of one stream that wait for their last seconds
LATE = 3.0  # s beyond AFTER that a silent live source is waited for
SLACK = 2.0  # s that results may come after the packets
HOPE = 2.0  # s without a packet after which a source that should have some is encoded here
_NOTHING = np.empty((0, 0, 3), np.uint8)


@dataclass(slots=True)
class _Open:
    """An alert that waits for the seconds after it."""

    events: list[Alert]
    until: float  # s on the source's clock
    deadline: float  # s, monotonic


class Collector:
    """An Observer and an Outlet of one stream's pump, and the tap of its source. Never blocks."""

    def __init__(
        self, facts: Facts, submit: Callable[[Opening | Job], None], packets: bool, live: bool
    ) -> None:
        """submit: never blocks. packets: the source is tapped. live: it may fall silent."""
        self._facts, self._submit, self._live = facts, submit, live
        self._ring = PacketRing()
        self._lock = threading.Lock()  # guards all below
        self._notes: deque[Note] = deque(maxlen=NOTES)
        self._open: list[_Open] = []
        self._encoder = None if packets else PictureEncoder(self._ring)
        self._first: float | None = None  # s, monotonic, of the first result
        self._ended = False

    def packet(self, coded: Coded) -> None:
        """Take one encoded picture of the source. Called by the thread that reads it."""
        if self._open:  # before the ring forgets: the source may have been away for long
            self._settle(lambda each: coded.time > each.until + SLACK)
        if self._encoder is None:
            self._ring.add(coded)

    def submit(self, alert: Alert) -> None:
        """Take one event; an opened alert waits for its last seconds."""
        with self._lock:
            for each in self._open:
                if each.events[0].id == alert.id:
                    each.events.append(alert)
            if alert.phase is not Phase.OPENED:
                return
            late = time.monotonic() + AFTER + LATE if self._live else float("inf")
            waiting = _Open([alert], alert.end + AFTER, late)
            self._open.append(waiting)
            early = self._open.pop(0) if len(self._open) > OPEN else None
        self._submit(Opening(alert, self._facts))
        if early is not None:
            self._submit(self._job(early))

    def see(self, result: Result, health: Health) -> None:
        """Take one result; where the source has no packets its picture is encoded, in another thread."""
        now = result.frame.time
        bare = replace(result, frame=replace(result.frame, image=_NOTHING))
        with self._lock:
            self._notes.append(Note(bare, health))
            while self._notes[0].time < now - KEEP:
                self._notes.popleft()
        self._encode(result)
        self._settle(lambda each: now >= each.until)

    def tick(self, now: float) -> None:
        """Give up waiting for the last seconds of alerts whose source fell silent. now: s, monotonic."""
        self._settle(lambda each: now >= each.deadline)

    def close(self) -> None:
        """The stream has ended: what waits is handed on as it is. Harmless when done twice."""
        self._settle(lambda each: True)
        if self._encoder is not None and not self._ended:
            self._encoder.close()
        self._ended = True

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._ended

    def _encode(self, result: Result) -> None:
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        if self._encoder is None and not self._ring.fed and now - self._first > HOPE:
            log.info("%s: no packets come; its evidence is encoded here", self._facts.source)
            self._encoder = PictureEncoder(self._ring)
        if self._encoder is not None:
            self._encoder.show(result.frame.image, result.frame.time)

    def _settle(self, due: Callable[[_Open], bool]) -> None:
        with self._lock:
            done = [each for each in self._open if due(each)]
            self._open = [each for each in self._open if not any(each is other for other in done)]
        for each in done:
            self._submit(self._job(each))

    def _job(self, each: _Open) -> Job:
        begin = each.events[0].start - BEFORE
        with self._lock:
            notes = tuple(note for note in self._notes if begin <= note.time <= each.until)
        packets = tuple(self._ring.between(begin, each.until))
        own = self._encoder is not None
        return Job(self._facts, tuple(each.events), begin, each.until, packets, notes, own)
