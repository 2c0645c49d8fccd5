"""The pump's pace: what a rate leaves out, what it counts, and that what it takes is fresh."""

import threading
import time

import numpy as np

from stream.meter import Meter
from stream.pump import Pump, Work
from stream.values import Frame, Health, Result, State

PICTURE = np.zeros((32, 32, 3), np.uint8)
HEALTH = Health("cam", "CPU", False, 0.0, None, 0, 0)


class Script:
    """A live source of 30 frames a second, told apart by their time of capture; takes no time at all."""

    connected, dropped, note = True, 0, ""

    def __init__(self, count: int) -> None:
        self.frames, self._count, self._begin = 0, count, time.monotonic()

    @property
    def finished(self) -> bool:
        return self.frames == self._count

    def newest(self, timeout: float) -> Frame | None:
        if self.finished:
            return None
        moment = self.frames / 30
        self.frames += 1
        return Frame(PICTURE, moment, self._begin + moment, self.frames - 1)


class Steps:
    """An analysis that notes what it was given."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, frame: Frame) -> Result:
        self.times.append(frame.time)
        return Result(frame, State.CLEAR, (), ())

    def finish(self) -> tuple:
        return ()


class Seen:
    def __init__(self) -> None:
        self.healths: list[Health] = []

    def see(self, result: Result, health: Health) -> None:
        self.healths.append(health)

    def close(self) -> None:
        pass


def pump(steps: Steps, seen: Seen) -> tuple[Pump, Meter]:
    meter = Meter()
    return Pump(steps, None, [], [seen], meter, HEALTH), meter


def test_without_a_rate_every_frame_is_analysed():
    steps, seen = Steps(), Seen()
    pump(steps, seen)[0].run_live(Script(60), None)
    assert len(steps.times) == 60
    assert seen.healths[-1].dropped == 0


def test_a_rate_takes_evenly_and_counts_what_it_leaves_out():
    steps, seen = Steps(), Seen()
    ours, meter = pump(steps, seen)
    ours.rate, ours.note = 10.0, "analysing 10 of 30 frames a second: the machine is full"
    ours.run_live(Script(90), None)
    assert 29 <= len(steps.times) <= 31
    assert max(np.diff(steps.times)) < 0.15
    assert seen.healths[-1].dropped == seen.healths[-1].frames - len(steps.times)
    assert meter.counts["frames"] == 90
    assert meter.counts["dropped"] == 90 - len(steps.times)
    assert seen.healths[-1].note == ours.note


def test_a_rate_that_is_lifted_lets_all_through():
    steps, seen = Steps(), Seen()
    ours, _ = pump(steps, seen)
    ours.rate = 10.0
    ours.run_live(Script(30), None)
    few = len(steps.times)
    ours.rate = None
    ours.run_live(Script(30), None)
    assert len(steps.times) == few + 30


def test_work_tells_of_a_frame_that_never_ends():
    held, begun = threading.Event(), threading.Event()

    class Stuck(Steps):
        def step(self, frame: Frame) -> Result:
            begun.set()
            held.wait(10)
            return super().step(frame)

    ours, _ = pump(Stuck(), Seen())
    thread = threading.Thread(target=ours.run_live, args=(Script(1), None))
    thread.start()
    assert begun.wait(5)
    now = time.monotonic()
    assert ours.work.busy_until(now + 5) >= 5
    held.set()
    thread.join(5)
    assert ours.work.busy_until(now + 5) < 5
    assert ours.work.frames == 1
    assert Work().busy_until(now) == 0
