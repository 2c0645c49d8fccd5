"""The one crop that training and the live system share: from a face's box to the encoder's input."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB values in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
KEPT_MARGIN = 1.6  # of the crops that are kept in files (stream.crops): room for any detector's margin


@dataclass(frozen=True, slots=True)
class CropSpec:
    """How a face is cut out and normalised; part of a model's card."""

    size: int  # px, the side of the square crop
    margin: float  # the crop's side over the longer side of the face's box, 1.3 = 30 % more
    mean: tuple[float, float, float] = IMAGENET_MEAN  # RGB
    std: tuple[float, float, float] = IMAGENET_STD  # RGB


def crop_face(image: NDArray[np.uint8], box: NDArray[np.float32], spec: CropSpec) -> NDArray[np.uint8]:
    """Cut the square around a face's box out of a picture and resize it.

    image: (H, W, 3) uint8 BGR. box: (4,) x1 y1 x2 y2 in px, may reach outside the picture.
    Returns (size, size, 3) uint8 BGR. What lies outside the picture repeats its edge.
    Shrinking averages over areas, so that no aliasing looks like an artefact; growing is bilinear.
    Raises ValueError for a box without area.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    side = max(x2 - x1, y2 - y1) * spec.margin
    if not side > 0:
        raise ValueError(f"the box {box} has no area")
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    # Whole pixels first, resampling second: the source's own pixel grid survives as far as it can.
    x, y, n = round(left), round(top), max(round(side), 1)
    height, width = image.shape[:2]
    patch = image[max(y, 0) : max(min(y + n, height), 0), max(x, 0) : max(min(x + n, width), 0)]
    if patch.size == 0:
        raise ValueError(f"the box {box} lies outside the picture of {width}x{height}")
    pads = max(-y, 0), max(y + n - height, 0), max(-x, 0), max(x + n - width, 0)
    if any(pads):
        patch = cv2.copyMakeBorder(patch, *pads, cv2.BORDER_REPLICATE)
    how = cv2.INTER_AREA if n > spec.size else cv2.INTER_LINEAR
    return cv2.resize(patch, (spec.size, spec.size), interpolation=how)


def cut_again(kept: NDArray[np.uint8], spec: CropSpec) -> NDArray[np.uint8]:
    """Crops of KEPT_MARGIN, cut as a detector takes them: (N, M, M, 3) uint8 BGR to (N, S, S, 3)."""
    low, high = (kept.shape[1] / 2 * (1 + sign / KEPT_MARGIN) for sign in (-1, 1))
    box = np.array([low, low, high, high], np.float32)
    return np.stack([crop_face(crop, box, spec) for crop in kept])


def to_input(crops: NDArray[np.uint8], spec: CropSpec) -> NDArray[np.float32]:
    """Normalise crops for the encoder: (N, S, S, 3) uint8 BGR to (N, 3, S, S) float32 RGB."""
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    # Planes first, arithmetic second: the same numbers, eight times as fast as over three at a time.
    planes = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2))
    scaled: NDArray[np.float32] = np.multiply(planes, (1 / (255 * std))[:, None, None], dtype=np.float32)
    scaled -= (mean / std)[:, None, None]
    return scaled
