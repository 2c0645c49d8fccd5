"""The view that shows the annotated picture in a window, drawn by a process of its own."""

import logging
import os
import sys
import threading

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.errors import NoDisplay
from stream.redact import redact
from stream.views import Newest
from stream.views.process import ENOUGH, READY, Parent, PictureProcess

log = logging.getLogger(__name__)

KEYS = frozenset({27, ord("q"), ord("Q")})  # 27: Esc
LARGEST = 1920  # px a side; what is larger is shrunk before it goes to the process
START = 20.0  # s until the window must stand
END = 3.0  # s until a window that does not close is killed
TICK = 0.02  # s between two looks at the keyboard while no picture comes


class Window:
    """A window; its viewer ends the pump with q, Esc or by closing it."""

    def __init__(self, title: str) -> None:
        """Open the window and wait until it stands. Raises NoDisplay if it cannot."""
        check_display()
        self._process = PictureProcess(__name__, redact(title))
        if not self._process.ready(START):
            self._process.interrupt()
            self._process.close()
            raise NoDisplay(f"the window cannot be opened: {self._process.why()}")
        self._slot = Newest()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="window", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the viewer has closed the window."""
        return self._process.enough

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Leave a picture for the window; never waits."""
        self._slot.put(image, time)

    def close(self) -> None:
        """Close the window and end its process."""
        self._ending = True
        self._slot.end()
        self._thread.join(END)
        if self._thread.is_alive():
            self._process.interrupt()
            self._thread.join(END)

    def _run(self) -> None:
        try:
            while (picture := self._slot.take()) is not None:
                self._process.send(_shrink(picture[0]), picture[1])
                if not self._process.ready() or self._ending:
                    break
        except OSError:
            pass  # the process is gone, told below
        self._process.close()
        if not self._process.enough and not self._ending:
            log.error("the window is gone, the rest goes on: %s", self._process.why())


def check_display() -> None:
    """Raise NoDisplay where OpenCV could open no window: there it would abort the process, not raise."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise NoDisplay("there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set")
    lines = (line.split(":", 1) for line in cv2.getBuildInformation().splitlines() if ":" in line)
    toolkit = next((value.strip() for name, value in lines if name.strip() == "GUI"), "")
    if toolkit == "NONE":
        raise NoDisplay(
            "this OpenCV opens no windows: opencv-python-headless took the place of opencv-python; "
            "uninstall both, then install opencv-python"
        )


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = LARGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(round(n * scale), 1) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def serve(title: str, parent: Parent) -> None:
    """What the process does: show the newest picture until the pipe ends or the viewer has had enough."""
    slot = Newest()
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.waitKey(1)
    threading.Thread(target=_receive, args=(slot, parent), daemon=True).start()
    parent.answer(READY)
    size = (0, 0)
    while not slot.ended:
        picture = slot.take(TICK)
        if picture is not None:
            image = picture[0]
            if size != image.shape[:2]:
                size = image.shape[:2]
                cv2.resizeWindow(title, size[1], size[0])
            cv2.imshow(title, image)
        key = cv2.waitKey(1) & 0xFF  # the window can only be closed in here, so imshow never makes a new one
        if key in KEYS or not _stands(title):
            parent.answer(ENOUGH)
            break
        if picture is not None:
            parent.answer(READY)
    cv2.destroyAllWindows()


def _receive(slot: Newest, parent: Parent) -> None:
    for image, time in parent.pictures():
        slot.put(image, time)
    slot.end()


def _stands(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) > 0
    except cv2.error:  # OpenCV 5 with Qt raises once the last window is closed
        return False
