"""The pump's pace: what a rate leaves out, what it counts, and that what it takes is fresh."""

import math
import threading
import time

import numpy as np
import pytest

from stream.meter import Meter
from stream.pump import Pump
from stream.values import Frame, Health, Result, State
from stream.work import Turns, Work
from tests.servers import wait_for

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

    def want(self, moment: float) -> None:
        """They cost nothing that could be spared."""

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


class Crowd(Steps):
    """Notes how many are in it at once."""

    inside, most, lock = 0, 0, threading.Lock()

    def step(self, frame: Frame) -> Result:
        with Crowd.lock:
            Crowd.inside += 1
            Crowd.most = max(Crowd.most, Crowd.inside)
        time.sleep(0.002)
        with Crowd.lock:
            Crowd.inside -= 1
        return super().step(frame)


def test_no_more_pumps_work_at_once_than_there_are_turns():
    turns, pumps = Turns(2), [pump(Crowd(), Seen())[0] for _ in range(6)]
    for ours in pumps:
        ours.turns = turns
    threads = [threading.Thread(target=ours.run_live, args=(Script(20), None)) for ours in pumps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert Crowd.most == 2
    assert all(ours.work.frames >= 10 for ours in pumps)  # of two frames that are there the newer is taken


def test_what_was_overtaken_while_waiting_is_left_out_and_counted():
    steps, seen = Steps(), Seen()
    ours, meter = pump(steps, seen)
    ours.turns = Turns(1)
    ours.run_live(Script(40), None)
    assert steps.times == [(i + 1) / 30 for i in range(0, 40, 2)]
    assert meter.counts["dropped"] == seen.healths[-1].dropped == 20


class Camera(Script):
    """Its next frame comes when it is asked for; notes from when on frames are of use."""

    def __init__(self, ages: list[float]) -> None:
        """ages: s since its capture that each frame has when it is taken."""
        super().__init__(len(ages))
        self._ages, self.wants = ages, []

    def want(self, moment: float) -> None:
        self.wants.append(moment)

    def newest(self, timeout: float) -> Frame | None:
        if self.finished or timeout == 0:
            return None
        self.frames += 1
        captured = time.monotonic() - self._ages[self.frames - 1]
        return Frame(PICTURE, self.frames / 30, captured, self.frames - 1)


def test_while_others_work_no_frame_is_of_use_where_some_are_left_out():
    turns, steps, camera = Turns(1, longest=30), Steps(), Camera([0.2, 0.0])
    ours, meter = pump(steps, Seen())
    ours.turns, ours.rate = turns, 4.0
    with turns.turn():
        thread = threading.Thread(target=ours.run_live, args=(camera, None))
        thread.start()
        assert wait_for(lambda: len(turns._waiting) == 1, 10)
        assert camera.wants[-2:] == [math.inf, -math.inf]  # the next to work: from now on
    thread.join(10)
    assert steps.times == [2 / 30]  # the first one was too old by then
    assert meter.counts["dropped"] == 1
    assert -math.inf < camera.wants[-2] < math.inf  # while it works: from when on the rate has room


def test_a_fresh_frame_is_taken_as_it_is():
    for rate, ages in ((4.0, [0.01]), (None, [0.2])):  # where none are left out an old one is the newest
        steps, camera = Steps(), Camera(ages)
        ours, meter = pump(steps, Seen())
        ours.turns, ours.rate = Turns(1), rate
        ours.run_live(camera, None)
        assert steps.times == [1 / 30]
        assert meter.counts["dropped"] == 0


def test_a_turn_is_given_back_when_the_analysis_raises():
    class Fails(Steps):
        def step(self, frame: Frame) -> Result:
            raise MemoryError

    turns = Turns(1, longest=30)
    for _ in range(2):
        ours, _ = pump(Fails(), Seen())
        ours.turns = turns
        begin = time.monotonic()
        with pytest.raises(MemoryError):
            ours.run_live(Script(1), None)
        assert time.monotonic() - begin < 10


def test_an_analysis_that_hangs_does_not_keep_the_others_from_working():
    turns = Turns(1, longest=0.05)
    with turns.turn():
        ours, _ = pump(Steps(), Seen())
        ours.turns = turns
        ours.run_live(Script(10), None)
        assert ours.work.frames == 5
        assert ours.work.busy >= 0.05  # for the first frame only: then the turn is taken from who hangs
        assert not turns._live
