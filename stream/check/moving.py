"""A video: through the very live path, its tracks gathered into a report a face."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.check.values import FaceReport, gravest
from stream.config import Settings
from stream.errors import Truncated
from stream.networks import Networks
from stream.values import Alert, Health, Heat, Result, State
from stream.watched import WatchedStream

MOST = 32  # faces that are told of, those with the most scores first

Box = tuple[float, float, float, float]
# A key picture: face, picture (H, W, 3) BGR, its box, its heat.
Show = Callable[[int, NDArray[np.uint8], Box, Heat | None], None]


class Nowhere:
    """An outlet for alerts of which only the states count."""

    def submit(self, alert: Alert) -> None:
        """Forget it."""


@dataclass(slots=True)
class _Face:
    states: set[State] = field(default_factory=set)
    samples: list[tuple[float, float]] = field(default_factory=list)
    best: float = -1.0  # the score of the key picture; -1: none yet
    time: float = 0.0
    box: Box = (0.0, 0.0, 0.0, 0.0)
    reason: str = ""
    moments: tuple[tuple[float, float], ...] = ()


class Gatherer:
    """Sees every result of the pump, keeps scores, states and a key picture of each face."""

    def __init__(self, show: Show, progress: Callable[[float], None]) -> None:
        """show: takes key pictures, the last of a face is the one. progress: s of the video that are done."""
        self._faces: dict[int, _Face] = {}
        self._show, self._progress = show, progress
        self.frames, self.end = 0, 0.0

    def see(self, result: Result, health: Health) -> None:
        """One analysed frame."""
        self.frames, self.end = self.frames + 1, result.frame.time
        for view in result.tracks:
            face = self._faces.setdefault(view.track.id, _Face())
            face.states.add(view.state)
            score = view.score
            fresh = score is not None and score.time == result.frame.time
            if score is not None and fresh and score.value is not None:
                face.samples.append((score.time, score.value))
            elif score is not None and fresh:
                face.reason = score.reason
            value = score.value if score is not None and fresh and score.value is not None else 0.0
            # The gravest moment is the key picture; a face that was never scored shows its first.
            if view.track.seen and (face.best < 0 or (fresh and value > face.best)):
                x1, y1, x2, y2 = (float(v) for v in view.track.box)
                face.best, face.time, face.box = value, result.frame.time, (x1, y1, x2, y2)
                face.moments = view.moments or face.moments
                self._show(view.track.id, result.frame.image, face.box, view.heat)
        self._progress(result.frame.time)

    def close(self) -> None:
        """The video has ended."""

    def faces(self) -> tuple[FaceReport, ...]:
        """Those with the most scores first."""
        listed = sorted(self._faces.items(), key=lambda each: (-len(each[1].samples), each[0]))[:MOST]
        return tuple(_report(number, face) for number, face in listed)


def _report(number: int, face: _Face) -> FaceReport:
    values = [value for _, value in face.samples]
    return FaceReport(
        face=number,
        state=gravest(tuple(face.states)),
        fake=float(np.mean(values)) if values else None,
        peak=max(values, default=None),
        time=face.time,
        box=face.box,
        size=max(face.box[2] - face.box[0], face.box[3] - face.box[1]),
        samples=tuple(face.samples),
        reason="" if values else face.reason or "not seen well or long enough",
        moments=face.moments,
    )


def judge_video(
    path: Path, settings: Settings, networks: Networks, show: Show, progress: Callable[[float], None]
) -> tuple[Gatherer, Truncated | None]:
    """Watch a file as `facewitness watch` does, to its end or the duration of the settings.

    Returns what was seen, and the error that cut it short where something was seen all the same. Raises what
    the source raises.
    """
    gatherer = Gatherer(show, progress)
    stream = WatchedStream(settings, networks, Nowhere(), observers=[gatherer])
    try:
        stream.run()
    except Truncated as error:
        if not gatherer.frames:
            raise
        return gatherer, error
    return gatherer, None
