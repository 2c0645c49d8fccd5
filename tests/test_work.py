"""Turns at work: the live ones first, files in the room that they leave, and nobody for ever in vain."""

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from stream.processor_load import ProcessorLoad
from stream.work import Turns, Work
from tests.servers import wait_for

LONG = 30.0  # s that no test needs


@contextlib.contextmanager
def held(turn: contextlib.AbstractContextManager[None]) -> Iterator[threading.Event]:
    """The turn in a thread of its own, until the block's end; the event says that it was got."""
    got, go = threading.Event(), threading.Event()

    def run() -> None:
        with turn:
            got.set()
            go.wait(LONG)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield got
    finally:
        go.set()
        thread.join(LONG)


def test_no_more_live_ones_work_at_once_than_there_are_places():
    turns = Turns(2, longest=LONG)
    with held(turns.turn()) as one, contextlib.ExitStack() as later:
        assert one.wait(LONG)
        with held(turns.turn()) as two:
            assert two.wait(LONG)
            third = later.enter_context(held(turns.turn()))
            assert not third.wait(0.1)
        assert third.wait(LONG)  # two has gone
    assert not turns._live


def test_who_has_waited_long_enough_goes_on_without_a_turn():
    turns = Turns(1, longest=0.05)
    with held(turns.turn()) as one:
        assert one.wait(LONG)
        with turns.turn():
            assert not turns._waiting
            assert len(turns._live) == 1
    assert not turns._live


def test_who_waits_is_told_once_when_he_is_the_next_and_who_need_not_wait_is_not():
    turns, told = Turns(1, longest=LONG), []
    with contextlib.ExitStack() as third, contextlib.ExitStack() as second:
        with held(turns.turn(lambda: told.append(1))) as one:
            assert one.wait(LONG)
            assert told == []
            two = second.enter_context(held(turns.turn(lambda: told.append(2))))
            assert wait_for(lambda: len(turns._waiting) == 1, LONG)
            assert told == [2]
            third.enter_context(held(turns.turn(lambda: told.append(3))))
            assert wait_for(lambda: len(turns._waiting) == 2, LONG)
            assert told == [2]
        assert two.wait(LONG)
        assert told == [2, 3]
    assert told == [2, 3]


def test_who_gives_up_waiting_lets_the_next_one_know():
    turns, told = Turns(1, longest=0.3), []
    with contextlib.ExitStack() as third, held(turns.turn()) as one:
        assert one.wait(LONG)
        with held(turns.turn()) as two:
            assert wait_for(lambda: len(turns._waiting) == 1, LONG)
            turns._longest = LONG
            third.enter_context(held(turns.turn(lambda: told.append(3))))
            assert two.wait(LONG)  # it goes on without a turn
            assert wait_for(lambda: told == [3], 5)


def test_a_file_waits_for_the_live_ones_which_never_wait_for_it():
    turns = Turns(1, longest=LONG, patience=LONG)
    with contextlib.ExitStack() as last, contextlib.ExitStack() as first:
        with held(turns.spare_turn()) as file:
            assert file.wait(LONG)
            with held(turns.turn()) as live:
                assert live.wait(LONG)  # at once, beside it
                one = first.enter_context(held(turns.spare_turn()))
                assert not one.wait(0.1)
                two = last.enter_context(held(turns.spare_turn()))
                assert not two.wait(0.1)
        assert wait_for(lambda: one.is_set() or two.is_set(), LONG)
        assert one.is_set() != two.is_set()  # one place
    assert turns._live == turns._aside == {}


def test_files_take_turns_with_each_other_and_each_gets_on():
    turns, done = Turns(1, patience=LONG), [0] * 3
    stop = threading.Event()

    def file(i: int) -> None:
        while not stop.is_set():
            with turns.spare_turn():
                assert len(turns._aside) == 1
                time.sleep(0.002)
                done[i] += 1

    threads = [threading.Thread(target=file, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert wait_for(lambda: min(done) >= 5, LONG), done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", ["turn", "spare_turn"])
def test_one_that_hangs_loses_its_place_to_who_waited_for_it_in_vain(kind):
    turns = Turns(1, longest=0.2, patience=0.2)
    take = getattr(turns, kind)
    with held(take()) as hangs:
        assert hangs.wait(LONG)
        time.sleep(0.2)
        with take():
            turns._longest = turns._patience = LONG
        begin = time.monotonic()
        for _ in range(3):
            with take():
                assert len(turns._live) + len(turns._aside) == 1
        assert time.monotonic() - begin < LONG / 2
    assert turns._live == turns._aside == {}


def test_where_there_is_never_room_a_file_goes_on_after_a_while():
    turns = Turns(1, patience=0.05)
    with held(turns.turn()) as live:
        assert live.wait(LONG)
        begin = time.monotonic()
        with turns.spare_turn():
            assert 0.04 < time.monotonic() - begin < LONG
    assert not turns._aside


def test_on_an_accelerator_live_ones_never_wait_and_files_leave_them_the_cores():
    turns = Turns(float("inf"), room=2, patience=LONG)
    with held(turns.turn()) as one, held(turns.turn()) as two:
        assert one.wait(LONG)
        assert two.wait(LONG)
        with held(turns.turn()) as three:
            assert three.wait(LONG)
            turns._patience = 0.1
            with turns.spare_turn():
                assert not turns._aside  # it has waited in vain


def test_what_a_file_uses_does_not_count_as_the_machines_load():
    turns = Turns(1)
    load = ProcessorLoad()
    with turns.spare_turn():
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
    assert turns.aside == pytest.approx(0.1, abs=0.05)
    whole = ProcessorLoad()
    whole._spent, whole._when = load._spent, load._when
    assert load.share(turns.aside) < whole.share()


def test_work_that_never_ends_counts_too():
    work = Work()
    with work.at_work():
        assert work.busy_until(time.monotonic() + 5.0) == pytest.approx(5.0, abs=0.5)
    assert work.frames == 1
    assert work.busy < 1.0
    assert work.busy_until(time.monotonic() + 5.0) == work.busy
