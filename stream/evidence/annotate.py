"""What is drawn and cut after the fact: a clip's annotated copy, and the crops of the window at the peak."""

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stream.evidence.job import Job, Note
from stream.overlay import draw
from stream.values import Heat
from stream.views.video import VideoWriter

CROPS = 8  # of the window that gave the highest score
NEAR = 0.25  # s between a picture and the result that is drawn on it
_RATE = 30.0  # pictures a second where times do not tell
_SAME = 0.012  # s between a crop's moment and the picture it is cut from


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """One crop that is to be cut."""

    number: int
    time: float  # s
    box: NDArray[np.float32]  # (4,) px of the frame
    heat: Heat | None


class Peak:
    """The highest score of the alert's face within the clip, and the moments of the window that gave it."""

    def __init__(
        self,
        time: float | None,
        score: float | None,
        track: int,
        moments: list[_Moment],
        added: tuple[tuple[float, float], ...] = (),
    ) -> None:
        self._time, self._score, self._track = time, score, track
        self._moments = moments  # not yet cut, in the order of time
        self._added = added  # (time s, logit): what each crop of the window added to the score

    def told(self) -> dict[str, Any]:
        """What the manifest says."""
        time = None if self._time is None else round(self._time, 3)
        score = None if self._score is None else round(self._score, 5)
        added = [{"time": round(t, 3), "logit": round(v, 4)} for t, v in self._added]
        return {"time": time, "score": score, "track": self._track, "crops": [], "window": added}

    def due(self, time: float) -> Iterator[tuple[int, NDArray[np.float32], Heat | None]]:
        """Number, box and heat of the crops to cut from the picture of `time` s; pictures come in order."""
        while self._moments and self._moments[0].time <= time + _SAME:
            moment = self._moments.pop(0)
            if moment.time >= time - NEAR:
                yield moment.number, moment.box, moment.heat


def peak_of(job: Job) -> Peak:
    """Find the peak and up to CROPS moments, evenly apart, of the window before it."""
    track = job.alert.track
    scored = [(score.value, score.time) for score in _scores(job, track) if score.value is not None]
    if not scored:
        return Peak(None, None, track, [])
    value, time = max(scored, key=lambda each: (each[0], -each[1]))
    seen = [
        (note.time, view.track.box, view.heat)
        for note in job.notes
        if time - job.facts.window <= note.time <= time and not note.result.frame.corrupt
        for view in note.result.tracks
        if view.track.id == track and view.track.seen
    ]
    places = np.unique(np.linspace(0, len(seen) - 1, min(CROPS, len(seen))).round().astype(int))
    moments = [_Moment(n, *seen[i]) for n, i in enumerate(places, 1)] if seen else []
    return Peak(time, value, track, moments, _added(job, track, time))


def _added(job: Job, track: int, time: float) -> tuple[tuple[float, float], ...]:
    """What each crop added to the score of `time` s; that of a later one where it was not asked then."""
    for note in job.notes:
        for view in note.result.tracks:
            if view.track.id == track and note.time >= time and view.moments:
                return view.moments
    return ()


def note_at(notes: Sequence[Note], time: float) -> Note | None:
    """What was said nearest to `time` s; None where nothing was within NEAR. notes: in the order of time."""
    times = [note.time for note in notes]
    at = bisect_left(times, time)
    near = min(notes[max(at - 1, 0) : at + 1], key=lambda note: abs(note.time - time), default=None)
    return near if near is not None and abs(near.time - time) <= NEAR else None


class Annotated:
    """The annotated copy, H.264 in MP4, in memory: ten seconds of it are small."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._writer: VideoWriter | None = None
        self.count = 0  # pictures

    def add(self, image: NDArray[np.uint8], time: float, note: Note | None) -> None:
        """One picture (H, W, 3) BGR of `time` s with what was said of it. Raises av.FFmpegError."""
        if self._writer is None:
            container = av.open(self._buffer, "w", format="mp4")
            size = image.shape[1], image.shape[0]
            self._writer = VideoWriter(container, size, _RATE, {"preset": "veryfast"})
        picture = image
        if note is not None:
            result = replace(note.result, frame=replace(note.result.frame, image=image))
            picture = draw(result, note.health)
        self._writer.write(picture, time)
        self.count += 1

    def finish(self) -> bytes:
        """The whole file."""
        if self._writer is not None:
            self._writer.close()
        return self._buffer.getvalue()


def _scores(job: Job, track: int) -> Iterator[Any]:
    """The scores of one track, each once."""
    for note in job.notes:
        for view in note.result.tracks:
            if view.track.id == track and view.score is not None and view.score.time == note.time:
                yield view.score
