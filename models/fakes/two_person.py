"""Two-person blends: another person's face, warped to this one's landmarks, colour-matched and blended in.

The classic graphics swap (FaceSwap of FaceForensics++; Face X-ray, Li et al., CVPR 2020, section 3.2:
https://arxiv.org/abs/1912.13458), mostly followed by the live swap's small decoder. Who is a donor for whom
is decided in models.fakes.donors.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.fakes.blend import Image, blend, face_size, match_colour, match_light, shift_colour, soft_mask
from models.fakes.face import FacePicture
from models.fakes.live_swap import decode_again
from models.landmarks import BROWS, Points, align


def mesh_warp(source: FacePicture, target: Points, shape: tuple[int, int]) -> Image:
    """The source's face with each triangle of its landmark mesh moved onto the target's: (H, W, 3)."""
    height, width = shape
    here, there = _with_forehead(source.points), _with_forehead(target)
    matrix = align(source.points, target)
    warped = cv2.warpAffine(source.image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    for triangle in _triangles(there):
        a, b = here[triangle], there[triangle]
        x, y, w, h = cv2.boundingRect(b)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if x1 <= x0 or y1 <= y0:
            continue
        corner = np.array([x0, y0], np.float32)
        affine = cv2.getAffineTransform(a, b - corner)
        patch = cv2.warpAffine(source.image, affine, (x1 - x0, y1 - y0), borderMode=cv2.BORDER_REPLICATE)
        inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(inside, np.round(b - corner).astype(np.int32), 1)
        area = warped[y0:y1, x0:x1]
        area[inside > 0] = patch[inside > 0]
    return warped


def _with_forehead(points: Points) -> Points:
    up = points[36:48].mean(0) - points[48:68].mean(0)
    return np.vstack([points, points[BROWS] + np.float32(0.35) * up]).astype(np.float32)


def _triangles(points: Points) -> NDArray[np.intp]:
    """Delaunay's triangles as indices into the points: (T, 3)."""
    low, high = points.min(0) - 10, points.max(0) + 10
    rect = (0, 0, int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    subdiv = cv2.Subdiv2D(rect)
    shifted = points - low
    subdiv.insert([(float(x), float(y)) for x, y in shifted])
    corners = np.array(subdiv.getTriangleList(), np.float32).reshape(-1, 3, 2)
    distance = np.abs(corners[:, :, None] - shifted[None, None]).sum(-1)  # (T, 3, N)
    real = (distance.min(-1) < 0.5).all(1)  # the others hang on Subdiv2D's outer frame
    return distance.argmin(-1)[real]


def two_person(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
    """(H, W, 3) BGR: the donor's face on this one's head."""
    height, width = face.image.shape[:2]
    if rng.random() < 0.6:
        over = mesh_warp(donor, face.points, (height, width))
    else:
        over = cv2.warpAffine(
            donor.image, align(donor.points, face.points), (width, height), borderMode=cv2.BORDER_REPLICATE
        )
    if rng.random() < 0.65:
        over = decode_again(over, face.points, rng)
    if rng.random() < 0.25:
        over = shift_colour(over, rng.uniform(0.03, 0.15), rng)
    part = "whole" if rng.random() < 0.4 else "inner"
    mask = soft_mask((height, width), face.points, part, rng.uniform(0.02, 0.1), rng)
    over = match_colour(over, face.image, mask, rng.uniform(0.6, 1.0))
    if rng.random() < 0.6:
        over = match_light(over, face.image, face_size(face.points), rng.uniform(0.5, 1.0))
    return blend(over, face.image, mask)
