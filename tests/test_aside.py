"""What is done beside the pumps: bounded, of low priority, and its end hurts nobody."""

import os
import sys
import threading
import weakref
from functools import partial

import numpy as np
import pytest

from stream.aside import Aside
from stream.work import BEHIND, give_way

LONG = 10.0  # s


def test_there_is_room_for_so_many_tasks_and_again_once_they_are_done() -> None:
    aside, gate = Aside(1, waiting=3), threading.Event()
    taken = [aside.submit(lambda: gate.wait(LONG)) for _ in range(5)]
    assert [future is not None for future in taken] == [True, True, True, False, False]
    gate.set()
    assert all(future.result(LONG) for future in taken if future is not None)
    (again,) = {aside.submit(lambda: "done")}
    assert again is not None
    assert again.result(LONG) == "done"
    aside.close()


def test_what_is_cancelled_lets_go_of_its_picture_but_the_queue_keeps_its_end() -> None:
    aside, gate, begun = Aside(1, waiting=4), threading.Event(), threading.Event()
    aside.submit(lambda: begun.set() or gate.wait(LONG))
    assert begun.wait(LONG)
    pictures, taken = [], 0
    for _ in range(50):
        picture = np.zeros(1000, np.uint8)
        pictures.append(weakref.ref(picture))
        future = aside.submit(partial(picture.sum))
        del picture
        taken += future is not None
        assert future is None or future.cancel()
    assert taken == 3
    assert not any(picture() is not None for picture in pictures)
    gate.set()
    asked = None
    while asked is None:
        asked = aside.submit(lambda: "done")
    assert asked.result(LONG) == "done"
    aside.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there each thread has a niceness of its own")
def test_it_gives_way_to_all_others() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    aside, own = Aside(1), niceness()
    asked = aside.submit(niceness)
    assert asked is not None
    assert asked.result(LONG) == max(own, BEHIND)
    assert niceness() == own
    aside.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there each thread has a niceness of its own")
def test_a_program_that_was_started_behind_others_stays_there() -> None:
    found = []

    def thread() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND + 5)
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    one = threading.Thread(target=thread)
    one.start()
    one.join(LONG)
    assert found == [BEHIND + 5]


def test_once_closed_it_drops_what_waits_and_takes_nothing() -> None:
    aside, gate, begun = Aside(1), threading.Event(), threading.Event()
    running = aside.submit(lambda: begun.set() or gate.wait(LONG))
    waiting = aside.submit(lambda: True)
    assert running is not None
    assert waiting is not None
    assert begun.wait(LONG)
    aside.close()
    assert waiting.cancelled()
    assert aside.submit(lambda: True) is None
    gate.set()
    assert running.result(LONG)


def test_what_a_task_raises_reaches_who_asks_for_it_and_nobody_else() -> None:
    aside = Aside(1)
    broken, sound = aside.submit(lambda: 1 // 0), aside.submit(lambda: 1)
    assert broken is not None
    assert sound is not None
    with pytest.raises(ZeroDivisionError):
        broken.result(LONG)
    assert sound.result(LONG) == 1
    aside.close()
