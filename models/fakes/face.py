"""The face that a fake is made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class FacePicture:
    """A picture with one known face; never written to."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    points: NDArray[np.float32]  # (68, 2) px, iBUG order
    box: NDArray[np.float32]  # (4,) x1 y1 x2 y2 px, as MTCNN gives it
