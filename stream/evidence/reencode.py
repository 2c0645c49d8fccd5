"""Encodes the pictures of a source that has no packets (a webcam, the screen, WHEP) into a ring."""

import io
import logging
import threading
from collections import deque

import av
import numpy as np
from numpy.typing import NDArray

from stream.coded import Codec
from stream.evidence.ring import PacketRing
from stream.tapping import codec_of, coded
from stream.views.video import VideoWriter

log = logging.getLogger(__name__)

WAITING = 4  # pictures that wait to be encoded; further ones are left out
END = 5.0  # s that close() waits
_RATE = 30.0  # pictures a second where their times do not tell
_QUICK = {"preset": "ultrafast"}


class PictureEncoder:
    """Takes pictures from the pump, which never waits, and encodes them in a thread of its own."""

    def __init__(self, ring: PacketRing) -> None:
        """ring: takes what is encoded."""
        self._ring = ring
        self._queue: deque[tuple[NDArray[np.uint8], float]] = deque()
        self._change = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="evidence pictures", daemon=True)
        self._thread.start()

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Queue one picture, (H, W, 3) uint8 BGR, of `time` s; without room it is left out."""
        with self._change:
            if len(self._queue) < WAITING and not self._ending:
                self._queue.append((image, time))
                self._change.notify()

    def close(self) -> None:
        """End the thread."""
        with self._change:
            self._ending = True
            self._change.notify()
        self._thread.join(END)

    def _take(self) -> tuple[NDArray[np.uint8], float] | None:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ending)
            return self._queue.popleft() if self._queue and not self._ending else None

    def _run(self) -> None:
        try:
            self._encode()
        except Exception as error:  # the pump goes on without a clip
            self._ending = True
            log.error("evidence: its pictures cannot be encoded: %s", error)

    def _encode(self) -> None:
        writer: VideoWriter | None = None
        codec: Codec | None = None
        while (picture := self._take()) is not None:
            image, time = picture
            if writer is None:
                container = av.open(io.BytesIO(), "w", format="nut")
                writer = VideoWriter(container, (image.shape[1], image.shape[0]), _RATE, _QUICK)
                container.start_encoding()  # the stream then knows the encoder's parameter sets
            for packet in writer.encode(image, time):
                codec = codec or codec_of(writer.stream, packet)
                self._ring.add(coded(packet, time, codec))
