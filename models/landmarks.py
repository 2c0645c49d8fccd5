"""Landmarks of 68 points (iBUG order): their parts, hulls, and how to get them from MTCNN's five."""

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

JAW = slice(0, 17)
BROWS = slice(17, 27)
NOSE = slice(27, 36)
EYES = slice(36, 48)
MOUTH = slice(48, 68)


def five_of(points: Points) -> Points:
    """Eye centres, nose tip and mouth corners, MTCNN's five, of 68 points: (68, 2) -> (5, 2)."""
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    return np.stack([*eyes, points[30], points[48], points[54]]).astype(np.float32)


def align(source: Points, target: Points) -> NDArray[np.float64]:
    """The least-squares similarity (scale, rotation, shift) from source to target points (N, 2), (2, 3).

    Umeyama 1991, without the reflection case: both are faces seen from the front of the camera. Where all
    source points lie in one place everything goes to the target's centre.
    """
    # As complex numbers: to turn and to scale is one product.
    found, wanted = _complex(source), _complex(target)
    mean, goal = found.mean(), wanted.mean()
    found = found - mean
    turn = np.vdot(found, wanted - goal) / max(np.vdot(found, found).real, 1e-6)
    shift = goal - turn * mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _complex(points: Points) -> NDArray[np.complex128]:
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[:, 0]


def move(points: Points, matrix: NDArray[np.float64]) -> Points:
    """Apply a (2, 3) affine matrix to (N, 2) points."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def mean_shape(many: Points) -> Points:
    """The mean of many faces (N, 68, 2), each aligned to the first by its five points."""
    first = five_of(many[0])
    return np.mean([move(p, align(five_of(p), first)) for p in many], axis=0, dtype=np.float32)


def from_five(five: Points, shape: Points) -> Points:
    """68 points estimated from MTCNN's five by the affine fit of a mean shape: (5, 2), (68, 2) -> (68, 2)."""
    anchors = np.hstack([five_of(shape), np.ones((5, 1), np.float32)])
    solution = np.linalg.lstsq(anchors, five, rcond=None)[0]  # (3, 2)
    return move(shape, solution.T.astype(np.float64))


def hull(points: Points, part: str) -> NDArray[np.int32]:
    """The convex hull (K, 1, 2) of a part: "whole" (and some forehead), "inner", "lower", "mouth", "eyes"."""
    eyes, mouth = points[EYES], points[MOUTH]
    up = eyes.mean(0) - mouth.mean(0)  # from mouth to eyes: the face's own upward direction
    if part == "whole":
        chosen = np.vstack([points, points[BROWS] + 0.35 * up])
    elif part == "inner":
        chosen = np.vstack(
            [points[BROWS], points[NOSE], mouth, points[[3, 13, 5, 11]] * 0.6 + mouth.mean(0) * 0.4]
        )
    elif part == "lower":
        chosen = np.vstack([points[2:15], points[29:36], mouth])
    elif part == "mouth":
        chosen = (mouth - mouth.mean(0)) * np.float32(1.4) + mouth.mean(0)
    elif part == "eyes":
        chosen = np.vstack([points[BROWS], (eyes - eyes.mean(0)) * np.float32(1.25) + eyes.mean(0)])
    else:
        raise ValueError(f"no part of a face is called {part!r}")
    return cv2.convexHull(np.round(chosen).astype(np.int32))
