"""Work that no frame waits for, done beside the pumps with what they leave of the processor."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stream.work import give_way

WAITING = 64  # tasks, the running ones too; a look's holds a crop of 110 KB, a search's a picture

T = TypeVar("T")


class Aside:
    """A few threads that give way to all others, with a bounded queue before them. Safe to share."""

    def __init__(self, threads: int, waiting: int = WAITING) -> None:
        """The threads begin with the first tasks. waiting: tasks that may stand in the queue."""
        self._pool = ThreadPoolExecutor(threads, "aside", initializer=give_way)
        self._room = threading.Semaphore(waiting)

    def submit(self, task: Callable[[], T]) -> "Future[T] | None":
        """Queue a task, from any thread. None: there is no room, or it is closed, and nobody will do it.

        One that is cancelled lets go of what it holds, but keeps its room until a thread comes to it: where
        none ever does, the queue has an end all the same.
        """
        if not self._room.acquire(blocking=False):
            return None
        future: Future[T] = Future()
        held = [task]
        future.add_done_callback(lambda _: held.clear())
        try:
            queued = self._pool.submit(_do, held, future)
        except RuntimeError:  # what the pool raises once it is shut down
            self._room.release()
            return None
        queued.add_done_callback(lambda done: self._ended(done, future))
        return future

    def _ended(self, queued: "Future[None]", future: "Future[T]") -> None:
        self._room.release()
        if queued.cancelled():
            future.cancel()

    def close(self) -> None:
        """Drop what waits; what runs comes to its end unwatched."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def timed(task: Callable[[], T]) -> tuple[T, float]:
    """What a task gives, and the s that it took."""
    begin = time.perf_counter()
    return task(), time.perf_counter() - begin


def _do(held: list[Callable[[], T]], future: "Future[T]") -> None:
    """Do the one task that is held, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = held[0]()
    except BaseException as error:  # whatever it is, it belongs to who asks for the result
        future.set_exception(error)
    else:
        future.set_result(result)
