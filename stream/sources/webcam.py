"""A webcam by index or device path, through OpenCV's V4L2, AVFoundation or DirectShow."""

import re
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stream.errors import Ended, Frozen, NoDevice, TooSmall
from stream.sources import SMALLEST, SourceOptions
from stream.timeline import Timeline
from stream.values import Frame

if TYPE_CHECKING:
    import cv2

SCHEMES = ("webcam", "camera")
LIVE = True


def device_of(url: str) -> int | str:
    """The index or device path in `0`, `webcam:0`, `webcam:/dev/video0`, `/dev/video0`. Raises NoDevice."""
    text = re.sub(r"^(webcam|camera):(//(?=\d))?", "", url, flags=re.I) or "0"
    if text.isdecimal():
        return int(text)
    if match := re.fullmatch(r"/dev/video(\d+)", text):
        return int(match[1]) if not sys.platform.startswith("linux") else text
    if text.startswith("/"):
        return text
    raise NoDevice(f'{url}: no webcam; give its number ("0") or its path ("/dev/video0")')


def frames(url: str, options: SourceOptions) -> Generator[Frame, None, None]:
    """Pictures as the camera takes them. Raises NoDevice, Frozen, TooSmall, and Ended if it is unplugged."""
    import cv2  # here, because every reader imports this module to learn its schemes

    device = device_of(url)
    _check(device)
    camera = cv2.VideoCapture(device, _backend())
    try:
        if not camera.isOpened():
            raise NoDevice(f"webcam {device}: cannot be opened, it is busy or no camera")
        _configure(camera, options)
        rate = camera.get(cv2.CAP_PROP_FPS)
        timeline = Timeline(1 / rate if rate and rate > 0 else 1 / 30)
        index = 0
        while True:
            asked = time.monotonic()
            grabbed = camera.grab()
            arrived = time.monotonic()
            got, image = camera.retrieve() if grabbed else (False, None)
            if not got or image is None:
                if arrived - asked >= options.stall:
                    raise Frozen(f"webcam {device}: no picture for {arrived - asked:.0f} s")
                raise Ended(f"webcam {device}: gives no more pictures")
            if min(image.shape[:2]) < SMALLEST:
                raise TooSmall(
                    f"webcam {device}: pictures of {image.shape[1]}x{image.shape[0]} px are too small"
                )
            # retrieve() may hand out the driver's own memory, which the next picture overwrites.
            yield Frame(np.array(image), timeline.place(None, arrived), arrived, index)
            index += 1
    finally:
        camera.release()


def _backend() -> int:
    import cv2

    return {"darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}.get(sys.platform, cv2.CAP_V4L2)


def _check(device: int | str) -> None:
    """On Linux a missing device is seen without asking a driver, and said more clearly."""
    if not sys.platform.startswith("linux"):
        return
    path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    if not path.exists():
        found = sorted(str(p) for p in Path("/dev").glob("video*"))
        raise NoDevice(
            f"{path}: no such camera; {'there are ' + ', '.join(found) if found else 'there is none'}"
        )


def _configure(camera: "cv2.VideoCapture", options: SourceOptions) -> None:
    """Ask for size and rate; drivers give what they have. MJPG: raw 720p at 30 a second fits no USB 2."""
    import cv2

    camera.set(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, options.open_timeout * 1000)
    camera.set(cv2.CAP_PROP_READ_TIMEOUT_MSEC, options.stall * 1000)
    if options.resolution:
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, options.resolution[0])
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, options.resolution[1])
    if options.rate:
        camera.set(cv2.CAP_PROP_FPS, options.rate)
