"""What finds faces for the tracker, and what it is asked after it has found some."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.association import is_sound, same_place
from stream.values import Face

MOST = 32  # faces of one picture that are looked at


class Looker(Protocol):
    """What the tracker asks of the networks; `stream.faces.FaceDetector` is one."""

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Face]:
        """All faces of a picture."""

    def refine(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Sequence[Face | None]:
        """For each box (N, 4) the face that is there, or None."""


def search(looker: Looker, image: NDArray[np.uint8]) -> list[Face]:
    """The faces of the whole picture as a tracker can use them, the largest first, no more than `MOST`."""
    return settled(looker, image, [face for face in looker.detect(image) if is_sound(face)][:MOST])


def settled(looker: Looker, image: NDArray[np.uint8], faces: Sequence[Face]) -> list[Face]:
    """Faces of the whole picture with the landmarks that ONet finds once it is shown where they are.

    Between key frames it is always shown, and then finds others: a crop must not jump at each key frame.
    """
    if not faces:
        return []
    again = looker.refine(image, np.stack([face.box for face in faces]))
    return [
        face
        if new is None or not (is_sound(new) and same_place(face, new))
        else replace(face, landmarks=new.landmarks)
        for face, new in zip(faces, again, strict=True)
    ]
