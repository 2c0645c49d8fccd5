"""The view that sends the annotated picture to a media server, a receiver or a virtual camera."""

import itertools
import logging
import os
import signal
import sys
import threading
import time as clock
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray

from stream.backoff import Backoff
from stream.errors import OutputError
from stream.redact import SECRETS
from stream.views import Newest
from stream.views.process import READY, Parent, PictureProcess

log = logging.getLogger(__name__)

FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "rtmps": ("flv", {"flvflags": "no_duration_filesize"}),
    "srt": ("mpegts", {}),
    "udp": ("mpegts", {}),
    "tcp": ("mpegts", {}),
}
DEVICE = "/dev/"  # what begins so is a virtual camera
STALL = 10.0  # s without progress, connecting included, after which the connection is given up
ORPHAN = 15  # s, longer than STALL: when the process ends by itself, should nobody be there to kill it
STABLE = 5.0  # s after which a connection counts as good and the back-off begins anew
FIRST, MOST = 0.5, 30.0  # s, of the back-off
END = 5.0  # s until a push that does not end is killed
KEY = 8  # characters; a longer last part of an RTMP path is a stream key, which is a password


class Push:
    """Sends the newest picture, from a process of its own; connects again for ever."""

    def __init__(self, url: str) -> None:
        """url: rtsp(s), rtmp(s), srt, udp, tcp, or /dev/videoN of a virtual camera.

        Raises OutputError for another one, and for a device that is not there. A server may come later.
        """
        self._url = url
        self._name = url if url.startswith(DEVICE) else _check(url)
        if url.startswith(DEVICE):
            _check_device(url)
        self._slot = Newest()
        self._trouble = ""
        self._ending = threading.Event()
        self._process: PictureProcess | None = None
        self.sent = 0
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """A push never ends the pump."""
        return False

    @property
    def dropped(self) -> int:
        """Pictures that a newer one replaced before they could be sent."""
        return self._slot.replaced

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Leave a picture; never waits."""
        self._slot.put(image, time)

    def close(self) -> None:
        """End the stream and its process."""
        self._ending.set()
        self._slot.end()
        self._thread.join(END)
        if self._thread.is_alive() and self._process:
            self._process.interrupt()
            self._thread.join(END)

    def _run(self) -> None:
        backoff = Backoff(FIRST, MOST)
        while not self._ending.is_set():
            begin = clock.monotonic()
            self._process = PictureProcess(__name__, self._url)
            try:
                reason = self._feed(self._process)
            except OSError:
                reason = ""
            self._process.close()
            if self._ending.is_set():
                return
            self._tell(reason or self._process.why())
            if clock.monotonic() - begin > STALL + STABLE:
                backoff.reset()
            self._ending.wait(backoff.next())

    def _feed(self, process: PictureProcess) -> str:
        """Send until something breaks; returns why if the process cannot say so itself. Raises OSError."""
        first = True
        while process.ready(STALL):
            if not first:
                self._tell("")
            picture = self._slot.take()
            if picture is None:
                return ""
            process.send(*picture)
            self.sent += 1
            first = False
        if process.ended:
            return ""
        process.interrupt()
        return f"no progress for {STALL:.0f} s"

    def _tell(self, trouble: str) -> None:
        """Log when it begins to work or to fail, or fails otherwise; not each try."""
        if trouble and trouble != self._trouble:
            log.warning("push to %s fails, trying again: %s", self._name, trouble)
        elif not trouble and self._trouble != "none":
            log.info("pushing to %s", self._name)
        self._trouble = trouble or "none"


def _check(url: str) -> str:
    """The name of a URL without anything secret in it. Raises OutputError for one that cannot be."""
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    if scheme not in FORMATS:
        raise OutputError(f"cannot push there: known are {'://, '.join(FORMATS)}:// and {DEVICE}videoN")
    try:
        parts: SplitResult = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise OutputError(f"cannot push there: the {scheme} URL needs a host and, if any, a port in numbers")
    if scheme == "srt" and not speaks_srt():
        raise OutputError("cannot push there: this FFmpeg was built without srt")
    SECRETS.register(url)
    key = parts.path.rpartition("/")[2]
    if scheme.startswith("rtmp") and len(key) >= KEY:
        SECRETS.register_value(key)
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}/…"


def speaks_srt() -> bool:
    """Whether this FFmpeg was built with the SRT protocol."""
    import av

    try:
        av.open("srt://", format="mpegts").close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, OSError):  # it knows srt, and misses the host
        return True
    return True


def _check_device(path: str) -> None:
    import av

    if not sys.platform.startswith("linux") or not {"v4l2", "video4linux2,v4l2"} & av.formats_available:
        raise OutputError(f"cannot push to {path}: FFmpeg feeds no virtual camera here")
    if not os.path.exists(path):
        raise OutputError(f"cannot push to {path}: no such device (v4l2loopback makes one)")
    if not os.access(path, os.W_OK):
        raise OutputError(f"cannot push to {path}: permission denied")


def _limit(seconds: int) -> None:
    """Die after so many s; 0: live on. A parent that was killed cannot end us while a server keeps us."""
    if sys.platform != "win32":
        signal.alarm(seconds)  # its default action needs no interpreter, whose lock PyAV may hold


def serve(url: str, parent: Parent) -> None:
    """What the process does: one connection, until the parent lets go of us. Raises what breaks it."""
    import av

    from stream.views.video import RawWriter, VideoWriter

    parent.answer(READY)
    pictures = parent.pictures()
    first = next(pictures, None)
    if first is None:
        return
    size = first[0].shape[1], first[0].shape[0]
    writer: RawWriter | VideoWriter
    try:
        if url.startswith(DEVICE):
            writer = RawWriter(av.open(url, "w", format="v4l2"), size)
        else:
            name, options = FORMATS[urlsplit(url).scheme.lower()]
            container = av.open(url, "w", format=name, options=options)
            writer = VideoWriter(container, size, 30.0, {"preset": "ultrafast"})
        for image, time in itertools.chain([first], pictures):
            _limit(ORPHAN)
            writer.write(image, time)
            _limit(0)
            parent.answer(READY)
        _limit(ORPHAN)
        writer.close()
    except av.error.FFmpegError as error:  # its text holds the URL, its strerror does not
        raise ConnectionError(error.strerror) from None
