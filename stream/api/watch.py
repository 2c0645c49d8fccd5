"""`facewitness.watch`: a source's results as an iterator, from the very pump that the command runs."""

import contextlib
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from stream.api.networks import networks_of
from stream.config import Settings
from stream.sinks import Dispatcher
from stream.sources import display_name
from stream.values import Alert, Health, Result
from stream.watched import WatchedStream

log = logging.getLogger(__name__)

AHEAD = 4  # results of a file that wait for whoever iterates; then the file waits
PATIENCE = 10.0  # s for a stream to end
_POLL = 0.1  # s, how soon the end is noticed


class _Callback:
    """A sink that calls a function, in the sink's own thread."""

    def __init__(self, call: Callable[[Alert], object]) -> None:
        self._call = call

    def __str__(self) -> str:
        return f"callback {getattr(self._call, '__name__', 'function')}"

    def send(self, alert: Alert) -> None:
        """Hand over one event; what the function raises is logged."""
        self._call(alert)

    def close(self) -> None:
        """Nothing is held back."""


class _Inbox:
    """Takes results from the pump: of a live source the newest alone, of a file each, and then it waits."""

    def __init__(self, live: bool) -> None:
        self._results: queue.Queue[Result] = queue.Queue(1 if live else AHEAD)
        self._live, self._lock = live, threading.Lock()
        self.closed = threading.Event()
        self.skipped = 0

    def see(self, result: Result, health: Health) -> None:
        """Called by the pump."""
        while not self.closed.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(result, block=not self._live, timeout=_POLL)
                return
            if self._live:
                with contextlib.suppress(queue.Empty):
                    self._results.get_nowait()
                    self.skipped += 1

    def close(self) -> None:
        """The stream has ended; what waits can still be taken."""

    def take(self) -> Result | None:
        """The next result; None after a moment without one."""
        try:
            return self._results.get(timeout=_POLL)
        except queue.Empty:
            return None


class Watch:
    """Iterate over it for the results of a source, each with its frame, its faces and their states.

    A live source is reconnected for ever, and whoever iterates too slowly gets the newest result; `skipped`
    counts the others. A file waits for whoever iterates. Leave the loop, the `with` block, call `close`, or
    drop it: the stream ends.
    """

    def __init__(self, settings: Settings, on_alert: Callable[[Alert], object] | None) -> None:
        """See `watch`, which makes it."""
        networks = networks_of(settings.model, settings.provider, settings.threads, settings.min_face)
        dispatcher = Dispatcher([_Callback(on_alert)] if on_alert is not None else [])
        inbox = _Inbox(live=True)
        stream = WatchedStream(settings, networks, dispatcher, observers=[inbox])
        if not stream.live:
            inbox = _Inbox(live=False)
            stream.discard()
            stream = WatchedStream(settings, networks, dispatcher, observers=[inbox])
        self._stream, self._inbox = stream, inbox
        self._end = weakref.finalize(self, _end, stream, inbox, dispatcher)
        stream.start()

    def __repr__(self) -> str:
        return f"Watch({display_name(self._stream.settings.source)})"

    def __iter__(self) -> Iterator[Result]:
        """Results until the source, the duration or `close` ends it.

        Raises the FacewitnessError that ended it.
        """
        while not self._inbox.closed.is_set():
            result = self._inbox.take()
            if result is not None:
                yield result
            elif self._stream.ended:
                break
        if self._stream.ended and self._stream.error is not None:
            raise self._stream.error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def skipped(self) -> int:
        """Results of a live source that nobody took in time."""
        return self._inbox.skipped

    @property
    def health(self) -> Health:
        """How the stream does just now: connected, frames a second, age, drops."""
        return self._stream.health()

    def close(self) -> None:
        """End it, and wait for that, 10 s at most. Harmless when done twice."""
        self._end()


def _end(stream: WatchedStream, inbox: _Inbox, dispatcher: Dispatcher) -> None:
    inbox.closed.set()
    stream.stop()
    stream.join(PATIENCE)
    dispatcher.close()


def watch(
    source: str,
    *,
    model: str = "detector",
    provider: str = "auto",
    threads: int = 1,
    min_face: int = 60,
    duration: float | None = None,
    realtime: bool = False,
    analysis_rate: float | None = None,
    retries: int | None = None,
    expect: str | None = None,
    on_alert: Callable[[Alert], object] | None = None,
) -> Watch:
    """Watch a source as `facewitness watch` does, and iterate over what is seen.

    source: a file, a URL, a webcam's number, "demo". min_face: px. duration: s of the source. realtime: play
    a file at its own pace. analysis_rate: frames a second at most. retries: give up after so many failed
    tries in a row; None: never. expect: name of an enrolled person. on_alert: called with each event of each
    alert, in a thread of its own; what it raises is logged, and nothing waits for it.

    Raises ModelError, ProviderError, ConfigError, UnknownScheme here; what ends the source, such as
    FileMissing, while iterating.
    """
    settings = Settings(
        str(source),
        name="python",
        model=model,
        provider=provider,
        threads=threads,
        min_face=min_face,
        duration=duration,
        realtime=realtime,
        analysis_rate=analysis_rate,
        retries=retries,
        expect=expect,
        alert=(),
    )
    return Watch(settings, on_alert)
