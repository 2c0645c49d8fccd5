"""The analysing thread of one stream. What fails in it is told, and touches neither picture nor relay."""

import logging
import threading
import uuid
from typing import Protocol

from stream.analysis import Analysis
from stream.backoff import Backoff
from stream.identity.match import Person
from stream.identity.teller import Teller
from stream.judge import Judge, Policy
from stream.late_search import late_search
from stream.meter import Meter
from stream.networks import Networks
from stream.pump import Observer, Pump
from stream.relay.frames import Feed
from stream.sinks import Dispatcher
from stream.tracker import Tracker
from stream.values import Health
from stream.work import give_way

log = logging.getLogger(__name__)


class Watched(Observer, Protocol):
    """The stream that is analysed."""

    @property
    def name(self) -> str:
        """As alerts tell it."""

    def health(self) -> Health:
        """How the stream does."""

    def complain(self, trouble: str) -> None:
        """Something is wrong with the analysis; the next result ends it."""


class Analyst:
    """Analyses a stream's newest frame again and again, until it ends; begins anew after an error."""

    def __init__(
        self,
        watched: Watched,
        feed: Feed,
        networks: Networks,
        dispatcher: Dispatcher,
        cooldown: float,
        expected: Person | None = None,
    ) -> None:
        """cooldown: s, of alerts. expected: who should be on screen."""
        self._watched, self._feed, self._networks = watched, feed, networks
        self._dispatcher, self._cooldown, self._expected = dispatcher, cooldown, expected
        self._ending = threading.Event()
        self._pump: Pump | None = None
        self.thread = threading.Thread(target=self._run, name=f"analysis of {watched.name}", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """End the thread; does not wait for it."""
        self._ending.set()
        if self._pump is not None:
            self._pump.stop.set()

    def _run(self) -> None:
        give_way()  # where the machine is too slow, to the picture
        backoff = Backoff(1.0, 30.0)
        while not self._ending.is_set() and not self._feed.finished:
            pump = self._pump = self._make()
            try:
                pump.run_live(self._feed, None)
            except Exception:
                log.exception("%s: the analysis failed, and begins anew", self._watched.name)
                self._watched.complain("the analysis failed")
                self._ending.wait(backoff.next())
            finally:
                pump.finish()

    def _make(self) -> Pump:
        networks = self._networks
        card, label = networks.detector.card, networks.label
        prefix = f"{self._watched.name}-{uuid.uuid4().hex[:8]}"
        judge = Judge(Policy(card.thresholds, cooldown=self._cooldown), self._watched.name, label, prefix)
        meter = Meter()
        tracker = Tracker(networks.faces, late=late_search(networks.faces, networks.aside, meter))
        analysis = Analysis(networks.detector, tracker, judge, meter, self._expected, networks.aside)
        observers: list[Observer] = [self._watched, Teller()] if self._expected else [self._watched]
        return Pump(analysis, self._dispatcher, [], observers, meter, self._watched.health())
