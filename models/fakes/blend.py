"""What all families share: masks from landmarks, their deformation, colour transfer, and the blend itself."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks import Points, hull

Image = NDArray[np.uint8]
Mask = NDArray[np.float32]  # (H, W), 0..1


def face_size(points: Points) -> float:
    """The face's height in px, brow to chin: what every width below is measured in."""
    return float(np.linalg.norm(points[8] - points[27])) + 1.0


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise (H, W) of about -1..1 whose bumps are about `cell` px wide."""
    small = max(2, round(shape[1] / cell)), max(2, round(shape[0] / cell))
    noise = rng.uniform(-1, 1, (small[1], small[0])).astype(np.float32)
    return cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def elastic(picture: NDArray, amount: float, cell: float, rng: np.random.Generator) -> NDArray:
    """Push the pixels of a picture or mask about by up to `amount` px, in bumps of `cell` px."""
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    xs += amount * smooth_noise((height, width), cell, rng)
    ys += amount * smooth_noise((height, width), cell, rng)
    return cv2.remap(picture, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def soft_mask(
    shape: tuple[int, int],
    points: Points,
    part: str,
    softness: float,
    rng: np.random.Generator,
    grow: tuple[float, float] = (-0.06, 0.03),
) -> Mask:
    """A mask (H, W) over a part's hull, elastically deformed, its edge blurred.

    softness: the blur's sigma over the face's height; the mask is eroded by it first, to stay inside.
    grow: it is dilated by so much of the face's height, drawn between these two; negative erodes.
    """
    size = face_size(points)
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, hull(points, part), 1.0)
    mask = elastic(mask, 0.04 * size, 0.4 * size, rng)
    sigma = max(softness * size, 0.5)
    wider = round(rng.uniform(*grow) * size - sigma)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(wider) + 1, 2 * abs(wider) + 1))
    mask = cv2.erode(mask, kernel) if wider < 0 else cv2.dilate(mask, kernel)
    return np.clip(cv2.GaussianBlur(mask, (0, 0), sigma), 0, 1)


def blend(over: Image, under: Image, mask: Mask) -> Image:
    """`over` where the mask is 1, `under` where it is 0."""
    weight = mask[..., None]
    return np.clip(over * weight + under * (1 - weight) + 0.5, 0, 255).astype(np.uint8)


def shift_colour(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Another camera's colours: gains per channel, brightness, contrast, saturation."""
    x = image.astype(np.float32)
    x *= 1 + strength * rng.uniform(-0.5, 0.5, 3).astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * (1 + strength * rng.uniform(-1, 1))
    x = (x - 128) * (1 + strength * rng.uniform(-0.7, 0.7)) + 128 + 50 * strength * rng.uniform(-1, 1)
    return np.clip(x, 0, 255).astype(np.uint8)


def match_colour(source: Image, target: Image, mask: Mask, strength: float) -> Image:
    """Give the source the target's mean and spread per Lab channel within the mask (Reinhard et al. 2001)."""
    where = mask > 0.3
    if where.sum() < 16:
        return source
    a = cv2.cvtColor(source, cv2.COLOR_BGR2LAB).astype(np.float32)
    b = cv2.cvtColor(target, cv2.COLOR_BGR2LAB).astype(np.float32)
    pa, pb = a[where], b[where]
    gain = np.clip(pb.std(0) / (pa.std(0) + 1e-3), 0.5, 2.0)
    matched = (a - pa.mean(0)) * gain + pb.mean(0)
    mixed = np.clip(a + strength * (matched - a), 0, 255).astype(np.uint8)
    return cv2.cvtColor(mixed, cv2.COLOR_LAB2BGR)


def match_light(source: Image, target: Image, size: float, strength: float) -> Image:
    """Give the source the target's slow shading, as a swapper that keeps the scene's light does.

    size: the face's height, px. Only what changes over less than a fifth of it stays the source's own.
    """
    sigma, less = 0.2 * size, max(1, int(0.05 * size))  # blurred on a small copy: it is smooth anyway
    small = max(2, source.shape[1] // less), max(2, source.shape[0] // less)
    gap = cv2.resize(target, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    gap -= cv2.resize(source, small, interpolation=cv2.INTER_AREA)
    gap = cv2.GaussianBlur(gap, (0, 0), sigma / less)
    full = cv2.resize(gap, (source.shape[1], source.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(source + strength * full + 0.5, 0, 255).astype(np.uint8)


def sharpen(image: Image, amount: float, sigma: float) -> Image:
    """Unsharp mask."""
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), sigma), -amount, 0)
