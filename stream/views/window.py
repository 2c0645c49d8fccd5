"""The view that shows the annotated picture in a window, drawn by a process of its own.

The process imports no PyAV: `import av` before `cv2.imshow` freezes windows on some systems. It is started by
hand, not by multiprocessing, which would import the program's main module, and PyAV with it, there again.

Pictures go in by its standard input (HEADER, then the pixels), one at a time: it answers READY when it could
draw the next one, and ENOUGH when the viewer closed the window.
"""

import contextlib
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

import stream
from stream.errors import NoDisplay
from stream.redact import redact
from stream.views import Newest

log = logging.getLogger(__name__)

HEADER = struct.Struct("<II")  # width, height in px; (height, width, 3) uint8 BGR follows
READY, ENOUGH = b"r", b"q"
KEYS = frozenset({27, ord("q"), ord("Q")})  # 27: Esc
LARGEST = 1920  # px a side; what is larger is shrunk before it goes to the process
START = 20.0  # s until the window must stand
END = 2.0  # s until the process is killed
TICK = 0.02  # s between two looks at the keyboard while no picture comes

CHILD = "import sys; sys.path.append(sys.argv[1]); from stream.views.window import draw; draw(sys.argv[2])"


class Window:
    """A window; its viewer ends the pump with q, Esc or by closing it."""

    def __init__(self, title: str) -> None:
        """Open the window and wait until it stands. Raises NoDisplay if it cannot."""
        check_display()
        root = str(Path(stream.__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, root, redact(title)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        self._stderr = cast(IO[bytes], self._process.stderr)
        self._slot = Newest()
        self._ready = threading.Semaphore(0)
        self._standing = threading.Event()
        self._closed = self._ending = False
        self._words: deque[str] = deque(maxlen=20)  # the process's last ones
        self._threads = [
            threading.Thread(target=work, name=f"window {work.__name__}", daemon=True)
            for work in (self._listen, self._hear, self._send)
        ]
        for thread in self._threads:
            thread.start()
        if not self._standing.wait(START) or self._process.poll() is not None:
            self.close()
            raise NoDisplay(f"the window cannot be opened: {self._why()}")

    @property
    def closed(self) -> bool:
        """Whether the viewer has closed the window."""
        return self._closed

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Leave a picture for the window; never waits."""
        self._slot.put(image, time)

    def close(self) -> None:
        """Close the window and end its process."""
        self._ending = True
        self._slot.end()
        self._ready.release()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(END)

    def _send(self) -> None:
        try:
            while True:
                self._ready.acquire()
                picture = self._slot.take()
                if picture is None:
                    return
                image = np.ascontiguousarray(_shrink(picture[0]))
                self._stdin.write(HEADER.pack(image.shape[1], image.shape[0]))
                self._stdin.write(image.data)
                self._stdin.flush()
        except OSError:
            return  # the process is gone; `_listen` knows why
        finally:
            with contextlib.suppress(OSError):
                self._stdin.close()

    def _listen(self) -> None:
        while word := self._stdout.read(1):
            if word == ENOUGH:
                self._closed = True
                break
            self._standing.set()
            self._ready.release()
        died = not (self._closed or self._ending)
        stood = self._standing.is_set()
        self._process.wait()
        self._slot.end()
        self._ready.release()
        self._standing.set()
        self._stdout.close()
        if died and stood:
            log.error("the window is gone, the rest goes on: %s", self._why())

    def _hear(self) -> None:
        for line in self._stderr:
            self._words.append(redact(line.decode(errors="replace").strip()))
            log.debug("window: %s", self._words[-1])
        self._stderr.close()

    def _why(self) -> str:
        self._threads[1].join(END)
        words = [word for word in self._words if word]
        telling = (
            [word for word in words if "connect to display" in word] or words[-1:] or ["no reason given"]
        )
        return f"{telling[0]} (its process ended with {self._process.poll()})"


def check_display() -> None:
    """Raise NoDisplay where OpenCV could open no window: there it would abort the process, not raise."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise NoDisplay("there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)")
    import cv2

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
    import cv2

    height, width = (max(round(n * scale), 1) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def draw(title: str) -> None:
    """What the process does: show the newest picture until the pipe ends or the viewer has had enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends us by closing the pipe
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may pass for an answer
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        _draw(title, answers)
    os._exit(0)  # not by way of the interpreter's end: the reading thread holds standard input


def _draw(title: str, answers: int) -> None:
    import cv2

    slot = Newest()
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    threading.Thread(target=_receive, args=(slot,), daemon=True).start()
    cv2.waitKey(1)
    os.write(answers, READY)
    size = (0, 0)
    while not slot.ended:
        picture = slot.take(TICK)
        key = cv2.waitKey(1) & 0xFF
        if key in KEYS or not _stands(title):  # looked at before imshow, which would make a new window
            os.write(answers, ENOUGH)
            break
        if picture is not None:
            image = picture[0]
            if size != image.shape[:2]:
                size = image.shape[:2]
                cv2.resizeWindow(title, size[1], size[0])
            cv2.imshow(title, image)
            cv2.waitKey(1)
            os.write(answers, READY)
    cv2.destroyAllWindows()


def _stands(title: str) -> bool:
    import cv2

    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) > 0
    except cv2.error:  # OpenCV 5 with Qt raises once the last window is closed
        return False


def _receive(slot: Newest) -> None:
    pipe = sys.stdin.buffer
    while len(head := pipe.read(HEADER.size)) == HEADER.size:
        width, height = HEADER.unpack(head)
        pixels = pipe.read(width * height * 3)
        if len(pixels) < width * height * 3:
            break
        slot.put(np.frombuffer(pixels, np.uint8).reshape(height, width, 3), 0.0)
    slot.end()
