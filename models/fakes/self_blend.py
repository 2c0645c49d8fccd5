"""Self-blended images: a face blended onto itself after small changes (Shiohara & Yamasaki, CVPR 2022).

https://arxiv.org/abs/2204.08376, section 3.2: one picture is copied; one of the two copies gets other colours
and another sharpness, the copy laid over is moved a little, and a deformed landmark mask joins them.
"""

import cv2
import numpy as np

from models.fakes.blend import Image, blend, elastic, face_size, sharpen, shift_colour, soft_mask
from models.fakes.face import FacePicture

PARTS = ("whole", "inner", "lower", "mouth", "eyes")
PART_ODDS = (0.33, 0.33, 0.14, 0.1, 0.1)
SMALL = {"mouth": (0.0, 0.06), "eyes": (0.0, 0.06)}  # parts that would vanish if eroded as the others are


def _other_texture(image: Image, size: float, rng: np.random.Generator) -> Image:
    """Another sharpness: resampled down and up, sharpened, or blurred."""
    kind = rng.integers(3)
    if kind == 0:
        height, width = image.shape[:2]
        scale = rng.uniform(0.35, 0.8)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    if kind == 1:
        return sharpen(image, rng.uniform(0.4, 1.5), max(0.006 * size, 0.6))
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.004, 0.015) * size + 0.3)


def self_blend(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
    """(H, W, 3) BGR: the face blended onto itself. The donor is not used."""
    size = face_size(face.points)
    changed = shift_colour(face.image, rng.uniform(0.05, 0.3), rng)
    if rng.random() < 0.7:
        changed = _other_texture(changed, size, rng)
    over, under = (changed, face.image) if rng.random() < 0.7 else (face.image, changed)
    height, width = over.shape[:2]
    centre = face.points.mean(0)
    turn = cv2.getRotationMatrix2D(
        (float(centre[0]), float(centre[1])), rng.uniform(-2, 2), rng.uniform(0.96, 1.04)
    )
    turn[:, 2] += rng.uniform(-0.03, 0.03, 2) * size
    over = cv2.warpAffine(over, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    over = elastic(over, rng.uniform(0, 0.02) * size, 0.3 * size, rng)
    part = PARTS[rng.choice(len(PARTS), p=PART_ODDS)]
    softness, grow = rng.uniform(0.01, 0.08), SMALL.get(part, (-0.06, 0.03))
    mask = soft_mask(
        (height, width), face.points, part, softness / 2 if part in SMALL else softness, rng, grow
    )
    return blend(over, under, mask * np.float32(rng.choice([0.6, 0.8, 1.0, 1.0, 1.0])))
