"""The values that flow down the stair, one frozen class a step.

Time is seconds on the source's clock, stamped once at capture, so that a replay is deterministic.
Boxes are float32 (4,) x1 y1 x2 y2 in px of the frame; landmarks float32 (5, 2): left eye, right eye,
nose, left and right corner of the mouth, as seen in the picture.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR, upright, never written to
    time: float  # s on the source's clock, strictly increasing within a connection
    captured: float  # s, time.monotonic() when the packet arrived; the frame's age counts from here
    index: int  # 0, 1, 2 … over all frames that the source delivered, the dropped ones too
    corrupt: bool = False  # the decoder found damage: shown, never scored


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face that the detector found in one frame."""

    box: NDArray[np.float32]  # (4,)
    landmarks: NDArray[np.float32]  # (5, 2)
    probability: float  # 0..1, the detector's


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face followed over frames, as it is in the current one."""

    id: int  # 1, 2, 3 …; never used again
    box: NDArray[np.float32]  # (4,), smoothed
    landmarks: NDArray[np.float32]  # (5, 2)
    probability: float  # of the last look
    confirmed: bool  # seen often enough to be scored
    seen: bool  # found in this frame; False while it is only predicted (occluded, missed)


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be judged."""

    size: float  # px, the longer side of the box
    sharpness: float  # variance of the Laplacian of the grey inner face at 64 px
    yaw: float  # degrees, from the landmarks; 0 = frontal
    roll: float  # degrees
    weight: float  # 0..1, what this crop counts in the window; 0 where `reason` stands
    reason: str = ""  # "too small", "blurred", "turned away": why it is not scored; "" = it is


@dataclass(frozen=True, slots=True)
class Score:
    """What the detector says of one track at one moment."""

    track: int
    time: float  # s
    value: float | None  # calibrated probability 0..1 that the face is fake; None: not scored
    samples: int  # crops in the window
    reason: str = ""  # why `value` is None


class State(Enum):
    """The verdict, in a viewer's words."""

    NO_FACE = "NO FACE"
    UNCERTAIN = "UNCERTAIN"
    CLEAR = "CLEAR"
    SUSPICIOUS = "SUSPICIOUS"
    ALERT = "ALERT"


RISKY = frozenset((State.SUSPICIOUS, State.ALERT))  # the states of an alarm


class Phase(Enum):
    """Where an alert is in its life."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Alert:
    """One event in the life of one alert. All events of an alert carry its id."""

    id: str  # unique, e.g. "front-door-1a2b3c4d-7"
    phase: Phase
    source: str  # the source's name, credentials removed
    track: int
    start: float  # s on the source's clock
    end: float  # s, the newest moment that counts; final in a closed event
    peak: float  # 0..1
    mean: float  # 0..1, over the scores from start to end
    model: str  # name and version of the model's card
    wall_time: str  # ISO 8601 UTC when the event was made; "" where there is no clock (pure code)


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Where in a face the detector sees more than is usual there, over the window (export.maps)."""

    values: NDArray[np.float32]  # (h, w), standard deviations above what is usual for the place
    margin: float  # the side of the square that it covers, in parts of the box's longer side


class Answer(Enum):
    """Whether a face is that of an enrolled person."""

    YES = "yes"
    NO = "no"
    UNSURE = "cannot tell"


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a track's face compares with an enrolled person's, and with the track's own beginning."""

    name: str  # of the enrolled person; "" where nobody is expected
    answer: Answer
    probability: float | None  # 0..1 that it is that person, for even odds; None where nobody is expected
    drift: float  # 1 - cosine to the track's first window; 0 = the same
    drifted: bool  # beyond what real faces do


@dataclass(frozen=True, slots=True)
class TrackView:
    """All that an overlay or a page shows of one track."""

    track: Track
    state: State
    score: Score | None
    quality: Quality | None  # of the last crop
    history: tuple[tuple[float, float], ...]  # (time s, score 0..1) of the last seconds, oldest first
    heat: Heat | None = None  # None: the model gives no maps, or no crop was taken yet
    # (time s, logit) of each crop of the window: what it added to the last score; while under suspicion only.
    moments: tuple[tuple[float, float], ...] = ()
    likeness: Likeness | None = None  # None: the model knows no faces, or it was looked too seldom so far


@dataclass(frozen=True, slots=True)
class Health:
    """How the stream does, for overlay, status line and page."""

    source: str
    provider: str  # what onnxruntime runs on, e.g. "CPU"
    connected: bool
    fps: float  # frames analysed per second, of late
    age: float | None  # s from capture to overlay of the newest frame; None for files read at full speed
    frames: int  # delivered by the source
    dropped: int  # of those, never analysed because a newer one was there
    note: str = ""  # e.g. "reconnecting in 4 s: connection refused"
    explain: bool = False  # the overlay shows heat


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What the stair says of one frame."""

    frame: Frame
    state: State  # of the stream: that of its worst track, NO_FACE without any
    tracks: tuple[TrackView, ...]
    alerts: tuple[Alert, ...]  # events that this frame brought
