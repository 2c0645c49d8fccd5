"""The view that records the annotated picture into a file which stays readable whatever happens."""

import logging
import os
import threading
from collections import deque
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from stream.errors import OutputError
from stream.views import Picture
from stream.views.video import VideoWriter, choose_encoder

log = logging.getLogger(__name__)

# Written in fragments (µs long at most), which a crash cannot spoil; a clean end makes a plain file of them.
SAFE_MP4 = {"movflags": "hybrid_fragmented+frag_keyframe", "frag_duration": "1000000", "flush_packets": "1"}
FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("mp4", SAFE_MP4),
    ".m4v": ("mp4", SAFE_MP4),
    ".mov": ("mov", SAFE_MP4),
    ".mkv": ("matroska", {"flush_packets": "1"}),
    ".ts": ("mpegts", {"flush_packets": "1"}),
}
WAITING = 64 << 20  # bytes of pictures that wait to be encoded
FEWEST, MOST = 2, 30  # pictures that wait, whatever their size
END = 20.0  # s that close() waits for the last pictures


class Recorder:
    """Records into one file, from a bounded queue, in a thread of its own.

    The file appears with the first picture and replaces one of the same name. Times are the source's own
    (variable frame rate). The first picture gives the size; others are fitted with bars.
    """

    def __init__(self, path: str | Path, *, rate_hint: float = 30.0, wait: bool) -> None:
        """wait: show() waits for room (files); else a picture without room is dropped and counted (live).

        rate_hint: pictures per second where their times do not tell. Raises OutputError for an unknown
        extension or a path that cannot be written.
        """
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in FORMATS:
            raise OutputError(f"cannot record to {self.path}: its name must end in {', '.join(FORMATS)}")
        _check_writable(self.path)
        self._format = FORMATS[suffix]
        self._rate, self._wait = rate_hint, wait
        self.encoder = choose_encoder()
        self.recorded = self.dropped = 0
        self._queue: deque[Picture] = deque()
        self._change = threading.Condition()
        self._ending = self._broken = False
        self._writer: VideoWriter | None = None
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """A recording never ends the pump."""
        return False

    def show(self, image: NDArray[np.uint8], time: float) -> None:
        """Queue one picture; after a failure pictures are counted as dropped."""
        room = min(max(WAITING // max(image.nbytes, 1), FEWEST), MOST)
        with self._change:
            if self._wait:
                self._change.wait_for(lambda: len(self._queue) < room or self._broken or self._ending)
            if len(self._queue) >= room or self._broken or self._ending:
                self.dropped += 1
                return
            self._queue.append((image, time))
            self._change.notify_all()

    def close(self) -> None:
        """Encode what is queued and finish the file."""
        with self._change:
            already, self._ending = self._ending, True
            self._change.notify_all()
        self._thread.join(END)
        if self._thread.is_alive():
            log.error("recording %s does not end in time; its last seconds may be missing", self.path)
        elif not already and not self._broken:
            lost = f", {self.dropped} dropped" if self.dropped else ""
            log.info("recorded %d pictures%s to %s", self.recorded, lost, self.path)

    def _run(self) -> None:
        try:
            while (picture := self._take()) is not None:
                self._record(*picture)
        except Exception as error:  # a full disk, an encoder that fails: the pump goes on without a recording
            self._fail(error)
        finally:
            if self._writer:
                try:
                    self._writer.close()
                except Exception as error:
                    self._fail(error)

    def _take(self) -> Picture | None:
        with self._change:
            self._change.wait_for(lambda: self._queue or self._ending)
            picture = self._queue.popleft() if self._queue else None
            self._change.notify_all()
            return picture

    def _record(self, image: NDArray[np.uint8], time: float) -> None:
        if self._writer is None:
            name, options = self._format
            # "file:" keeps FFmpeg from reading a protocol into a name with a colon.
            container = av.open(f"file:{self.path}", "w", format=name, options=options)
            size = image.shape[1], image.shape[0]
            preset = {
                "preset": "veryfast" if self._wait else "ultrafast"
            }  # live, the processor is needed elsewhere
            self._writer = VideoWriter(container, size, self._rate, preset)
            log.info("recording to %s with %s", self.path, self.encoder)
        self._writer.write(image, time)
        self.recorded += 1

    def _fail(self, error: Exception) -> None:
        with self._change:
            already, self._broken = self._broken, True
            self.dropped += len(self._queue)
            self._queue.clear()
            self._change.notify_all()
        if not already:
            why = getattr(error, "strerror", None) or error
            log.error("recording %s stopped after %d pictures: %s", self.path, self.recorded, why)


def _check_writable(path: Path) -> None:
    """Raise OutputError unless a file can be made there. An existing one is not touched yet."""
    there = path.exists()
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        if not there:
            path.unlink()
    except OSError as error:
        raise OutputError(f"cannot record to {path}: {error.strerror}") from error
