"""How well a face can be judged: size, blur and pose of one crop, and what it counts in the window. Pure."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.values import Quality, Track

MIN_SIZE, FULL_SIZE = 40.0, 80.0  # px: below the first nothing of a manipulation's texture is left to see
INNER = 0.7  # of the box's longer side: brows to chin, without hair and background
SHARPNESS_SIDE = 64  # px
# Measured on 238 LFW, 381 UTKFace and 60 studio pictures, as they are and under a Gaussian of s % of the
# face's size. As they are: 52 or more for 99 % of each. s = 2 %: median 17 to 26. s = 4 %: median 5.5 to 8,
# where eyes and mouth are still shapes but no texture is left.
BLURRED, SHARP = 6.0, 25.0
# How far the nose stands before the line between the eyes, in parts of their distance. Fitted on 766 LFW and
# UTKFace pictures so that tan(yaw) * NOSE is the nose's offset, with the yaw from solvePnP on 68 landmarks.
NOSE = 0.30
TURNED, FRONTAL = 50.0, 25.0  # degrees: beyond the first the far half of the face is hidden
LEAST = 0.1  # weight of the worst crop that is scored at all


def measure(image: NDArray[np.uint8], track: Track) -> Quality:
    """The quality of a track's face in a picture (H, W, 3) BGR.

    Sharpness is the variance of the Laplacian (J. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000). Yaw comes from the nose's offset under weak perspective, after A. Gee and
    R. Cipolla, "Determining the gaze of faces in images", Image and Vision Computing 12(10), 1994.
    """
    size = float(max(track.box[2] - track.box[0], track.box[3] - track.box[1]))
    blur, yaw, roll = sharpness(image, track.box), yaw_of(track.landmarks), roll_of(track.landmarks)
    weight = (
        _ramp(size, MIN_SIZE, FULL_SIZE)
        * _ramp(np.log(blur + 1e-6), np.log(BLURRED), np.log(SHARP))
        * _ramp(-abs(yaw), -TURNED, -FRONTAL)
    )
    reason = _reason(size, blur, yaw)
    return Quality(size, blur, yaw, roll, 0.0 if reason else max(weight, LEAST), reason)


def sharpness(image: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of the grey inner face at 64 px; 0 where the box is outside the picture."""
    side = float(max(box[2] - box[0], box[3] - box[1])) * INNER
    centre = (box[:2] + box[2:]) / 2
    left, top, right, bottom = (round(float(v)) for v in (*(centre - side / 2), *(centre + side / 2)))
    patch = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if patch.size == 0:
        return 0.0
    how = cv2.INTER_AREA if min(patch.shape[:2]) > SHARPNESS_SIDE else cv2.INTER_LINEAR
    inner = cv2.resize(patch, (SHARPNESS_SIDE, SHARPNESS_SIDE), interpolation=how)
    return float(cv2.Laplacian(cv2.cvtColor(inner, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


def yaw_of(landmarks: NDArray[np.float32]) -> float:
    """Degrees that a face (5, 2) is turned; positive when its nose points to the picture's right."""
    left, right, nose = landmarks[:3].astype(np.float64)
    eyes = right - left
    square = max(float(eyes @ eyes), 1e-6)
    return float(np.degrees(np.arctan((nose - (left + right) / 2) @ eyes / square / NOSE)))


def roll_of(landmarks: NDArray[np.float32]) -> float:
    """Degrees that the line between the eyes is turned clockwise as seen in the picture."""
    x, y = (landmarks[1] - landmarks[0]).astype(np.float64)
    return float(np.degrees(np.arctan2(y, x)))


def _reason(size: float, blur: float, yaw: float) -> str:
    if size < MIN_SIZE:
        return "too small"
    if abs(yaw) > TURNED:
        return "turned away"
    return "blurred" if blur < BLURRED else ""


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))
