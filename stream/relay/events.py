"""The hub of messages: scores, alerts and streams' lives, to every subscriber through a bounded queue."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from stream.sinks import to_json
from stream.values import Alert, Health, Result

SCHEMA = 1
_QUEUE, _ALERTS = 256, 200


class Hub:
    """Publishers on any thread, subscribers on an event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._alerts: deque[dict[str, Any]] = deque(maxlen=_ALERTS)
        self._subscribers: list[_Subscription] = []

    def publish(self, message: dict[str, Any]) -> None:
        """Tell all subscribers; never blocks."""
        with self._lock:
            self._number += 1
            if message["type"] == "alert":
                self._alerts.append(message)
            for subscriber in self._subscribers:
                if subscriber.stream in (None, message["stream"]):
                    subscriber.loop.call_soon_threadsafe(subscriber.put, self._number, message)

    def recent_alerts(self) -> list[dict[str, Any]]:
        """The newest alert messages, newest last."""
        with self._lock:
            return list(self._alerts)

    async def subscribe(
        self, stream: str | None, loop: asyncio.AbstractEventLoop
    ) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
        """Messages with their numbers, of one stream or of all, until the iterator is closed."""
        own = _Subscription(stream, loop)
        with self._lock:
            self._subscribers.append(own)
        try:
            while True:
                yield await own.get()
        finally:
            with self._lock:
                self._subscribers.remove(own)


class _Subscription:
    def __init__(self, stream: str | None, loop: asyncio.AbstractEventLoop) -> None:
        self.stream, self.loop = stream, loop
        self._queue: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_QUEUE)
        self._ready = asyncio.Event()

    def put(self, number: int, message: dict[str, Any]) -> None:
        self._queue.append((number, message))
        self._ready.set()

    async def get(self) -> tuple[int, dict[str, Any]]:
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()


def scores_message(name: str, result: Result, health: Health) -> dict[str, Any]:
    """One sample of a stream: its state and its tracks, boxes in 0..1 of the picture."""
    height, width = result.frame.image.shape[:2]
    tracks = []
    for view in result.tracks:
        x1, y1, x2, y2 = (float(v) for v in view.track.box)
        box = [round(v, 4) for v in (x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)]
        score = view.score.value if view.score else None
        tracks.append(
            {
                "id": view.track.id,
                "state": view.state.value,
                "score": None if score is None else round(score, 4),
                "reason": view.score.reason if view.score else "",
                "box": box,
            }
        )
    return {
        "schema": SCHEMA,
        "type": "scores",
        "stream": name,
        "time": round(result.frame.time, 3),
        "state": result.state.value,
        "fps": round(health.fps, 1),
        "age": None if health.age is None else round(health.age, 3),
        "tracks": tracks,
    }


def alert_message(name: str, alert: Alert) -> dict[str, Any]:
    """One event of an alert."""
    return to_json(alert) | {"stream": name}


def stream_message(name: str, event: str, note: str = "") -> dict[str, Any]:
    """A stream is "live", "lost" or "ended"."""
    return {"schema": SCHEMA, "type": "stream", "stream": name, "event": event, "note": note}
