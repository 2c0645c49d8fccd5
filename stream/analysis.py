"""The stair itself: one frame in, one result out. No thread, no socket, no clock but the meter's."""

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.card import Card
from export.errors import ProviderError as WrongProvider
from models.crop import crop_face
from stream.errors import ProviderError
from stream.governor import RISKY
from stream.judge import Judge, headline
from stream.meter import Meter
from stream.quality import measure
from stream.values import Alert, Frame, Quality, Result, Score, State, Track, TrackView
from stream.window import Pacer, Window

HISTORY = 10.0  # s of scores kept for the overlay's curve


class Scorer(Protocol):
    """What the stair needs of a detector; `export.detector.Detector` is one."""

    @property
    def card(self) -> Card:
        """What the detector expects."""

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 BGR to features (N, D); `closely` (N,) says where the second eye looks too."""

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (B, T, D) and weights (B, T) to calibrated probabilities (B,)."""


class Follower(Protocol):
    """What the stair needs of a tracker; `stream.tracker.Tracker` is one."""

    @property
    def last_look(self) -> str:
        """How the last frame was looked at: "detect", "refine" or "none"."""

    def update(self, frame: Frame) -> tuple[Track, ...]:
        """The tracks in this frame."""


class _Memory:
    """What the stair keeps of one track."""

    def __init__(self, card: Card) -> None:
        self.sampling, self.scoring = Pacer(card.window.rate), Pacer(1 / card.window.stride)
        self.window = Window(card.window.seconds, card.window.rate)
        self.history: deque[tuple[float, float]] = deque(maxlen=int(HISTORY / card.window.stride + 1.5))
        self.crops = 0  # encoded so far
        self.state = State.UNCERTAIN
        self.quality: Quality | None = None
        self.score: Score | None = None


class Analysis:
    """Runs the stair for one stream: tracks, crops, encoder, window, head, judge."""

    def __init__(self, detector: Scorer, tracker: Follower, judge: Judge, meter: Meter) -> None:
        """detector: may be shared between streams; tracker, judge and meter belong to this one."""
        self._detector, self._tracker, self._judge, self._meter = detector, tracker, judge, meter
        self._memories: dict[int, _Memory] = {}
        self.thrift = 1  # factor on the second eye's `every` for tracks that nothing speaks against

    def step(self, frame: Frame) -> Result:
        """Analyse one frame. Frames come in the order of their time."""
        begin = time.perf_counter()
        found = self._tracker.update(frame)
        self._meter.note(self._tracker.last_look, time.perf_counter() - begin)
        self._meter.counts["faces"] += sum(track.seen for track in found)
        tracks = [track for track in found if track.confirmed]
        self._memories = {t.id: self._memories.get(t.id) or _Memory(self._detector.card) for t in tracks}
        if frame.corrupt:
            self._meter.counts["corrupt"] += 1
        else:
            self._sample(frame, tracks)
        self._score(frame.time)
        states, alerts = self._judge.step(frame.time, [self._latest(t.id, frame.time) for t in tracks])
        views = []
        for track in tracks:
            memory = self._memories[track.id]
            memory.state, history = states[track.id], tuple(memory.history)
            views.append(TrackView(track, states[track.id], memory.score, memory.quality, history))
        return Result(frame, headline(states.values()), tuple(views), alerts)

    def finish(self) -> tuple[Alert, ...]:
        """The stream has ended: the events that close what is open."""
        return self._judge.finish()

    def _sample(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Cut, weigh and encode the crops that are due; all tracks of a frame in one batch."""
        spec = self._detector.card.crop
        crops, due = [], []
        with self._meter.stage("crops"):
            for track in tracks:
                memory = self._memories[track.id]
                if not track.seen or not memory.sampling.due(frame.time):
                    continue
                memory.quality = measure(frame.image, track)
                if memory.quality.reason:
                    self._meter.counts["gated"] += 1
                    continue
                crops.append(crop_face(frame.image, track.box, spec))
                due.append(memory)
        if not crops:
            return
        with self._meter.stage("encode"):
            try:
                features = self._detector.encode(np.stack(crops), self._closely(due))
            except WrongProvider as error:  # an engine that was to take over cannot be had
                raise ProviderError(str(error)) from None
        self._meter.counts["scored"] += len(crops)
        for memory, feature in zip(due, features, strict=True):
            assert memory.quality is not None
            memory.window.add(frame.time, feature, memory.quality.weight)
            memory.crops += 1

    def _closely(self, due: Sequence[_Memory]) -> NDArray[np.bool_]:
        """Which crops the second eye looks at: each so many-th of a track, its first among them.

        The `thrift` of a full machine spares it, but never where a track is under suspicion.
        """
        second = self._detector.card.second
        if second is None:
            return np.zeros(len(due), bool)
        plain, sparing = second.every, second.every * self.thrift
        return np.array([m.crops % (plain if m.state in RISKY else sparing) == 0 for m in due])

    def _score(self, now: float) -> None:
        """Run the head over the windows that are due; windows of equal length in one batch."""
        batches: dict[int, list[tuple[int, _Memory]]] = defaultdict(list)
        least = self._detector.card.window.min_samples
        for track, memory in self._memories.items():
            memory.window.forget(now)
            if memory.scoring.due(now):
                if len(memory.window) >= least:
                    batches[len(memory.window)].append((track, memory))
                else:
                    reason = memory.quality.reason if memory.quality else ""
                    memory.score = Score(track, now, None, len(memory.window), reason or "too few samples")
        for samples, members in batches.items():
            with self._meter.stage("head"):
                windows = [memory.window.arrays() for _, memory in members]
                values = self._detector.score(
                    np.stack([f for f, _ in windows]), np.stack([w for _, w in windows])
                )
            for (track, memory), value in zip(members, values, strict=True):
                memory.score = Score(track, now, float(value), samples)
                memory.history.append((now, float(value)))

    def _latest(self, track: int, now: float) -> Score:
        score = self._memories[track].score
        return score if score is not None else Score(track, now, None, 0, "too few samples")
