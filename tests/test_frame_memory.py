"""Pictures through shared memory: whole or not at all, and no child can harm its parent there."""

import math
import os
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.frame_memory import SLOTS, FrameMemory, FrameWriter, Gate, Place, shared_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sealed memory is Linux's")


@pytest.fixture
def memory():
    ours = FrameMemory()
    yield ours
    ours.close()


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=12))
def test_each_picture_comes_as_it_was_whatever_the_sizes(sizes):
    memory = FrameMemory()
    writer = FrameWriter(memory.handle)
    for seed, (height, width) in enumerate(sizes):
        sent = picture(height, width, seed)
        place = writer.put(sent)
        memory.meet(place, height, width)
        assert np.array_equal(memory.fetch(place, height, width), sent)
    memory.close()


def test_a_picture_stays_until_the_writer_comes_round_and_is_never_half_another(memory):
    writer = FrameWriter(memory.handle)
    first = picture(40, 60, 0)
    place = writer.put(first)
    memory.meet(place, 40, 60)
    for seed in range(1, SLOTS):
        writer.put(picture(40, 60, seed))
        assert np.array_equal(memory.fetch(place, 40, 60), first)
    writer.put(picture(40, 60, SLOTS))
    assert memory.fetch(place, 40, 60) is None


def test_what_is_fetched_beside_a_busy_writer_is_whole_or_nothing(memory):
    writer = FrameWriter(memory.handle)
    places, over = [writer.put(np.zeros((300, 400, 3), np.uint8))], threading.Event()
    memory.meet(places[-1], 300, 400)

    def write() -> None:
        for value in range(1, 3000):
            places.append(writer.put(np.full((300, 400, 3), value % 256, np.uint8)))
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    whole = 0
    while not over.is_set():
        place = places[-1]
        got = memory.fetch(place, 300, 400)
        if got is not None:
            whole += 1
            assert (got == (place.serial - 1) % 256).all()
    thread.join()
    assert whole > 10


def test_what_was_met_can_be_fetched_after_the_handle_is_closed():
    memory = FrameMemory()
    sent = picture(30, 30, 1)
    place = FrameWriter(memory.handle).put(sent)
    memory.meet(place, 30, 30)
    memory.close()
    assert np.array_equal(memory.fetch(place, 30, 30), sent)


@pytest.mark.parametrize("offset", [0, 8, 4096, 1 << 40, (1 << 64) - 8])
def test_a_place_outside_the_memory_is_junk(memory, offset):
    with pytest.raises(ValueError, match="outside the memory"):
        memory.meet(Place(offset, 1), 100, 100)


def test_a_child_cannot_take_the_memory_away(memory):
    FrameWriter(memory.handle).put(picture(20, 20, 0))
    with pytest.raises(PermissionError):
        os.ftruncate(memory.handle, 0)


def test_the_gate_tells_what_is_wanted_and_what_came(memory):
    gate = Gate(memory.handle)
    assert (memory.count, memory.came) == (0, 0.0)
    assert gate.wants(0.0)
    memory.want(5.0)
    assert [gate.wants(moment) for moment in (4.999, 5.0, 6.0)] == [False, True, True]
    now = time.monotonic()
    gate.tell(7, now)
    assert (memory.count, memory.came) == (7, now)
    memory.want(-math.inf)
    assert gate.wants(0.0)


def test_without_memory_all_is_wanted():
    gate = Gate(None)
    gate.tell(1, 0.0)
    assert gate.wants(-1e9)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_child_that_tells_nonsense_counts_nothing_and_comes_never_from_the_future(memory, number):
    gate = Gate(memory.handle)
    gate.tell(number, time.monotonic() + 1e6 if number == 1e300 else number)
    assert memory.count == 0
    assert memory.came <= time.monotonic()


def test_there_is_such_memory_here():
    memory = shared_memory()
    assert memory is not None
    memory.close()
