"""Something that crosses the face: a hand, a cup, a sheet of paper; drawn on real and fake clips alike.

Where it covers a face swappers fail, which is worth learning, and so is that a covered face may be real.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.fakes.blend import Image, Mask, smooth_noise
from models.fakes.face import FacePicture

SIDE = 96  # px, the width of the drawn thing before it is laid over the picture; it is twice as high


@dataclass(frozen=True, slots=True, eq=False)
class Occluder:
    """A thing and its way across a clip of T frames."""

    image: Image  # (2 SIDE, SIDE, 3) BGR
    mask: Mask  # (2 SIDE, SIDE)
    path: NDArray[np.float32]  # (T, 2) of the box's sides, from its middle
    size: float  # its width in the box's longer side
    turn: float  # degrees

    @staticmethod
    def draw(face: FacePicture, count: int, rng: np.random.Generator) -> "Occluder":
        """A bar with round ends, skin-coloured (from this face) or not; it comes, stays a while, and goes."""
        shape = 2 * SIDE, SIDE
        mask = np.zeros(shape, np.float32)
        half, thick = SIDE // 2, int(rng.integers(SIDE // 6, SIDE // 2))
        cv2.line(mask, (half, half), (half, 2 * SIDE), 1.0, thick)
        if rng.random() < 0.5:  # fingers
            for x in range(half - thick // 2, half + thick // 2 + 1, max(thick // 3, 4)):
                cv2.line(mask, (x, half), (x + int(rng.integers(-6, 7)), SIDE // 5), 1.0, max(thick // 5, 3))
        cheeks = face.points[[2, 14, 30]].astype(int)
        cheeks = np.clip(cheeks, 0, np.array(face.image.shape[1::-1]) - 1)
        skin = face.image[cheeks[:, 1], cheeks[:, 0]].mean(0)
        colour = skin if rng.random() < 0.6 else rng.uniform(10, 240, 3)
        shade = 18 * smooth_noise(shape, 24, rng) + 6 * smooth_noise(shape, 4, rng)
        image = np.clip(colour + shade[..., None], 0, 255).astype(np.uint8)
        side = 1.0 if rng.random() < 0.5 else -1.0
        along = np.linspace(rng.uniform(-1.6, -0.6), rng.uniform(0.6, 1.6), count)
        aside = side * (0.5 * along**2 + 0.12)
        path = np.stack([aside, 0.15 + 0.9 * np.abs(along) + rng.uniform(-0.3, 0.2)], 1)
        soft = cv2.GaussianBlur(mask, (0, 0), 1.2)
        return Occluder(
            image, soft, path.astype(np.float32), float(rng.uniform(0.5, 0.9)), float(rng.uniform(-35, 35))
        )

    def over(self, face: FacePicture, t: int) -> Image:
        """The picture of frame t with the thing before it: (H, W, 3)."""
        scale = self.size * face.side / SIDE
        middle = (face.box[:2] + face.box[2:]) / 2 + self.path[t] * (face.box[2:] - face.box[:2])
        matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), self.turn, scale)
        matrix[:, 2] += middle - SIDE / 2
        size = face.image.shape[1], face.image.shape[0]
        thing = cv2.warpAffine(self.image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.warpAffine(self.mask, matrix, size)[..., None]
        return np.clip(thing * weight + face.image * (1 - weight) + 0.5, 0, 255).astype(np.uint8)

    def covers(self, t: int) -> float:
        """How near to the middle of the face it is in frame t: 0 = away, 1 = on the nose."""
        return float(np.clip(1.3 - np.linalg.norm(self.path[t]) / 0.6, 0, 1))
