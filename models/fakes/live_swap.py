"""The live swap's signature: the inner face as a small decoder gives it, resampled, restored, blended back.

Real-time swappers (DeepFaceLive, inswapper) decode an aligned face at 64 to 128 px, enlarge it, often denoise
and sharpen it, match its colours and blend it through a soft mask.
"""

import cv2
import numpy as np

from models.fakes.blend import (
    Image,
    blend,
    elastic,
    face_size,
    match_colour,
    sharpen,
    shift_colour,
    soft_mask,
)
from models.fakes.face import FacePicture
from models.landmarks import Points, align, five_of

# Eyes, nose and mouth corners in an aligned unit square (the usual ArcFace template over 112 px, widened).
TEMPLATE = np.array([[0.37, 0.42], [0.63, 0.42], [0.5, 0.57], [0.39, 0.71], [0.61, 0.71]], np.float32)
UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def decode_again(image: Image, points: Points, rng: np.random.Generator) -> Image:
    """(H, W, 3): the picture with its aligned face passed through a small square and back.

    The square's side is 64-128 px at most, and always fewer pixels than the face has, else nothing is lost.
    """
    height, width = image.shape[:2]
    size = face_size(points)
    side = round(np.clip(rng.uniform(0.35, 0.85) * size * 1.6, 40, 128))
    there = align(five_of(points), TEMPLATE * side)
    shrink = np.sqrt(abs(np.linalg.det(there[:, :2])))
    source = cv2.GaussianBlur(image, (0, 0), 0.4 / shrink) if shrink < 0.8 else image  # no aliasing
    small = cv2.warpAffine(
        source, there, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < 0.6:  # a decoder's loss of fine texture
        small = cv2.bilateralFilter(small, 5, rng.uniform(10, 45), 2.0)
    if rng.random() < 0.4:
        small = elastic(small, rng.uniform(0.003, 0.012) * side, 0.15 * side, rng)
    how = UP[rng.integers(len(UP))]
    if rng.random() < 0.5:  # a restorer's usual 2x before it is laid back
        small = cv2.resize(small, None, fx=2, fy=2, interpolation=how)
        there = there * 2
    if rng.random() < 0.6:
        small = sharpen(small, rng.uniform(0.3, 1.6), rng.uniform(0.8, 2.0))
    flags = how | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(small, there, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def live_swap(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
    """(H, W, 3) BGR: the same person's inner face, decoded again. The donor is not used."""
    decoded = decode_again(face.image, face.points, rng)
    if rng.random() < 0.7:
        decoded = shift_colour(decoded, rng.uniform(0.03, 0.2), rng)
    mask = soft_mask(face.image.shape[:2], face.points, _part(rng), rng.uniform(0.02, 0.1), rng)
    if rng.random() < 0.5:
        decoded = match_colour(decoded, face.image, mask, rng.uniform(0.5, 1.0))
    return blend(decoded, face.image, mask)


def _part(rng: np.random.Generator) -> str:
    return "inner" if rng.random() < 0.6 else "whole"
