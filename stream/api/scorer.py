"""`facewitness.Scorer`: one's own frames through the stair, without any source, thread or clock."""

import numpy as np
from numpy.typing import NDArray

from export.detector import Detector
from stream.analysis import Analysis
from stream.api.networks import networks_of
from stream.check.still import SMALL_FACE, judge_picture
from stream.check.values import FaceReport
from stream.errors import ModelError
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.sources import SMALLEST
from stream.tracker import Tracker
from stream.values import Alert, Frame, Result


class Scorer:
    """Give it the frames of one video in their order; it says what the command would say of them.

    Several may be used, one for each video: they share the networks. One is for one thread at a time.
    """

    def __init__(
        self, *, model: str = "detector", provider: str = "auto", threads: int = 1, min_face: int = 60
    ) -> None:
        """min_face: px. Raises ModelError, ProviderError, ConfigError."""
        networks = self._networks = networks_of(model, provider, threads, min_face)
        self._still = networks_of(model, provider, threads, SMALL_FACE)
        judge = Judge(Policy(networks.detector.card.thresholds), "python", networks.label, "python")
        self._analysis = Analysis(networks.detector, Tracker(networks.looker), judge, Meter())
        self._time, self._index = -np.inf, 0

    def __repr__(self) -> str:
        return f"Scorer({self._networks.label} on {self._networks.provider})"

    def add(self, image: NDArray[np.uint8], time: float) -> Result:
        """One frame: (H, W, 3) uint8 BGR, and when it was taken, s, later than the one before.

        The image is kept, not copied: do not write to it again. Raises ValueError for what is no such image,
        or a time that does not grow.
        """
        _sound(image)
        if not (np.isfinite(time) and time > self._time):
            raise ValueError(f"a time later than {self._time:g} s, not {time:g}")
        self._time = float(time)
        frame = Frame(image, self._time, 0.0, self._index)
        self._index += 1
        return self._analysis.step(frame)

    def finish(self) -> tuple[Alert, ...]:
        """The video has ended: the events that close what is open."""
        return self._analysis.finish()

    def picture(self, image: NDArray[np.uint8]) -> tuple[FaceReport, ...]:
        """The faces of a single picture (H, W, 3) uint8 BGR, the largest first, as `facewitness check` judges
        them.

        Raises ValueError for what is no such image, ModelError for a model without a judge of pictures.
        """
        _sound(image)
        detector = self._networks.detector
        if detector.card.still is None or not isinstance(detector, Detector):
            raise ModelError(f"{self._networks.label} has no judge of single pictures")
        return judge_picture(image, detector, self._still.looker)


def _sound(image: NDArray[np.uint8]) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        told = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is (H, W, 3) uint8 BGR, not {told}")
    if min(image.shape[:2]) < SMALLEST:
        raise ValueError(
            f"an image of {image.shape[1]}x{image.shape[0]} px is too small, {SMALLEST} is the least"
        )
