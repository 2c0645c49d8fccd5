"""One stream that is watched: its reader, tracker, judge, pump, views and meter, from settings to the end."""

import contextlib
import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.analysis import NO_MAPS, Analysis
from stream.batching import BatcherClosedError
from stream.config import Settings
from stream.errors import ConfigError, FacewitnessError
from stream.governed import Governed
from stream.governor import Effort, Load
from stream.identity.gallery import expected
from stream.identity.teller import Teller
from stream.judge import Judge, Policy
from stream.late_search import late_search
from stream.meter import Meter
from stream.networks import Networks
from stream.pump import Observer, Outlet, Pump
from stream.reader import LiveReader
from stream.scorer import mapper_of
from stream.secret import secret_in
from stream.sinks import SinkOptions
from stream.sources import SourceOptions, find, has_packets, open_frames
from stream.status import ScoreLog
from stream.stream_config import label, thresholds_of
from stream.tracker import Tracker
from stream.values import Alert, Health, State
from stream.views import View, open_views
from stream.work import give_way

if TYPE_CHECKING:
    from stream.coded import Tap
    from stream.evidence.store import EvidenceStore
    from stream.relay.serve import Page, Served

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _All:
    """Several outlets as one."""

    outlets: Sequence[Outlet]

    def submit(self, alert: Alert) -> None:
        """Queue one event at each."""
        for outlet in self.outlets:
            outlet.submit(alert)


