"""The alert sinks of many streams: one of a kind for all that name it, each with its thread and its queue."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from stream.sinks import QUEUE, Lane, SinkOptions, open_sink
from stream.values import Alert

_Key = tuple[str, SinkOptions]


@dataclass(slots=True)
class _Shared:
    """A sink in use, and by how many."""

    lane: Lane
    users: int = 0


class SinkPool:
    """Opens each sink once, however many streams send to it. Used from one thread."""

    def __init__(self) -> None:
        self._open: dict[_Key, _Shared] = {}
        self._ending: list[Lane] = []

    def outlet(self, specs: Sequence[str], options: SinkOptions) -> "Outlet":
        """A stream's way to the sinks that it names. Raises ConfigError, OutputError; then none is kept."""
        keys: list[_Key] = []
        try:
            for key in dict.fromkeys((spec, options) for spec in specs):
                if key not in self._open:
                    self._open[key] = _Shared(Lane(open_sink(*key), QUEUE))
                self._open[key].users += 1
                keys.append(key)
        except Exception:
            self._release(keys)
            raise
        return Outlet(self, keys, [self._open[key].lane for key in keys])

    def close(self, timeout: float = 10.0) -> None:
        """Hand over what is queued and close all sinks, `timeout` s at most."""
        until = time.monotonic() + timeout
        lanes = self._ending + [shared.lane for shared in self._open.values()]
        for lane in lanes:
            lane.end()
        for lane in lanes:
            lane.join(until - time.monotonic())
        self._open, self._ending = {}, []

    def _release(self, keys: Sequence[_Key]) -> None:
        for key in keys:
            shared = self._open[key]
            shared.users -= 1
            if not shared.users:
                shared.lane.end()  # hands over what is queued, in its own time
                self._ending = [*(lane for lane in self._ending if lane.alive), shared.lane]
                del self._open[key]


class Outlet:
    """Where one stream's alerts go."""

    def __init__(self, pool: SinkPool, keys: Sequence[_Key], lanes: Sequence[Lane]) -> None:
        self._pool, self._keys, self._lanes = pool, keys, lanes

    def submit(self, alert: Alert) -> None:
        """Queue one event for all sinks; never blocks, never raises."""
        for lane in self._lanes:
            lane.submit(alert)

    def close(self) -> None:
        """The stream sends no more; its sinks end with their last user. Harmless when done twice."""
        keys, self._keys = self._keys, ()
        self._pool._release(keys)
