"""A live source that heals itself: a child process reads it, and is killed and started anew when it fails."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from stream.backoff import Backoff
from stream.child import GRACE, Child
from stream.coded import Coded, Tap
from stream.errors import Ended, SourceError, UnknownScheme, Unreachable
from stream.frame_memory import Announced, FrameMemory
from stream.redact import SECRETS
from stream.sources import SourceOptions, display_name, find
from stream.timeline import TICK
from stream.values import Frame
from stream.wire import End, Order

log = logging.getLogger(__name__)

EARLY = 200  # packets that wait for a connection's first picture
STABLE = 10.0  # s of pictures after which a failure is a new one, not the last one again


class LiveReader:
    """Reads a source from now on; `newest` hands out its newest frame, older unread ones are dropped.

    One thread runs the children, one after the other; each child has a thread for its log and its watchdog.
    """

    def __init__(
        self,
        url: str,
        options: SourceOptions | None = None,
        *,
        retries: int | None = None,
        reconnect: bool = True,
        backoff: Backoff | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Start reading; does not wait for the source.

        retries: failed tries in a row after which it gives up; None = never. reconnect: False for a file
        that is played: its end is the end. tap: takes the source's encoded pictures, all of them and in
        order, in the reader's thread. Raises UnknownScheme.
        """
        find(url)
        SECRETS.register(url)
        self.name = display_name(url)
        self._order = Order(url, options or SourceOptions(), packets=tap is not None)
        self._tap = tap
        self._retries, self._reconnect = retries, reconnect
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()  # guards all below
        self._waiting: Callable[[], Frame | None] | None = None  # gets the newest frame that nobody took
        self._last: Frame | None = None  # newest that ever came; times and indices go on from it
        self._error: SourceError | None = None
        self._finished = False
        self._frames = self._taken = self._failures = 0
        self._before = 0  # frames of the connections before this one
        self._wanted = -math.inf  # s, monotonic; frames that come before are of no use
        self._connected, self._note = False, "connecting"
        self._told = ""  # the failure that was logged last
        self._child: Child | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader of {self.name}", daemon=True)
        self._thread.start()

    @property
    def frames(self) -> int:
        """Frames that the source delivered, the dropped ones too."""
        with self._changed:
            return self._count()

    @property
    def dropped(self) -> int:
        """Frames that nobody will see, because a newer one came before they were asked for."""
        with self._changed:
            return self._count() - self._taken - (self._waiting is not None)

    @property
    def connected(self) -> bool:
        """Whether pictures come."""
        return self._connected

    @property
    def finished(self) -> bool:
        """Whether a source without reconnection came to its good end and its last frame was taken."""
        with self._changed:
            return self._finished and self._waiting is None

    @property
    def note(self) -> str:
        """What to tell a person while nothing comes; "" while all is well."""
        return self._note

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame, each one once; None after `timeout` s without one, or at the end.

        Raises the SourceError that made the reader give up.
        """
        until = time.monotonic() + timeout
        while True:
            with self._changed:
                left = max(until - time.monotonic(), 0.0)
                self._changed.wait_for(lambda: self._waiting or self._error or self._finished, left)
                fetch, self._waiting = self._waiting, None
                if fetch is None:
                    if self._error is not None:
                        raise self._error.with_traceback(None)  # else each call would lengthen it
                    return None
                self._taken += 1
            frame = fetch()  # a copy, which nobody should wait for
            if frame is not None:
                return frame
            with self._changed:  # a newer one has taken its place meanwhile
                self._taken -= 1

    def want(self, moment: float) -> None:
        """Frames that come before `moment` (s, monotonic) are of no use: the child need not paint them."""
        if moment != self._wanted:
            with self._changed:
                self._wanted = moment
                self._tell_child()

    def close(self) -> None:
        """End the child and the threads, within two seconds. Harmless when done twice."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            child = self._child
        if child is not None:
            child.stop()
            self._thread.join(GRACE)
            child.kill()
        self._thread.join()

    def _tell_child(self) -> None:
        if self._child is not None and self._child.memory is not None:
            self._child.memory.want(self._wanted)

    def _count(self) -> int:
        """Frames so far; those that are not wanted come without a word, and the memory counts them."""
        if self._wanted > -math.inf and self._child is not None and self._child.memory is not None:
            self._frames = max(self._frames, self._before + self._child.memory.count)
        return self._frames

    def _run(self) -> None:
        while not self._closing.is_set():
            failure = self._connection()
            if self._closing.is_set():
                return
            if failure is None or self._gives_up(failure):
                self._finish(failure)
                return
            wait = self._backoff.next()
            why = str(failure).removeprefix(f"{self.name}: ")
            with self._changed:
                self._note = f"reconnecting in {wait:.1f} s: {why}"
            # The same failure again and again is told once.
            log.log(
                logging.DEBUG if why == self._told else logging.WARNING,
                "%s: %s; trying again",
                self.name,
                why,
            )
            self._told = why
            self._closing.wait(wait)

    def _gives_up(self, error: SourceError) -> bool:
        """Count a failure and decide."""
        if not self._reconnect or isinstance(error, UnknownScheme):
            return True
        if error.permanent and self._last is None:
            return True
        return self._retries is not None and self._failures >= max(self._retries, 1)

    def _finish(self, error: SourceError | None) -> None:
        with self._changed:
            self._error, self._finished = error, error is None
            self._note = "ended" if error is None else str(error)
            self._changed.notify_all()
        self._closing.set()

    def _connection(self) -> SourceError | None:
        """One life of a child. Returns why it ended; None for a good end without reconnection."""
        self._failures += 1  # until a picture proves otherwise
        try:
            child = Child(self._order, self.name)
        except OSError as error:
            return Unreachable(f"{self.name}: no process for it ({error.strerror})")
        with self._changed:
            self._child, self._before = child, self._frames
            self._tell_child()
            if self._closing.is_set():
                child.stop()
        try:
            end = self._receive(child)
        finally:
            with self._changed:
                self._count()
                self._child, self._connected = None, False
            child.close()
        failure = end.error()
        return Ended(f"{self.name}: the stream ended") if failure is None and self._reconnect else failure

    def _receive(self, child: Child) -> End:
        """Take frames until the child's end."""
        first: Frame | None = None
        early: deque[Coded] = deque(maxlen=EARLY)
        shift = 0.0
        while True:
            message = child.receive()
            if isinstance(message, End):
                return message
            if isinstance(message, Coded):
                early.append(message)
                if first is not None:
                    self._give(early, shift)
                continue
            frame = message.frame if isinstance(message, Announced) else message
            if first is None:
                first = frame
                shift = self._shift(frame)
                self._give(early, shift)
                self._connect()
            elif frame.captured - first.captured > STABLE:
                self._backoff.reset()
            frame = replace(frame, time=frame.time + shift, index=frame.index + self._before)
            self._deliver(frame, _fetching(message, frame, child.memory))

    def _give(self, packets: deque[Coded], shift: float) -> None:
        while packets:
            packet = packets.popleft()
            if self._tap is not None:
                self._tap(replace(packet, time=packet.time + shift))

    def _shift(self, frame: Frame) -> float:
        """s to add to a new connection's times, so that they go on with the gap that really was."""
        if self._last is None:
            return -frame.time
        gap = max(frame.captured - self._last.captured, TICK)
        return self._last.time + gap - frame.time

    def _connect(self) -> None:
        self._failures = 0
        log.info("%s: connected", self.name)
        self._told = ""
        with self._changed:
            self._connected, self._note = True, ""

    def _deliver(self, frame: Frame, fetch: Callable[[], Frame | None]) -> None:
        with self._changed:
            self._frames = max(self._frames, frame.index + 1)
            self._waiting, self._last = fetch, frame
            self._changed.notify_all()


def _fetching(
    message: Frame | Announced, frame: Frame, memory: FrameMemory | None
) -> Callable[[], Frame | None]:
    """What gets a frame whole, wherever its picture lies."""
    if isinstance(message, Announced) and memory is not None:
        return lambda: replace(message, frame=frame).fetch(memory)
    return lambda: frame
