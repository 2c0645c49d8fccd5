"""Where the annotated picture goes: a window, a recording, a push; each in a thread or process of its own."""

import contextlib
import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = tuple[NDArray[np.uint8], float]  # (H, W, 3) BGR, never written to again; s on the source's clock


class View(Protocol):
    """Shows pictures. All methods are called by the pump's thread."""

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Show one picture. image: (H, W, 3) uint8 BGR, kept and not copied; time: s on the source's clock.

        Never raises for what goes wrong behind it, and never waits unless the view was told to lose nothing.
        """

    def close(self) -> None:
        """End within a bounded time; what was shown is complete. May be called twice."""

    @property
    def closed(self) -> bool:
        """The viewer has had enough: the pump should end. A view that merely broke is not closed."""


class Newest:
    """A slot for one picture between two threads: a newer one replaces it."""

    def __init__(self) -> None:
        self._picture: Picture | None = None
        self._change = threading.Condition()
        self._ended = False
        self.replaced = 0  # pictures that nobody took in time

    def put(self, image: NDArray[np.uint8], time: float) -> None:
        """Leave a picture; never waits."""
        with self._change:
            self.replaced += self._picture is not None
            self._picture = (image, time)
            self._change.notify()

    def take(self, timeout: float | None = None) -> Picture | None:
        """The newest picture that was not taken yet; None after `timeout` s or at the end."""
        with self._change:
            self._change.wait_for(lambda: self._picture is not None or self._ended, timeout)
            picture, self._picture = self._picture, None
            return None if self._ended else picture

    def end(self) -> None:
        """Nothing comes any more: whoever waits gets None."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended


def open_views(*, show: bool, record: str | None, push: str | None, title: str, wait: bool) -> list[View]:
    """Open the views that were asked for. Raises NoDisplay or OutputError, then none is left open.

    title: of the window. wait: the recording loses no picture and slows the pump instead (for files).
    """
    views: list[View] = []
    with contextlib.ExitStack() as stack:
        if show:
            from stream.views.window import Window

            views.append(Window(title))
            stack.callback(views[-1].close)
        if record is not None:
            from stream.views.record import Recorder

            views.append(Recorder(record, wait=wait))
            stack.callback(views[-1].close)
        if push is not None:
            from stream.views.push import Push

            views.append(Push(push))
        stack.pop_all()
    return views
