"""Runs the product's stair on several live streams in one process and measures it; prints JSON.

A process of its own, `python -m stream.bench.runner PLAN`, so that memory and CPU are of the streams alone: a
reader process and a pump's thread for each stream, one set of networks for all.
"""

import json
import logging
import os
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stream.analysis import Analysis
from stream.bench.clips import Clip
from stream.bench.eyes import Eyes, Measured, Timed, ages_of
from stream.bench.feeds import Decoded, Looped
from stream.bench.gauges import Gauges
from stream.errors import FacewitnessError
from stream.governed import Governed
from stream.governor import Governor, Rules
from stream.judge import Judge, Policy
from stream.late_search import late_search
from stream.memory import few_heaps
from stream.networks import Networks, open_networks
from stream.processor_load import ProcessorLoad
from stream.providers import choose
from stream.pump import LiveFrames, Pump
from stream.reader import LiveReader
from stream.sharing import Shared, pays
from stream.sinks import Dispatcher
from stream.streams import GOVERN
from stream.tracker import Tracker
from stream.values import Health
from stream.work import share_cores

COOLDOWN = 2.0  # s: every turn of the clip is an alert of its own
UP = 60.0  # s until every stream must have shown a picture
SETTLE = 2.0  # s after that which are not measured
GOVERNED = 20.0  # s instead, where the governor has to find the rates first


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do."""

    clip: Clip
    seconds: float  # measured
    addresses: tuple[str, ...] = ()  # of live streams, each of the clip
    decoded: int = 0  # instead: so many streams of frames that were decoded beforehand
    path: str = ""  # the clip's file, for those
    model: str = "detector"
    provider: str = "cpu"
    threads: int = 1
    min_face: int = 60
    rate: float | None = None  # frames a second of each stream that are analysed; None: all that come
    sparing: bool = False  # key frames and second eye as rarely as the governor has them on a full machine
    governed: bool = False  # the product's governor says how many, and how rarely the dear parts run
    batching: str = "auto"  # where it pays; or "on", "off"
    deadline: float = 0.0  # s that crops wait for company, where they are batched

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Plan":
        """What `to_json` wrote."""
        raw = json.loads(text)
        return Plan(Clip(**raw.pop("clip")), addresses=tuple(raw.pop("addresses")), **raw)


class _Stream:
    """One stream with its thread."""

    def __init__(
        self, name: str, reader: LiveFrames, networks: Networks, plan: Plan, window: Measured
    ) -> None:
        self.reader, self.meter, self.eyes = reader, Timed(window), Eyes(plan.clip, window)
        policy = Policy(networks.detector.card.thresholds, cooldown=COOLDOWN)
        judge = Judge(policy, name, networks.label, name)
        tracker = Tracker(networks.faces, late=late_search(networks.faces, networks.aside, self.meter))
        analysis = Analysis(networks.detector, tracker, judge, self.meter, aside=networks.aside)
        if plan.sparing:
            tracker.key_frames.stretch, analysis.thrift = Rules().sparing, Rules().thrift
        health = Health(name, networks.provider, False, 0.0, None, 0, 0)
        self.pump = Pump(analysis, Dispatcher([]), [self.eyes], [self.eyes], self.meter, health)
        self.pump.turns, self.pump.rate = networks.turns, plan.rate
        self.governed = Governed(name, self.pump, tracker, analysis)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._began = (0, 0)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """The measured time begins."""
        self._began = self.reader.frames, self.meter.counts["dropped"]

    def end(self) -> dict[str, Any]:
        """The measured time has ended: what was counted."""
        delivered = self.reader.frames - self._began[0]
        return {
            "delivered": delivered,
            "dropped": self.meter.counts["dropped"] - self._began[1],
            "analysed": len(self.eyes.ages),
            "ages_ms": ages_of(self.eyes.ages),
            "alerts": self.eyes.alerts,
            "alert_delays_s": [round(delay, 2) for delay in self.eyes.delays],
            "swaps": self.eyes.swaps(),
            "stages": self.meter.summary()["stages"],
        }

    def stop(self) -> None:
        self.pump.stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self.pump.run_live(self.reader, None)
        except Exception as error:
            self.error = error
        finally:
            self.pump.finish()
            self.eyes.up.set()


def run(plan: Plan) -> dict[str, Any]:
    """Run all streams for the plan's seconds. Raises FacewitnessError, or what failed in a stream."""
    few_heaps()  # all as `facewitness watch` does it for several streams
    share_cores(plan.threads)
    networks = open_networks(plan.model, choose(plan.provider), plan.threads, plan.min_face)
    batched = pays(networks.providers) if plan.batching == "auto" else plan.batching == "on"
    window = Measured()
    with ExitStack() as stack:
        shared = stack.enter_context(
            closing(Shared(networks.detector, networks.faces, batched=batched, deadline=plan.deadline))
        )
        shared.warm_up([(plan.clip.height, plan.clip.width)])
        ours = replace(networks, detector=shared.detector, faces=shared.faces)
        readers = _readers(plan, stack)
        streams = [_Stream(f"stream {i + 1}", r, ours, plan, window) for i, r in enumerate(readers)]
        for stream in streams:
            stack.callback(stream.stop)
            stream.start()
        for stream in streams:
            if not stream.eyes.up.wait(UP):
                raise TimeoutError(f"no picture within {UP:.0f} s")
        if plan.governed:
            threading.Thread(target=_govern, args=(streams, plan), daemon=True).start()
        time.sleep(GOVERNED if plan.governed else SETTLE)
        gauges = Gauges(os.getpid())
        for stream in streams:
            stream.begin()
        before = shared.counts()  # of the warm-up
        window.open = True
        time.sleep(plan.seconds)
        window.open = False
        counted = [stream.end() for stream in streams]
        cost = gauges.finish()
        for stream in streams:
            if stream.error is not None:
                raise stream.error
        return {
            "model": networks.label,
            "provider": networks.provider,
            "batches": {
                name: {what: count - before[name].get(what, 0) for what, count in counts.items()}
                for name, counts in shared.counts().items()
            },
            "cost": cost,
            "streams": counted,
        }


def _govern(streams: list[_Stream], plan: Plan) -> None:
    """Measure, decide, apply, as `facewitness watch` does it, until the process ends."""
    governor, processor, decided = Governor(), ProcessorLoad(), time.monotonic()
    while True:
        time.sleep(GOVERN)
        loads = [each.governed.load(each.reader.frames, most=plan.rate) for each in streams]
        now = time.monotonic()
        efforts = governor.step(loads, processor.share(), now - decided)
        decided = now
        for each, load in zip(streams, loads, strict=True):
            each.governed.apply(efforts[load.name], plan.rate)


def _readers(plan: Plan, stack: ExitStack) -> list[LiveFrames]:
    readers: list[LiveFrames] = []
    if plan.decoded:
        frames = Decoded.read(Path(plan.path), plan.clip.seconds)
        readers = [Looped(frames, i / plan.decoded) for i in range(plan.decoded)]
    for address in plan.addresses:
        readers.append(stack.enter_context(closing(LiveReader(address))))
    return readers


def main() -> int:
    """Take the plan from the command line, print the result as JSON."""
    logging.basicConfig(level=logging.WARNING)
    try:
        print(json.dumps(run(Plan.from_json(sys.argv[1]))))
    except (FacewitnessError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
