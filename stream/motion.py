"""How one face moves: smoothed box and landmarks, and where it should be next."""

import numpy as np
from numpy.typing import NDArray

from stream.values import Face

# One-Euro filter, in units of the face's size so that it does not depend on the distance to the camera.
# Measured at 30 fps with white noise of 1 % of the size: a face at rest jitters 0.4 times as much as what is
# found, and a face that moves by half its size a second is shown 2 % of its size behind.
MIN_CUTOFF = 1.0  # Hz, on a face at rest
BETA = 6.0  # Hz per (face size / s)
CHANGE_CUTOFF = 1.0  # Hz, of the speed that opens the filter, as in the paper
SPEED_CUTOFF = 3.0  # Hz, of the speed that predicts, which has to be quicker
FASTEST = 5.0  # face sizes / s; what looks faster is a wrong match
COAST = 0.4  # s, after which an unseen face has lost 1 - 1/e of its speed: people stop and turn
GAP = 0.25  # s unseen after which old smoothing means nothing any more


class Motion:
    """One-Euro filter (G. Casiez, N. Roussel, D. Vogel, CHI 2012, p. 2527) over a face's box and landmarks.

    Differing from the paper, the speed comes from unfiltered positions: it also predicts, and the speed of
    the filtered position lags behind.
    """

    def __init__(self, face: Face, time: float) -> None:
        """time: s on the source's clock."""
        self._time = time
        self._raw = self._smooth = _to_vector(face)
        self._speed = self._change = np.zeros_like(self._raw)

    @property
    def size(self) -> float:
        """px, the mean side of the smoothed box."""
        return float(self._smooth[2:4].mean())

    def update(self, face: Face, time: float) -> None:
        """Take what was seen at `time`, which must lie after the last."""
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
        cutoff = MIN_CUTOFF + BETA * np.abs(self._change) / size
        self._smooth = self._smooth + _weight(cutoff, dt) * (now - self._smooth)
        self._raw, self._time = now, time

    def smoothed(self, time: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Box (4,) and landmarks (5, 2), px, at `time`; beyond the last sight, where they should be.

        This is also where to look next. Looking where the face was last found, unsmoothed, feeds the
        networks' jitter back to them: on a still face in camera noise the boxes move five times as much.
        """
        return _from_vector(self._moved(self._smooth, time))

    def _moved(self, vector: NDArray[np.float64], time: float) -> NDArray[np.float64]:
        way = self._speed[:2] * COAST * -np.expm1(-max(time - self._time, 0.0) / COAST)
        return np.concatenate([vector[:2] + way, vector[2:]])


def _weight(cutoff: float | NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    """The new value's part in a first-order low pass: 1 / (1 + tau / dt)."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * dt)))


def _to_vector(face: Face) -> NDArray[np.float64]:
    """(14,): centre, sides, landmarks relative to the centre."""
    box = face.box.astype(np.float64)
    centre = (box[:2] + box[2:]) / 2
    return np.concatenate([centre, box[2:] - box[:2], (face.landmarks - centre).ravel()])


def _from_vector(vector: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    centre, half = vector[:2], vector[2:4] / 2
    box = np.concatenate([centre - half, centre + half])
    return box.astype(np.float32), (vector[4:].reshape(5, 2) + centre).astype(np.float32)
