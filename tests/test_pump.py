"""The pump's pace: what a rate leaves out, what it counts, and that what it takes is fresh."""

import threading
import time

import numpy as np
import pytest

from stream.meter import Meter
from stream.pump import Pump
from stream.values import Frame, Health, Result, State
from stream.work import Turns, Work

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
