"""What the stair needs of a detector."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from export.card import Card


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


@runtime_checkable
class Mapper(Protocol):
    """A detector that may tell where in a crop it sees something; `export.detector.Detector` is one."""

    @property
    def card(self) -> Card:
        """What the detector expects."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """h and w of its maps; None: its file gives none."""

    def encode_with_map(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As a Scorer's `encode`, and class-activation maps (N, h, w)."""


def mapper_of(detector: Scorer) -> Mapper | None:
    """The detector, if it gives maps and its card tells what is usual in them."""
    if isinstance(detector, Mapper) and detector.grid is not None and detector.card.map is not None:
        return detector
    return None
