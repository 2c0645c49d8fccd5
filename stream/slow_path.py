"""The stair that leaves nothing out, beside which the product's own is held (stream/agreement.py)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.card import Card
from stream.analysis import Analysis
from stream.association import closest
from stream.faces import FaceDetector
from stream.judge import Judge, Policy
from stream.key_frames import Intervals
from stream.looker import settled
from stream.meter import Meter
from stream.networks import Networks
from stream.scorer import Scorer
from stream.tracker import Tracker
from stream.values import Face, Frame, Result

EVERY = 240.0  # crops a second that no source has: one of each frame
USUAL = 30.0  # frames a second


class Stair(Protocol):
    """What is compared; `stream.analysis.Analysis` is one."""

    def step(self, frame: Frame) -> Result:
        """Analyse one frame."""


class EveryFrame:
    """A looker that has only the whole detector: what is expected in a box is sought in all that it finds."""

    def __init__(self, faces: FaceDetector) -> None:
        self._faces = faces
        self._image: NDArray[np.uint8] | None = None
        self._found: Sequence[Face] = ()

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Face]:
        """All faces of a picture; the same picture is looked over once."""
        if image is not self._image:
            self._image, self._found = image, settled(self._faces, image, self._faces.detect(image))
        return self._found

    def refine(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Sequence[Face | None]:
        """For each box (N, 4) the face of the whole picture that overlaps it most, or None."""
        return closest(boxes, self.detect(image))


class EveryCrop:
    """A detector that takes one crop at a time and looks at each with both eyes."""

    def __init__(self, detector: Scorer, rate: float | None) -> None:
        """rate: crops a second of each face; None: the card's."""
        card = detector.card
        if rate is not None:  # a score needs the same time, not the same number of crops
            least = round(card.window.min_samples * min(rate, USUAL) / card.window.rate)
            card = replace(card, window=replace(card.window, rate=rate, min_samples=least))
        self._detector = detector
        self.card: Card = card

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """(N, S, S, 3) to (N, D), one run for each."""
        return np.concatenate([self._detector.encode(crop[None]) for crop in crops])

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows to probabilities, one run for each."""
        windows = zip(features, weights, strict=True)
        return np.concatenate([self._detector.score(f[None], w[None]) for f, w in windows])


class Late:
    """A stair that does not look at the first frames, as one that was connected a moment later."""

    def __init__(self, stair: Stair, frames: int) -> None:
        self._stair, self._left = stair, frames

    def step(self, frame: Frame) -> Result:
        """As the stair's; a frame that it does not look at counts as corrupt."""
        late, self._left = self._left > 0, self._left - 1
        return self._stair.step(replace(frame, corrupt=True) if late else frame)


def fast(networks: Networks) -> Callable[[], Analysis]:
    """Makes the product's own stair."""
    return lambda: _stair(networks, networks.detector, Tracker(networks.faces), thorough=False)


def slow(networks: Networks, *, every: bool) -> Callable[[], Analysis]:
    """Makes the stair that leaves nothing out: the whole of MTCNN looks over each frame with a face.

    every: new faces are sought and crops encoded on every frame, not at the product's pace.
    """
    intervals = Intervals(0.0, 0.0, 0.0, 0.0, glance=0.0) if every else Intervals(glance=0.0)
    detector = EveryCrop(networks.detector, EVERY if every else None)
    return lambda: _stair(networks, detector, Tracker(EveryFrame(networks.faces), intervals), thorough=True)


def _stair(networks: Networks, detector: Scorer, tracker: Tracker, *, thorough: bool) -> Analysis:
    judge = Judge(Policy(detector.card.thresholds), "agreement", networks.label, "agreement")
    return Analysis(detector, tracker, judge, Meter(), thorough=thorough)
