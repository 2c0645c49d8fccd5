"""The rolling window of each track: when a crop is due, and which features the head sees. Pure."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

GRACE = 0.0005  # s: time stamps are rounded, and a frame late costs a whole period


class Pacer:
    """Says when something that should happen `rate` times a second is due, on the source's clock.

    Holds the mean rate over uneven frame times, and never tries to catch up after a gap.
    """

    def __init__(self, rate: float) -> None:
        """rate: times a second, above 0."""
        self._period = 1 / rate
        self._next = -np.inf

    @property
    def opens(self) -> float:
        """s, from when on it is due again."""
        return self._next - GRACE

    def due(self, time: float) -> bool:
        """Whether it is due at `time` s; asking when it is, takes it."""
        if time < self.opens:
            return False
        first = self._next == -np.inf
        self._next = time + self._period if first else max(self._next + self._period, time + self._period / 2)
        return True


class Window:
    """The last seconds of one track as encoded crops. Adding costs the same however long it is."""

    def __init__(self, seconds: float, rate: float) -> None:
        """seconds: length. rate: samples a second; both bound the number of samples kept."""
        self._seconds = seconds
        # A pacer's grace can put one sample more than seconds * rate into the window.
        self._samples: deque[tuple[float, NDArray[np.float32], float]] = deque(
            maxlen=int(seconds * rate + 1.5)
        )

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, time: float, feature: NDArray[np.float32], weight: float) -> None:
        """Take one encoded crop. feature: (D,). weight: the crop's quality, in (0, 1]."""
        self._samples.append((time, feature, weight))

    def forget(self, time: float) -> None:
        """Drop what is older than the window at `time` s."""
        while self._samples and self._samples[0][0] <= time - self._seconds:
            self._samples.popleft()

    @property
    def newest(self) -> float:
        """s of the last crop; -inf without one."""
        return self._samples[-1][0] if self._samples else -math.inf

    @property
    def times(self) -> tuple[float, ...]:
        """s of each crop, oldest first."""
        return tuple(time for time, _, _ in self._samples)

    @property
    def weights(self) -> tuple[float, ...]:
        """The quality of each crop, oldest first."""
        return tuple(weight for _, _, weight in self._samples)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (T, D) and weights (T,), oldest first. Raises ValueError when it is empty."""
        _, features, weights = zip(*self._samples, strict=True)
        return np.stack(features), np.array(weights, np.float32)
