"""A channel: one named live stream with its newest frame, its latest result, its viewers and its messages."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.overlay import draw
from stream.relay.audio import Sound
from stream.relay.events import Hub, scores_message, stream_message
from stream.relay.frames import Frames
from stream.relay.output import Kind, Output, VideoOut
from stream.values import Frame, Health, Result, State, TrackView
from stream.views import View

_STALE = 3.0  # s after which tracks are too old to be drawn


class Channel:
    """One live stream. Its frames come from a decoder or from a pump; its results from a pump.

    `see`, `complain` are called by the analysing thread, `paint` by a painting one, all else on the loop.
    """

    def __init__(self, name: str, health: Health, model: str, hub: Hub) -> None:
        """health: what is known before the first frame; source and provider stay."""
        self.name, self.model = name, model
        self.frames = Frames()
        self.note: Callable[[], str] = lambda: ""  # why nothing comes, as far as the source knows
        self._hub, self._loop = hub, asyncio.get_running_loop()
        self._view: View | None = None
        self._health = health  # of the analysis, the latest
        self._result: Result | None = None
        self._seen = 0.0  # s, monotonic, when the latest result came
        self._trouble = ""
        self._live = False
        self._outputs: dict[Kind, Output] = {}
        self._sounds: dict[Kind, Sound] = {}
        self.has_sound = False
        self.pictures = 0  # encoded by outputs that are gone
        self.on_end: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []
        self.published = False  # by a session of ours, and not by a pump of this process

    def see(self, result: Result, health: Health) -> None:
        """A frame was analysed."""
        self._result, self._health, self._trouble = result, health, ""
        self._seen = time.monotonic()
        if not self._live:  # a stream may end before anybody looks after it
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.watch)
        self._hub.publish(scores_message(self.name, result, health))

    def close(self) -> None:
        """The pump has ended; the channel may go on with another."""

    def complain(self, trouble: str) -> None:
        """The analysis has failed."""
        self._trouble = trouble

    def paint(self, frame: Frame) -> NDArray[np.uint8]:
        """The frame with the latest tracks on it, (H, W, 3) BGR."""
        return draw(overlaid(self._result, frame, time.monotonic() - self._seen), self.health())

    def health(self) -> Health:
        """How the stream does just now."""
        frames, analysed = self.frames, self._health
        return replace(
            analysed,
            connected=frames.connected,
            fps=frames.rate,
            age=self.delay(Kind.ANNOTATED) or analysed.age,
            frames=frames.count,
            note=self._trouble or analysed.note if frames.connected else self.note() or "no picture",
        )

    def row(self) -> dict[str, Any]:
        """The stream as `/api/streams` tells it."""
        health, result = self.health(), self._result
        message = scores_message(self.name, result, health) if result else {"tracks": []}
        return {
            "name": self.name,
            "source": health.source,
            "state": (result.state if result else State.NO_FACE).value,
            "connected": health.connected,
            "fps": round(health.fps, 1),
            "analysis_fps": round(self._health.fps, 1) if self._analysing else 0.0,
            "age": None if health.age is None else round(health.age, 3),
            "provider": health.provider,
            "model": self.model,
            "frames": health.frames,
            "dropped": health.dropped,
            "viewers": self.viewers,
            "note": health.note,
            "tracks": message["tracks"] if self._analysing else [],
        }

    @property
    def _analysing(self) -> bool:
        return self.frames.connected and time.monotonic() - self._seen < _STALE

    @property
    def viewers(self) -> int:
        """How many look at it, at either picture."""
        return sum(output.viewers for output in self._outputs.values())

    @property
    def encoded(self) -> int:
        """Pictures encoded since the beginning, for all viewers together."""
        return self.pictures + sum(output.encoded for output in self._outputs.values())

    def codecs(self, kind: Kind) -> tuple[str, ...]:
        """The codecs in which a kind of picture is being encoded now."""
        return self._outputs[kind].codecs if kind in self._outputs else ()

    def push(self, view: View) -> None:
        """Give each annotated picture to a view as well; to be called before the first viewer joins."""
        self._view = view
        self._drop(Kind.ANNOTATED)
        self._output(Kind.ANNOTATED)

    def delay(self, kind: Kind) -> float:
        """s that a kind of picture takes from its arrival to its packets; 0.0 while nobody looks."""
        return self._outputs[kind].delay if kind in self._outputs else 0.0

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that work for this channel now."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return self._threads

    def add_thread(self, thread: threading.Thread) -> None:
        """Another thread works for this channel."""
        self._threads = [*self.threads, thread]

    def join(self, kind: Kind, codec: str) -> VideoOut:
        """A new viewer's track."""
        return self._output(kind).join(codec)

    def ask_key(self, kind: Kind, codec: str) -> None:
        """A viewer cannot go on without a key frame."""
        if kind in self._outputs:
            self._outputs[kind].ask_key(codec)

    def leave(self, kind: Kind, track: VideoOut) -> None:
        """A viewer has gone; the last one takes the painting along."""
        output = self._outputs.get(kind)
        if output is None:
            return
        output.leave(track)
        if output.idle:
            self._drop(kind)

    def sound(self, kind: Kind) -> Sound:
        """The sound that goes with a kind of picture."""
        if kind not in self._sounds:
            self._sounds[kind] = Sound(lambda: self.delay(kind))
        return self._sounds[kind]

    def hear(self, payload: bytes, ticks: int) -> None:
        """A packet of sound came in: Opus, ticks of 1/48000 s."""
        for sound in self._sounds.values():
            sound.put(payload, ticks)

    def watch(self) -> None:
        """Tell when the stream comes to life or is lost; to be called now and then."""
        if not self.frames.ended and self.frames.connected != self._live:
            self._live = not self._live
            note = "" if self._live else self.health().note
            self._hub.publish(stream_message(self.name, "live" if self._live else "lost", note))

    def end(self) -> None:
        """The stream is over: threads and viewers go. Harmless when done twice."""
        if self.frames.ended:
            return
        self.frames.end()
        for kind in list(self._outputs):
            self._drop(kind)
        if self._view is not None:
            self._loop.run_in_executor(None, self._view.close)
        for callback in self.on_end:
            callback()
        self._hub.publish(stream_message(self.name, "ended"))

    def _output(self, kind: Kind) -> Output:
        if kind not in self._outputs:
            paint = self.paint if kind is Kind.ANNOTATED else _as_it_is
            view = self._view if kind is Kind.ANNOTATED else None
            self._outputs[kind] = Output(f"{self.name}, {kind.value}", self.frames, paint, self._loop, view)
            self.add_thread(self._outputs[kind].thread)
        return self._outputs[kind]

    def _drop(self, kind: Kind) -> None:
        if output := self._outputs.pop(kind, None):
            self.pictures += output.encoded
            output.close()


def overlaid(result: Result | None, frame: Frame, age: float) -> Result:
    """The newest frame with what is known of it. age: s since the result came. Pure.

    Tracks of a picture of another size are scaled; tracks that are too old are left out.
    """
    if result is None or age > _STALE:
        return Result(frame, State.NO_FACE if result is None else State.UNCERTAIN, (), ())
    old, new = result.frame.image.shape, frame.image.shape
    if old == new:
        return Result(frame, result.state, result.tracks, ())
    factors = np.array([new[1] / old[1], new[0] / old[0]], np.float32)
    return Result(frame, result.state, tuple(_scaled(view, factors) for view in result.tracks), ())


def _scaled(view: TrackView, factors: NDArray[np.float32]) -> TrackView:
    track = view.track
    box, landmarks = track.box * np.tile(factors, 2), track.landmarks * factors
    return replace(view, track=replace(track, box=box, landmarks=landmarks))


def _as_it_is(frame: Frame) -> NDArray[np.uint8]:
    return frame.image
