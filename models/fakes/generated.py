"""Wholly generated faces: drawn once by models.fakes.generate, each put in the place of a real one.

So that nothing but the face itself tells it from a still, the generated picture takes over the still's face
size, roll, picture size and mirrored borders, and goes through a JPEG as the stills did.
"""

from pathlib import Path

import cv2
import numpy as np

from models.codec import jpeg
from models.fakes.blend import Image
from models.fakes.donors import nearest_donor
from models.fakes.face import FacePicture
from models.fakes.stills import Stills
from models.landmarks import align, five_of, move

CANDIDATES = 48  # drawn at random; the one of the nearest pose is taken
HELD = 0.15  # of the faces, the last by name: never trained on


class Generated:
    """The generated faces of PREPARED/generated: its pictures and their stills.npz."""

    def __init__(self, folder: Path, held: bool = False) -> None:
        if not (folder / "stills.npz").exists():
            raise FileNotFoundError(f"no generated faces in {folder}: see models.fakes.generate")
        self._stills = Stills(folder, folder)
        first = round(len(self._stills) * (1 - HELD))
        self._rows = np.arange(first, len(self._stills)) if held else np.arange(first)
        if not len(self._rows):
            raise FileNotFoundError(f"too few generated faces in {folder}")

    def __call__(self, face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> FacePicture:
        """A generated face in a picture like this face's. The donor is not used."""
        some = rng.choice(self._rows, CANDIDATES)
        nobody = self._stills.face(int(some[nearest_donor(face.points, self._stills.points[some])]))
        if rng.random() < 0.5:
            nobody = mirrored(nobody)
        placed = in_place_of(nobody, face)
        return placed.with_image(_stored(placed.image, rng))


def mirrored(face: FacePicture) -> FacePicture:
    """The face seen in a mirror, its points renamed so that left stays left."""
    width = face.image.shape[1]
    points = (face.points * np.array([-1, 1], np.float32) + np.array([width - 1, 0], np.float32))[MIRROR]
    box = np.array([width - face.box[2], face.box[1], width - face.box[0], face.box[3]], np.float32)
    return FacePicture(np.ascontiguousarray(face.image[:, ::-1]), points, box, face.border)


MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]  # fmt: skip


def in_place_of(nobody: FacePicture, face: FacePicture) -> FacePicture:
    """The generated picture moved so that its face lies where the real one's does, in a picture as large.

    It takes over the real one's box too: boxes that another detector gave would be another size of crop.
    """
    matrix = align(five_of(nobody.points), five_of(face.points))
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    height, width = (n - 2 * face.border for n in face.image.shape[:2])
    inner = matrix.copy()
    inner[:, 2] -= face.border
    source = cv2.GaussianBlur(nobody.image, (0, 0), 0.45 / scale) if scale < 0.8 else nobody.image
    image = cv2.warpAffine(
        source, inner, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    if face.border:
        image = _bordered(image, face.border)
    return FacePicture(image.astype(np.uint8, copy=False), move(nobody.points, matrix), face.box, face.border)


def _bordered(image: Image, border: int) -> Image:
    mirrored = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    return mirrored.astype(np.uint8, copy=False)


def _stored(image: Image, rng: np.random.Generator) -> Image:
    """As the stills were kept: sharpened or softened a little by some scaler, and saved as a JPEG."""
    soft = rng.uniform(0, 0.8)
    if soft > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), soft)
    return jpeg(image.astype(np.uint8, copy=False), int(rng.integers(70, 97)))
