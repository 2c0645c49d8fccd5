"""How one face moves: smoothed box and landmarks, and where it should be next."""

import numpy as np
from numpy.typing import NDArray

from stream.values import Face

# One-Euro filter, in units of the face's size so that it does not depend on the distance to the camera.
# Measured at 30 fps with white noise of 1 % of the size: a face at rest jitters 0.4 times as much as what is
# found, and a face that moves by half its size a second is shown 2 % of its size behind.
MIN_CUTOFF = 1.0  # Hz, on a face at rest
BETA = 6.0  # Hz per (face size / s)
# A face grows and shrinks slower than it moves, and what is cut out for the encoder must not breathe.
SIZE_MIN_CUTOFF, SIZE_BETA = 0.3, 1.0
CHANGE_CUTOFF = 1.0  # Hz, of the speed that opens the filter, as in the paper
SPEED_CUTOFF = 3.0  # Hz, of the speed that predicts, which has to be quicker
FASTEST = 5.0  # face sizes / s; what looks faster is a wrong match
COAST = 0.4  # s, after which an unseen face has lost 1 - 1/e of its speed: people stop and turn
GAP = 0.25  # s unseen after which old smoothing means nothing any more
SETTLE = 2.0  # s, time constant of how the box lies around the landmarks
TURNED = 0.15  # of the face's size; a box that lies so otherwise is of a head that has turned

CENTRE, SPREAD, POINTS = slice(0, 2), 2, slice(3, 13)  # of the vector that is filtered
Shown = tuple[NDArray[np.float32], NDArray[np.float32]]  # box (4,) and landmarks (5, 2), px
_IS_SIZE = np.arange(13) == SPREAD
_MIN_CUTOFFS, _BETAS = np.where(_IS_SIZE, SIZE_MIN_CUTOFF, MIN_CUTOFF), np.where(_IS_SIZE, SIZE_BETA, BETA)


class Motion:
    """One-Euro filter (G. Casiez, N. Roussel, D. Vogel, CHI 2012, p. 2527) over a face's box and landmarks.

    Differing from the paper, the speed comes from unfiltered positions: it also predicts, and the speed of
    the filtered position lags behind.

    What is filtered are the landmarks. How the box lies around them is learnt from the whole detector alone:
    ONet, given one square instead of several, finds the landmarks' centre within 0.5 % of the face's size
    (standard deviation, 23 clips), but the box's within 1.3 % and its sides within 3 %; and a crop that is
    cut otherwise is scored otherwise.
    """

    def __init__(self, face: Face, time: float) -> None:
        """time: s on the source's clock."""
        self._time = time
        self._raw = self._smooth = _to_vector(face)
        self._speed = self._change = np.zeros_like(self._raw)
        self._around = _box_around(face) / self._smooth[SPREAD]
        self._learnt, self._known = time, 1.0
        self._shown: tuple[float, Shown] | None = None  # the last answer of `smoothed`, and of which time

    @property
    def size(self) -> float:
        """px, the mean side of the smoothed box."""
        return float(self._smooth[SPREAD] * self._around[2:].mean())

    def update(self, face: Face, time: float) -> None:
        """Take what was seen at `time`, which must lie after the last."""
        self._shown = None
        now, dt = _to_vector(face), time - self._time
        if dt > GAP:
            self._raw = self._smooth = now
            self._speed = self._change = np.zeros_like(now)
            self._time = time
            return
        size = max(self.size, 1.0)
        raw_speed = np.clip((now - self._raw) / dt, -FASTEST * size, FASTEST * size)
        self._speed = self._speed + _weight(SPEED_CUTOFF, dt) * (raw_speed - self._speed)
        self._change = self._change + _weight(CHANGE_CUTOFF, dt) * (raw_speed - self._change)
        cutoff = _MIN_CUTOFFS + _BETAS * np.abs(self._change) / size
        self._smooth = self._smooth + _weight(cutoff, dt) * (now - self._smooth)
        self._raw, self._time = now, time

    def smoothed(self, time: float) -> Shown:
        """Box (4,) and landmarks (5, 2), px, at `time`, read only; after the last sight where they should be.

        This is also where to look next. Looking where the face was last found, unsmoothed, feeds the
        networks' jitter back to them: on a still face in camera noise the boxes move five times as much.
        """
        if self._shown is None or self._shown[0] != time:  # a frame asks for it several times
            self._shown = time, _from_vector(self._moved(self._smooth, time), self._around)
        return self._shown[1]

    def learn(self, face: Face, time: float) -> None:
        """Take how the whole detector lays its box around the landmarks."""
        self._shown = None
        around = _box_around(face) / self._smooth[SPREAD]
        off = float(np.abs(around - self._around).max() / self._around[2:].mean())
        kept = np.exp(-(time - self._learnt) / SETTLE - (off / TURNED) ** 2)
        self._known = 1 + self._known * float(kept)
        self._around = self._around + (around - self._around) / self._known
        self._learnt = time

    def _moved(self, vector: NDArray[np.float64], time: float) -> NDArray[np.float64]:
        way = self._speed[CENTRE] * COAST * -np.expm1(-max(time - self._time, 0.0) / COAST)
        return np.concatenate([vector[CENTRE] + way, vector[2:]])


def _weight(cutoff: float | NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    """The new value's part in a first-order low pass: 1 / (1 + tau / dt)."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * dt)))


def _to_vector(face: Face) -> NDArray[np.float64]:
    """(13,): the landmarks' centre, their spread, where each is beside the centre; px."""
    points = face.landmarks.astype(np.float64)
    beside = points - points.mean(axis=0)
    # Of a face 0.55 of its side; should they all fall together, what is measured by it stays bounded.
    spread = max(float(np.linalg.norm(beside)), 0.1 * float((face.box[2:] - face.box[:2]).mean()), 1e-3)
    return np.concatenate([points.mean(axis=0), [spread], beside.ravel()])


def _box_around(face: Face) -> NDArray[np.float64]:
    """(4,) px: the box's centre from that of the landmarks, and its sides."""
    box = face.box.astype(np.float64)
    return np.concatenate([(box[:2] + box[2:]) / 2 - face.landmarks.mean(axis=0), box[2:] - box[:2]])


def _from_vector(vector: NDArray[np.float64], around: NDArray[np.float64]) -> Shown:
    centre, half = vector[CENTRE] + around[:2] * vector[SPREAD], around[2:] * vector[SPREAD] / 2
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    landmarks = (vector[POINTS].reshape(5, 2) + vector[CENTRE]).astype(np.float32)
    for array in (box, landmarks):
        array.setflags(write=False)  # the same ones are handed out again
    return box, landmarks
