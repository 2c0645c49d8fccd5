"""An aligned face: cut out onto a template of five points, and laid back where it came from."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.fakes.blend import Image
from models.fakes.live_swap import TEMPLATE
from models.landmarks import Points, align, five_of

RECOGNISER_SIZE = 160  # px: the template frames a face much as the recogniser's own training did
Floats = NDArray[np.float32]


def cut(image: Image, points: Points, side: int, border: int = 0) -> tuple[Image, NDArray[np.float64]]:
    """The face on the template's square, (S, S, 3) with S = side + 2 * border, and the (2, 3) matrix there.

    border: px of surroundings beyond the template's square, on each side. Shrinking is blurred first, so that
    no aliasing looks like texture.
    """
    there = align(five_of(points), TEMPLATE * side + border)
    shrink = float(np.sqrt(abs(np.linalg.det(there[:, :2]))))
    source = cv2.GaussianBlur(image, (0, 0), 0.4 / shrink) if shrink < 0.8 else image
    whole = side + 2 * border
    return (
        cv2.warpAffine(
            source, there, (whole, whole), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        there,
    )


def lay_back(face: Image, there: NDArray[np.float64], shape: tuple[int, int], how: int) -> Image:
    """(H, W, 3): the aligned face where it belongs in its picture; outside of it, its edge repeated.

    how: OpenCV's interpolation.
    """
    flags = how | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(face, there, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def as_input(faces: NDArray[np.uint8]) -> Floats:
    """(N, S, S, 3) uint8 BGR -> (N, 3, S, S) RGB in about [-1, 1], the swapper's and the recogniser's."""
    return np.ascontiguousarray((faces[..., ::-1].astype(np.float32) - 127.5).transpose(0, 3, 1, 2) / 128)


def as_image(painted: Floats) -> Image:
    """(3, S, S) RGB in [-1, 1] -> (S, S, 3) uint8 BGR."""
    return np.clip(painted.transpose(1, 2, 0)[..., ::-1] * 128 + 128, 0, 255).astype(np.uint8)


def session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX file opened for one thread: batches are made in parallel by processes, not threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def embed(recogniser: onnxruntime.InferenceSession, image: Image, points: Points) -> Floats:
    """Whose face it is, to the recogniser: a unit vector (512,)."""
    face, _ = cut(image, points, RECOGNISER_SIZE)
    (vectors,) = recogniser.run(None, {recogniser.get_inputs()[0].name: as_input(face[None])})
    vector: Floats = vectors[0]
    return vector / np.linalg.norm(vector)
