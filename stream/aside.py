"""Work that no frame waits for, done beside the pumps with what they leave of the processor."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stream.work import give_way

WAITING = 64  # tasks, the running ones too; a look's holds a crop of 110 KB

T = TypeVar("T")


class Aside:
    """A few threads that give way to all others, with a bounded queue before them. Safe to share."""

    def __init__(self, threads: int, waiting: int = WAITING) -> None:
        """The threads begin with the first tasks. waiting: tasks that may stand in the queue."""
        self._pool = ThreadPoolExecutor(threads, "aside", initializer=give_way)
        self._room = threading.Semaphore(waiting)

    def submit(self, task: Callable[[], T]) -> "Future[T] | None":
        """Queue a task, from any thread. None: there is no room, or it is closed, and nobody will do it."""
        if not self._room.acquire(blocking=False):
            return None
        try:
            future = self._pool.submit(task)
        except RuntimeError:  # what the pool raises once it is shut down
            self._room.release()
            return None
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self) -> None:
        """Drop what waits; what runs comes to its end unwatched."""
        self._pool.shutdown(wait=False, cancel_futures=True)
