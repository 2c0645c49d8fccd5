"""Heat over a face:

where in it the detector sees more than is usual there. Pure drawing, one colour scale.
"""

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.overlay_text import DIM, PLATE, Image, stack, text_tile
from stream.values import Heat

# Standard deviations above what is usual for a place on real faces: below LOW nothing is drawn, from HIGH on
# all is alike. Of real faces' places 16 % would lie above LOW if they were normal.
LOW, HIGH = 1.0, 4.0
STRONGEST = 0.6  # opacity at HIGH
_SCALE, _TOP = cv2.COLORMAP_INFERNO, 0.78  # dark to light evenly; its pale end would bleach a face
LARGEST = 2  # times the picture that a face may be; a box beyond that is no face's
SMALL = 48  # px a side of a map before it is enlarged
_BAR = 7  # em, of the legend's


def paint(picture: Image, heat: Heat, box: NDArray[np.float32]) -> None:
    """Lay heat over the face of `box` (4,) px x1 y1 x2 y2, in place, as far as it lies in the picture."""
    size = max(float(box[2] - box[0]), float(box[3] - box[1])) * heat.margin  # px, as the crop was cut
    left, top = (float(box[k] + box[k + 2]) / 2 - size / 2 for k in (0, 1))
    height, width = picture.shape[:2]
    if not np.isfinite([left, top, size]).all() or not 1 <= size <= LARGEST * max(height, width):
        return
    x, y, side = round(left), round(top), round(size)
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x2 <= x1 or y2 <= y1:
        return
    layers = _layers(heat)
    if layers is None:
        return
    # Made small and enlarged in bytes: a tenth of the time that floats of full size take.
    ink, kept = (
        cv2.resize(layer, (side, side), interpolation=cv2.INTER_LINEAR)[y1 - y : y2 - y, x1 - x : x2 - x]
        for layer in layers
    )
    part = picture[y1:y2, x1:x2]
    picture[y1:y2, x1:x2] = cv2.add(cv2.multiply(part, kept, scale=1 / 255), ink)


@lru_cache(maxsize=256)  # a face's heat changes eight times a second, its picture thirty
def _layers(heat: Heat) -> tuple[Image, Image] | None:
    """What is added to a face and what is left of it, 0..255, both (SMALL, SMALL, 3) BGR; None:

    all is usual.
    """
    share = cv2.resize(shares(heat.values), (SMALL, SMALL), interpolation=cv2.INTER_LINEAR)
    if not share.any():
        return None
    alpha = share[..., None] * np.float32(STRONGEST)
    ink = np.asarray(colours(share) * alpha, np.uint8)
    return ink, np.repeat(np.asarray(255 * (1 - alpha), np.uint8), 3, axis=2)


def shares(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviations to the colour scale's 0..1."""
    return np.clip((values - LOW) / np.float32(HIGH - LOW), 0, 1).astype(np.float32)


def colours(share: NDArray[np.float32]) -> Image:
    """0..1 (H, W) to colours (H, W, 3) BGR."""
    return np.asarray(cv2.applyColorMap((share * np.float32(255 * _TOP)).astype(np.uint8), _SCALE), np.uint8)


def painted(crop: Image, heat: Heat) -> Image:
    """A copy of a face's crop (S, S, 3) BGR with its heat."""
    out, size = crop.copy(), crop.shape[0]
    margin = size * (1 - 1 / heat.margin) / 2
    paint(out, heat, np.array([margin, margin, size - margin, size - margin], np.float32))
    return out


@cache
def legend(em: int) -> tuple[Image, ...]:
    """What the colours mean, the fullest form first; each in words and a bar."""
    bar = colours(np.repeat(np.linspace(0, 1, _BAR * em, dtype=np.float32)[None], max(em // 2, 4), 0))
    low, high = text_tile("as on real faces", em, DIM, PLATE), text_tile(f"+{HIGH:g} SD", em, DIM, PLATE)
    ground = np.empty((low.shape[0], bar.shape[1], 3), np.uint8)
    ground[:] = PLATE
    top = (ground.shape[0] - bar.shape[0]) // 2
    ground[top : top + bar.shape[0]] = bar
    return stack([[low, ground, high]]), stack([[ground, high]])
