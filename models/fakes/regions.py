"""Only the mouth, or only the eyes: what lip-sync and re-enactment change, all else left as it was filmed.

Face2Face and NeuralTextures (Thies et al. 2016, 2019) and Wav2Lip (Prajwal et al. 2020) re-draw the mouth's
region at 96 to 256 px and blend it back. The other mouth is the donor's, who in a clip is the same person in
another frame, or this one's own, opened or closed by a warp; then it goes through a small decoder.
"""

import cv2
import numpy as np

from models.fakes.blend import Image, blend, elastic, face_size, match_colour, shift_colour, soft_mask
from models.fakes.face import FacePicture
from models.fakes.live_swap import decode_again
from models.landmarks import EYES, MOUTH, Points, align

GROW = (0.0, 0.05)  # of the face's height: small parts would vanish if they were eroded as the face is
AROUND = {"mouth": [*range(2, 15), 31, 33, 35, *range(48, 60)], "eyes": [*range(17, 28), *range(36, 48)]}


def mouth(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
    """(H, W, 3) BGR: another mouth, or the whole lower face, in this face."""
    return _region(face, donor, "mouth", "mouth" if rng.random() < 0.65 else "lower", rng)


def eyes(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
    """(H, W, 3) BGR: other eyes and brows in this face."""
    return _region(face, donor, "eyes", "eyes", rng)


def _region(face: FacePicture, donor: FacePicture, where: str, part: str, rng: np.random.Generator) -> Image:
    height, width = shape = face.image.shape[:2]
    if rng.random() < 0.75:
        matrix = align(donor.points[AROUND[where]], face.points[AROUND[where]])
        over = cv2.warpAffine(donor.image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    else:
        over = _opened(face.image, face.points, where, rng)
    if rng.random() < 0.7:
        over = decode_again(over, face.points, rng)
    if rng.random() < 0.3:
        over = shift_colour(over, rng.uniform(0.03, 0.12), rng)
    mask = soft_mask(shape, face.points, part, rng.uniform(0.015, 0.05), rng, GROW)
    return blend(match_colour(over, face.image, mask, rng.uniform(0.6, 1.0)), face.image, mask)


def _opened(image: Image, points: Points, where: str, rng: np.random.Generator) -> Image:
    """The picture with its own mouth (or eyes) stretched, as if opened or closed, and bent a little."""
    size = face_size(points)
    part = points[MOUTH if where == "mouth" else EYES]
    middle = part.mean(0)
    wide, high = (
        float(rng.uniform(0.88, 1.12)),
        float(rng.choice([rng.uniform(0.7, 0.9), rng.uniform(1.15, 1.5)])),
    )
    height, width = image.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = xs - middle[0], ys - middle[1]
    reach = np.exp(-(dx**2 + dy**2) / (2 * (0.35 * size) ** 2))  # the stretch fades away from the part
    at_x, at_y = xs + dx * reach * np.float32(1 / wide - 1), ys + dy * reach * np.float32(1 / high - 1)
    stretched = cv2.remap(image, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return elastic(stretched, rng.uniform(0.005, 0.02) * size, 0.15 * size, rng)
