"""The stair itself: one frame in, one result out. No thread, no socket, no clock but the meter's."""

import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.errors import ProviderError as WrongProvider
from export.explain import moments, unusual
from models.crop import crop_face
from stream.aside import Aside
from stream.errors import ProviderError
from stream.identity.match import Person
from stream.judge import Judge, verdict
from stream.meter import Meter
from stream.quality import measure
from stream.scorer import Scorer, mapper_of
from stream.second_eye import CLEARLY, FAR, RARELY, is_settled, turns
from stream.track_memory import TrackMemory
from stream.values import RISKY, Alert, Frame, Heat, Result, Score, Track, TrackView

NO_MAPS = "--explain: {} gives no maps (python -m export.maps adds them)"


class Follower(Protocol):
    """What the stair needs of a tracker; `stream.tracker.Tracker` is one."""

    @property
    def last_look(self) -> str:
        """How the last frame was looked at: "detect", "refine", "glance" or "none"."""

    def update(self, frame: Frame) -> tuple[Track, ...]:
        """The tracks in this frame."""


class Analysis:
    """Runs the stair for one stream: tracks, crops, encoder, window, head, judge."""

    def __init__(
        self,
        detector: Scorer,
        tracker: Follower,
        judge: Judge,
        meter: Meter,
        expected: Person | None = None,
        aside: Aside | None = None,
        thorough: bool = False,
    ) -> None:
        """detector: may be shared between streams; tracker, judge and meter belong to this one.

        expected: who should be on screen, with embeddings of this very detector. aside: takes the second
        eye's looks, which then come a moment later; None: frames wait for them, and all can be repeated.
        thorough: every crop that is due is taken, however settled the verdict.
        """
        self._expected, self._aside = expected, aside
        self._detector, self._tracker, self._judge, self._meter = detector, tracker, judge, meter
        self._thorough = thorough
        self._mapper = mapper_of(detector)
        self._memories: dict[int, TrackMemory] = {}
        # On a full machine above 1: so many times rarer the second eye looks at tracks that nothing speaks
        # against, and crops are left out of more of them.
        self.thrift = 1
        self.risky = False  # whether a face of the last frame is SUSPICIOUS, or an ALERT that is not settled

    def step(self, frame: Frame) -> Result:
        """Analyse one frame. Frames come in the order of their time."""
        begin = time.perf_counter()
        found = self._tracker.update(frame)
        self._meter.note(self._tracker.last_look, time.perf_counter() - begin)
        self._meter.counts["faces"] += sum(track.seen for track in found)
        tracks = [track for track in found if track.confirmed]
        self._memories = {t.id: self._memories.get(t.id) or self._fresh() for t in tracks}
        self._collect()
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
            views.append(
                TrackView(
                    track,
                    memory.state,
                    memory.score,
                    memory.quality,
                    history,
                    memory.heat,
                    memory.moments,
                    memory.likeness,
                )
            )
        memories = self._memories.values()
        self.risky = any(memory.state in RISKY and not self._is_settled(memory) for memory in memories)
        return Result(frame, verdict(views), tuple(views), alerts)

    def finish(self) -> tuple[Alert, ...]:
        """The stream has ended: the events that close what is open."""
        return self._judge.finish()

    def _fresh(self) -> TrackMemory:
        return TrackMemory(self._detector.card, self._expected)

    def _sample(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Cut, weigh and encode the crops that are due; all tracks of a frame in one batch."""
        spec = self._detector.card.crop
        crops, due = [], []
        with self._meter.stage("crops"):
            for track in tracks:
                memory = self._memories[track.id]
                if not track.seen or not memory.sampling.due(frame.time) or self._spared(memory, frame.time):
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
                closely = self._closely(due)
                late = self._late(closely, due, crops)
                features, heats = self._encoded(np.stack(crops), closely & ~late)
            except WrongProvider as error:  # an engine that was to take over cannot be had
                raise ProviderError(str(error)) from None
        self._meter.counts["scored"] += len(crops)
        for memory, feature, heat, looked, is_late in zip(due, features, heats, closely, late, strict=True):
            assert memory.quality is not None
            memory.window.add(frame.time, feature, memory.quality.weight)
            if is_late:
                memory.late.into(feature)
            memory.unlooked = 1 if looked else memory.unlooked + 1
            if looked:
                memory.looks.add(frame.time, feature, memory.quality.weight)
            if heat is not None:
                memory.maps.add(frame.time, heat, memory.quality.weight)
                memory.maps.forget(frame.time)
                maps, weights = memory.maps.arrays()
                memory.heat = Heat(np.average(maps, axis=0, weights=weights), spec.margin)

    def _encoded(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], Sequence[NDArray[np.float32] | None]]:
        """Features (N, D), and of each crop what is unusual in it (h, w) where the detector tells."""
        if self._mapper is None or self._mapper.card.map is None:
            return self._detector.encode(crops, closely), [None] * len(crops)
        features, maps = self._mapper.encode_with_map(crops, closely)
        return features, list(unusual(maps, self._mapper.card.map))

    def _closely(self, due: Sequence[TrackMemory]) -> NDArray[np.bool_]:
        """Which crops the second eye looks at: each so many-th of a track, the tracks by turns."""
        second = self._detector.card.second
        if second is None:
            return np.zeros(len(due), bool)
        periods = [second.every * self._rarity(memory) for memory in due]
        return turns([memory.unlooked for memory in due], periods, second.every)

    def _rarity(self, memory: TrackMemory) -> int:
        """How many times rarer than the card says the second eye looks at a track.

        It is spared where the verdict is settled, and by the `thrift` of a full machine where nothing is
        suspicious; never where a track waits for its last look. Who is expected is told by its looks alone.
        """
        if memory.late.waits:
            return 1
        if self._expected is None and self._is_settled(memory):
            return max(RARELY, self.thrift)
        return 1 if memory.state in RISKY else self.thrift

    def _spared(self, memory: TrackMemory, now: float) -> bool:
        """Whether a crop is left out: every other one of a track that is seen well and far from any change.

        It counts as one that the second eye did not look at. A full machine asks for less distance.
        """
        spec = self._detector.card.window
        if self._thorough or now - memory.window.newest >= 1.5 / spec.rate:  # between one crop and two
            return False
        beyond = FAR if self.thrift == 1 else CLEARLY
        spared = self._is_settled(memory, beyond) and spec.ample(memory.window.weights)
        memory.unlooked += spared
        return spared

    def _is_settled(self, memory: TrackMemory, beyond: float = CLEARLY) -> bool:
        value = memory.score.value if memory.score else None
        return is_settled(memory.state, value, self._judge.limits, beyond)

    def _late(
        self, closely: NDArray[np.bool_], due: Sequence[TrackMemory], crops: Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.bool_]:
        """Which of the looks (N,) others take, so that this frame need not wait for them."""
        late = np.zeros(len(due), bool)
        if self._aside is not None:
            for i in np.flatnonzero(closely).tolist():
                look = partial(self._detector.encode, crops[i][None], np.ones(1, bool))
                late[i] = due[i].late.begin(self._aside, look)
        return late

    def _collect(self) -> None:
        """What the second eye has seen beside this thread meanwhile."""
        second = self._detector.card.second
        if second is None or self._aside is None:
            return
        for memory in self._memories.values():
            seconds = memory.late.collect(self._detector.card.features - second.features)
            if seconds is not None:
                self._meter.note("look", seconds)

    def _score(self, now: float) -> None:
        """Run the head over the windows that are due; windows of equal length in one batch."""
        batches: dict[int, list[tuple[int, TrackMemory]]] = defaultdict(list)
        spec = self._detector.card.window
        for track, memory in self._memories.items():
            memory.window.forget(now)
            if memory.scoring.due(now):
                samples = len(memory.window)
                if spec.enough(memory.window.weights):
                    batches[samples].append((track, memory))
                else:
                    lack = "seen poorly" if samples >= spec.min_samples else "too few samples"
                    reason = memory.quality.reason if memory.quality else ""
                    memory.score = Score(track, now, None, samples, reason or lack)
        for samples, members in batches.items():
            with self._meter.stage("head"):
                windows = [memory.window.arrays() for _, memory in members]
                values = self._detector.score(
                    np.stack([f for f, _ in windows]), np.stack([w for _, w in windows])
                )
            for (track, memory), value, window in zip(members, values, windows, strict=True):
                memory.score = Score(track, now, float(value), samples)
                memory.history.append((now, float(value)))
                memory.moments = self._moments(memory, *window) if memory.state in RISKY else ()
                memory.recognise(now)

    def _moments(
        self, memory: TrackMemory, features: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> tuple[tuple[float, float], ...]:
        """What each crop added to the score:

        asked only under suspicion, for it is one more run of the head.
        """
        with self._meter.stage("explain"):
            added = moments(self._detector.score, features, weights)
        return tuple((time, float(each)) for time, each in zip(memory.window.times, added, strict=True))

    def _latest(self, track: int, now: float) -> Score:
        score = self._memories[track].score
        return score if score is not None else Score(track, now, None, 0, "too few samples")
