"""The face that a fake is made from, and the fake itself: a picture with one known face."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class FacePicture:
    """A picture with one known face; never written to."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    points: NDArray[np.float32]  # (68, 2) px, iBUG order
    box: NDArray[np.float32]  # (4,) x1 y1 x2 y2 px, as MTCNN gives it
    border: int = 0  # px on each side that only mirror the picture within

    @property
    def side(self) -> float:
        """The box's longer side, px."""
        return float((self.box[2:] - self.box[:2]).max())

    def with_image(self, image: NDArray[np.uint8]) -> "FacePicture":
        """Another picture of the face in the same place."""
        return replace(self, image=image)