class WatchedStream:
    """A stream with all that is its own; the networks, the sinks and the page are lent to it."""

    def __init__(
        self,
        settings: Settings,
        networks: Networks,
        outlet: Outlet,
        page: "Page | None" = None,
        observers: Sequence[Observer] = (),
        again: bool = False,
        evidence: "EvidenceStore | None" = None,
    ) -> None:
        """Open its outputs; nothing is read yet. settings: with its name. again: its score log goes on.

        Raises ConfigError, OutputError, UnknownScheme, NoDisplay; then nothing is left open.
        """
        self.settings, self.networks = settings, networks
        self.name, self.label = settings.name, label(settings)
        self._source = find(settings.source)
        self.live = self._source.LIVE or settings.realtime
        self.meter = Meter()
        self._reader: LiveReader | None = None
        self._served: Served | None = None
        self._tap: Tap | None = None
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None  # what ended it
        card = networks.detector.card
        limits = thresholds_of(card.thresholds, settings)
        if settings.explain and mapper_of(networks.detector) is None:
            raise ConfigError(NO_MAPS.format(networks.label))
        health = Health(
            self.label, networks.provider, not self.live, 0.0, None, 0, 0, explain=settings.explain
        )
        with contextlib.ExitStack() as stack:
            seeing = [*observers, *self._score_log(stack, again)]
            outlets = [outlet]
            if page is not None:
                self._served = page.add(self.name, health, networks.label)
                stack.callback(self._served.remove)
                seeing.append(self._served)
                outlets.append(self._served)
            if evidence is not None:
                from stream.evidence.facts import facts_of

                tapped = has_packets(settings.source)
                collector = evidence.collector(facts_of(settings, networks, limits), tapped, self.live)
                stack.callback(collector.close)
                seeing.append(collector)
                outlets.append(collector)
                self._tap = collector.packet if tapped else None
            views = self._views(stack)
            prefix = f"{self.name[:40]}-{uuid.uuid4().hex[:8]}"
            policy = Policy(limits, cooldown=settings.cooldown)
            judge = Judge(policy, self.label, networks.label, prefix)
            aside = networks.aside if self.live else None
            tracker = Tracker(networks.looker, late=late_search(networks.looker, aside, self.meter))
            person = None
            if settings.expect is not None:
                person = expected(settings.expect, networks, settings.enrolled, settings.enrolment_key)
                seeing.append(Teller())
            analysis = Analysis(networks.detector, tracker, judge, self.meter, person, aside)
            self.pump = Pump(analysis, _All(outlets), views, seeing, self.meter, health)
            self._governed = Governed(self.name, self.pump, tracker, analysis)
            self._open = stack.pop_all()
        self.pump.rate, self.pump.turns = settings.analysis_rate, networks.turns

    def run(self) -> None:
        """Watch until the end, the duration's or `stop`'s; closes all. Raises what the source raises."""
        settings = self.settings
        log.info("watching %s with %s on %s", self.label, self.networks.label, self.networks.provider)
        with self._open:
            self._open.callback(self.pump.finish)  # the first to be called
            options = source_options(settings)
            if not self.live:
                with contextlib.closing(open_frames(settings.source, options, self._tap)) as frames:
                    self.pump.run_file(frames, settings.duration)
                return
            reader = LiveReader(
                settings.source,
                options,
                retries=settings.retries,
                reconnect=not settings.realtime,
                tap=self._tap,
            )
            self._reader = reader
            if self._served is not None:
                self._served.explain(lambda: reader.note)
            with contextlib.closing(reader):
                self.pump.run_live(reader, settings.duration)

    def start(self) -> None:
        """Run in a thread of its own; what ends it stands in `error`. Raises RuntimeError without one."""
        thread = threading.Thread(target=self._main, name=f"stream {self.name}", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Ask it to end; does not wait."""
        self.pump.stop.set()

    def discard(self) -> None:
        """Close what never ran."""
        self._open.close()

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._thread is not None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self.pump.stop.is_set()

    @property
    def ended(self) -> bool:
        """Whether it was started and is over."""
        return self._thread is not None and not self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for its end, so many s at most."""
        if self._thread is not None:
            self._thread.join(max(timeout, 0.0))

    def health(self) -> Health:
        """How it does just now."""
        health, reader = self.pump.health, self._reader
        if not self.live or (reader is not None and reader.connected):
            return health
        note = reader.note if reader is not None else "not yet begun"
        return replace(health, connected=False, fps=0.0, age=None, note=note)

    @property
    def state(self) -> State:
        """That of its last result."""
        return self.pump.state

    def load(self) -> Load:
        """What it asked for and what it cost since this was called last."""
        offered = self._reader.frames if self._reader is not None else 0
        return self._governed.load(offered, self.settings.priority, self.settings.analysis_rate)

    def apply(self, effort: Effort) -> None:
        """Take up what the governor says."""
        self._governed.apply(effort, self.settings.analysis_rate)

    def summary(self) -> dict[str, Any]:
        """What `--meter` tells of it."""
        return {
            "schema": 1,
            "type": "summary",
            "source": self.label,
            "model": self.networks.label,
            "model_sha256": self.networks.sha256,
            "provider": self.networks.provider,
            **self.meter.summary(),
        }

    def _main(self) -> None:
        try:
            if not self.live:  # a file that is read at full speed
                give_way()
            self.run()
        except FacewitnessError as error:
            self.error = error
        except BatcherClosedError:  # the program ends, and did not wait for this stream
            log.debug("%s: its networks were closed", self.name)
        except Exception as error:
            self.error = error
            log.exception("%s: an error in this program ended the stream", self.name)

    def _score_log(self, stack: contextlib.ExitStack, again: bool) -> list[Observer]:
        if not self.settings.scores:
            return []
        scores = ScoreLog(self.settings.scores, wait=not self.live, append=again)
        stack.callback(scores.close)
        return [scores]

    def _views(self, stack: contextlib.ExitStack) -> list[View]:
        asked = self.settings
        views = open_views(
            show=asked.show, record=asked.record, push=asked.push, title=self.label, wait=not self.live
        )
        for view in views:
            stack.callback(view.close)
        return views


def source_options(settings: Settings) -> SourceOptions:
    """How the source is opened."""
    return SourceOptions(
        rtsp_transport=settings.rtsp_transport,
        resolution=settings.resolution,
        rate=settings.rate,
        open_timeout=settings.open_timeout,
        stall=settings.stall,
        realtime=settings.realtime,
    )


def sink_options(settings: Settings) -> SinkOptions:
    """What the sinks are told. Raises ConfigError where the secret cannot be read."""
    file = settings.webhook_secret_file
    secret = secret_in(file, "webhook secret") if file else None
    if settings.spool:
        return SinkOptions(hmac_secret=secret, spool_dir=Path(settings.spool))
    return SinkOptions(hmac_secret=secret)
