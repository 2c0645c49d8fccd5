"""Why a detector says so, from its exported file alone: places of a crop, and moments of a window.

Three answers: the class-activation map that the file gives by itself (export.maps), shown in standard
deviations above what is usual for a place; occlusion (Zeiler & Fergus, ECCV 2014,
https://arxiv.org/abs/1311.2901), which hides one place after the other and needs nothing but the score; and
for time, the score without each crop of the window.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from export.card import MapScale
from export.detector import Detector
from export.errors import ModelError

Floats = NDArray[np.float32]
Crop = NDArray[np.uint8]  # (S, S, 3) BGR

GRID = (6, 6)  # rows and columns of occlusion, as the shipped detector's own map has them
HIDDEN = 0.08  # of the crop's side: the blur that hides a place; it leaves colour and light, and no detail
_SURE = 1e-6  # probabilities are kept so far from 0 and 1 before they become logits


def unusual(maps: Floats, scale: MapScale) -> Floats:
    """Maps (…, h, w) in logits -> (…, h, w) in standard deviations above each place's own usual."""
    return ((maps - np.array(scale.mean)) / np.array(scale.spread)).astype(np.float32)


def scale_of(detector: Detector) -> MapScale:
    """What is usual for its maps. Raises ModelError where it gives none, or nothing is known of them."""
    scale = detector.card.map
    if detector.grid is None or scale is None or np.shape(scale.mean) != detector.grid:
        card = detector.card
        raise ModelError(f"{card.name} {card.version} gives no maps: python -m export.maps adds them")
    return scale


def occlusion(detector: Detector, crop: Crop, grid: tuple[int, int] = GRID) -> Floats:
    """How much each place speaks for a fake: (h, w), the logit of the whole crop less that with it hidden."""
    cells, instead = np.eye(grid[0] * grid[1], dtype=bool).reshape(-1, *grid), blurred(crop)
    variants = np.stack([crop, *(hide(crop, cell, instead) for cell in cells)])
    logits = still_logits(detector, variants)
    return (logits[0] - logits[1:]).reshape(grid).astype(np.float32)


def blurred(crop: Crop) -> Crop:
    """The crop without any detail: colour and light are left."""
    sigma = HIDDEN * crop.shape[0]
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.uint8)


def hide(crop: Crop, places: NDArray[np.bool_], instead: Crop) -> Crop:
    """The crop with another's pixels at these places (h, w), with soft edges that are no seam."""
    size = crop.shape[0]
    mask = cv2.resize(places.astype(np.float32), (size, size), interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(mask, (0, 0), size / 96, borderType=cv2.BORDER_REPLICATE)[..., None]
    return np.asarray(np.round(crop + (instead.astype(np.float32) - crop) * soft), np.uint8)


def still_logits(detector: Detector, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the judge of single pictures says of crops (N, S, S, 3), as logits (N,)."""
    features = detector.encode(crops, np.zeros(len(crops), bool))
    return logit(detector.score_still(features))


def moments(score: Callable[[Floats, Floats], Floats], features: Floats, weights: Floats) -> Floats:
    """What each crop of a window adds to the temporal score: (T, D), (T,) -> (T,) in logits.

    score: a detector's, windows (B, T, D) and weights (B, T) to probabilities (B,). The logit of the whole
    window less that without the crop; positive speaks for a fake. A window of one crop has nothing to leave
    out: 0.
    """
    count = len(features)
    if count < 2:
        return np.zeros(count, np.float32)
    rest = np.array([[k for k in range(count) if k != out] for out in range(count)])
    whole = logit(score(features[None], weights[None]))
    without = logit(score(features[rest], weights[rest]))
    return (whole - without).astype(np.float32)


def logit(probabilities: Floats) -> NDArray[np.float64]:
    """The log of the odds, of the same shape; of 0 and 1 a large but finite one."""
    p = np.clip(probabilities.astype(np.float64), _SURE, 1 - _SURE)
    return np.log(p / (1 - p))
