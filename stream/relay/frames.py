"""The newest picture of a stream, for several threads at once, each at its own pace."""

import threading
import time
from collections import deque
from dataclasses import replace

import cv2
import numpy as np

from stream.values import Frame

SILENT = 2.0  # s without a picture after which a stream counts as lost
_ALIKE = 0.03  # relative difference of width to height below which two sizes are of one shape
_SPAN = 2.0  # s over which the rate is counted


class Frames:
    """A slot that every reader looks into; nobody waits for anybody else."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._frame: Frame | None = None
        self._came: deque[float] = deque(maxlen=240)  # s, monotonic
        self._ended = False
        self.count = 0  # frames that came
        self.began = time.monotonic()

    def put(self, frame: Frame) -> None:
        """Leave a frame, which must carry a higher index than the one before; never waits."""
        with self._change:
            self._frame = frame
            self.count = frame.index + 1
            self._came.append(time.monotonic())
            self._change.notify_all()

    def newer(self, than: int, timeout: float) -> Frame | None:
        """The newest frame if its index is higher than `than`; None after `timeout` s or at the end."""
        with self._change:
            self._change.wait_for(lambda: self._ended or self._is_newer(than), timeout)
            return self._frame if self._is_newer(than) and not self._ended else None

    def _is_newer(self, than: int) -> bool:
        return self._frame is not None and self._frame.index > than

    @property
    def last(self) -> Frame | None:
        """The newest frame, taken or not."""
        return self._frame

    @property
    def silence(self) -> float:
        """s since the newest frame came, or since the beginning."""
        with self._change:
            return time.monotonic() - (self._came[-1] if self._came else self.began)

    @property
    def connected(self) -> bool:
        """Whether pictures come."""
        return self._frame is not None and not self._ended and self.silence < SILENT

    @property
    def rate(self) -> float:
        """Frames a second, of late."""
        with self._change:
            now = time.monotonic()
            recent = [moment for moment in self._came if now - moment < _SPAN]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0

    def end(self) -> None:
        """Nothing comes any more."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended


class Feed:
    """What a pump reads of a stream: offers what `stream.reader.LiveReader` does."""

    def __init__(self, frames: Frames, rate: float | None = None) -> None:
        """rate: analyse no more frames a second than this; None: as many as the machine can."""
        self._frames = frames
        self._period = 1 / rate if rate else 0.0
        self._due = 0.0  # s, monotonic
        self._seen, self._taken = -1, 0
        self._size = (0, 0)  # px, width and height of what is analysed

    def want(self, moment: float) -> None:
        """They cost nothing that could be spared."""

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame, each one once; None after `timeout` s without one."""
        wait = self._due - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, timeout))
            if wait > timeout:
                return None
        frame = self._frames.newer(self._seen, timeout)
        if frame is not None:
            self._due = time.monotonic() + self._period
            self._seen, self._taken = frame.index, self._taken + 1
            frame = self._in_one_size(frame)
        return frame

    def _in_one_size(self, frame: Frame) -> Frame:
        """Senders change the size of their pictures with the network; tracks should outlast that.

        The largest size of one shape is kept: smaller pictures are enlarged to it.
        """
        height, width = frame.image.shape[:2]
        kept_width, kept_height = self._size
        alike = abs(width * kept_height - height * kept_width) < _ALIKE * width * kept_height
        if not alike or width >= kept_width:
            self._size = width, height
            return frame
        image = cv2.resize(frame.image, self._size, interpolation=cv2.INTER_LINEAR)
        return replace(frame, image=np.asarray(image, np.uint8))

    @property
    def frames(self) -> int:
        """Frames that came, the dropped ones too."""
        return self._frames.count

    @property
    def dropped(self) -> int:
        """Frames that were never analysed because a newer one was there."""
        waiting = self._frames.last is not None and self._frames.last.index > self._seen
        return self._frames.count - self._taken - waiting

    @property
    def connected(self) -> bool:
        """Whether pictures come."""
        return self._frames.connected

    @property
    def finished(self) -> bool:
        """Whether the stream has ended."""
        return self._frames.ended

    @property
    def note(self) -> str:
        """What to tell a person while nothing comes."""
        return "" if self.connected else "no picture"
