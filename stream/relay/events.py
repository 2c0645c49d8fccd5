"""The hub of what the relay tells its listeners (scores, alerts, the life of streams); it never waits.

Server-sent events and data channels subscribe alike. Every message is numbered; who listens too slowly loses
the oldest, scores before alerts, and is told how many.
"""

import asyncio
import contextlib
import itertools
import json
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from stream.relay.messages import Message, Thinner, alert_message, scores_message, stream_message

__all__ = ["Hub", "Message", "Subscription", "alert_message", "scores_message", "sse", "stream_message"]

QUEUE = 256  # messages that wait for one subscriber
SUBSCRIBERS = 256
ALERTS = 200  # that are remembered for those who come later
HEARTBEAT = 10.0  # s of silence after which a comment keeps the connection alive (HTML, 9.2.7)
PATIENCE = 20.0  # s that a listener may take to accept a message before it counts as gone


class Subscription:
    """The messages that wait for one subscriber; iterate over it, and close it."""

    def __init__(self, hub: "Hub", stream: str | None, loop: asyncio.AbstractEventLoop) -> None:
        self._hub, self.stream, self._loop = hub, stream, loop
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, Message]] = deque()
        self._dropped = 0
        self._closed = False
        self._ready = asyncio.Event()

    def put(self, number: int, message: Message) -> None:
        """Queue a message, from any thread; never waits."""
        with self._lock:
            if self._closed:
                return
            self._queue.append((number, message))
            if len(self._queue) > QUEUE:
                del self._queue[_victim(self._queue)]
                self._dropped += 1
        self._wake()

    def end(self) -> None:
        """No more messages come, from any thread; those that wait are still handed out."""
        with self._lock:
            self._closed = True
        self._wake()

    def close(self) -> None:
        """The subscriber has gone."""
        self.end()
        self._hub.forget(self)

    async def aclose(self) -> None:
        """As `close`; so that it can stand where an asynchronous generator may."""
        self.close()

    def __aiter__(self) -> AsyncIterator[tuple[int, Message]]:
        return self

    async def __anext__(self) -> tuple[int, Message]:
        while True:
            self._ready.clear()
            with self._lock:
                if self._queue:
                    return self._take()
                if self._closed:
                    raise StopAsyncIteration
            await self._ready.wait()

    def _take(self) -> tuple[int, Message]:
        number, message = self._queue.popleft()
        if self._dropped:
            message, self._dropped = {**message, "dropped": self._dropped}, 0
        return number, message

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the subscriber with it
            self._loop.call_soon_threadsafe(self._ready.set)


class Hub:
    """Hands every message to all who subscribed. `publish` may be called from any thread and never waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: s; thins the score messages."""
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._thinner = Thinner()
        self._alerts: deque[Message] = deque(maxlen=ALERTS)
        # Weakly: who drops a subscription without closing it is forgotten too.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._closed = False

    def publish(self, message: Message) -> None:
        """Tell all. Score messages beyond five a second of a stream that bring no new state are left out."""
        with self._lock:
            kind = message["type"]
            if kind == "scores" and not self._thinner.passes(message, self._clock()):
                return
            if kind == "alert":
                self._alerts.append(message)
            number = next(self._numbers)
            for subscription in self._subscriptions:
                if subscription.stream in (None, message["stream"]):
                    subscription.put(number, message)

    def subscribe(self, stream: str | None, loop: asyncio.AbstractEventLoop) -> Subscription:
        """Messages from now on, as an async iterator of (number, message); close it when done.

        stream: of this one only; None: of all. Raises OverflowError where there are SUBSCRIBERS already.
        """
        subscription = Subscription(self, stream, loop)
        with self._lock:
            if len(self._subscriptions) >= SUBSCRIBERS:
                raise OverflowError(f"{SUBSCRIBERS} listeners are the most")
            if self._closed:
                subscription.end()
            else:
                self._subscriptions.add(subscription)
        return subscription

    def recent_alerts(self) -> list[Message]:
        """The last ALERTS alert messages, newest last."""
        with self._lock:
            return list(self._alerts)

    def forget(self, subscription: Subscription) -> None:
        """A subscriber has gone."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions and take no new ones: the server stops."""
        with self._lock:
            self._closed = True
            ending = list(self._subscriptions)
            self._subscriptions.clear()
        for subscription in ending:
            subscription.end()


async def sse(request: web.Request, hub: Hub, stream: str | None) -> web.StreamResponse:
    """Answer with server-sent events until the client goes or the hub closes (HTML, section 9.2).

    Last-Event-ID is ignored: messages that nobody waited for are gone. Raises HTTPServiceUnavailable where
    there are too many listeners.
    """
    try:
        subscription = hub.subscribe(stream, asyncio.get_running_loop())
    except OverflowError as error:
        raise web.HTTPServiceUnavailable(reason=str(error)) from None
    with contextlib.closing(subscription):
        headers = {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client has gone, or accepts no more
            await _write(response, ": Facewitness\n\n")
            while True:
                try:
                    number, message = await asyncio.wait_for(anext(subscription), HEARTBEAT)
                except TimeoutError:
                    await _write(response, ":\n\n")
                except StopAsyncIteration:
                    break
                else:
                    await _write(response, event_text(number, message))
    return response


def event_text(number: int, message: Message) -> str:
    """One message as an event of an event stream."""
    return f"id: {number}\nevent: {message['type']}\ndata: {json.dumps(message, allow_nan=False)}\n\n"


async def _write(response: web.StreamResponse, text: str) -> None:
    await asyncio.wait_for(response.write(text.encode()), PATIENCE)


def _victim(queue: deque[tuple[int, Message]]) -> int:
    """Which message of a queue that is too long goes: the oldest score, else the oldest."""
    return next((i for i, (_, message) in enumerate(queue) if message["type"] == "scores"), 0)
