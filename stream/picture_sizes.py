"""On an accelerator each picture size is met once at every batch size, before a stream is looked at.

PNet's inputs have the shapes of the picture's pyramid, and an accelerator stalls on each shape that it has
not met. What the streams deliver is unknown until their first frames, so the sizes that most cameras have are
met before the program is ready, any other at the first frame that has it: that stream alone then begins a
little later, where otherwise all would stall whenever batches of a new size came together.
"""

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from export.buckets import WIDE
from stream.faces import FaceDetector
from stream.values import Face

Size = tuple[int, int]  # height, width, px

USUAL: tuple[Size, ...] = ((480, 640), (720, 1280), (1080, 1920))
MOST = 64  # sizes that are met at all; a source that changes its size for ever gains nothing by it


class PictureSizes:
    """The sizes that the face networks of a process have met, by the smallest face that is looked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the set; the networks run without it
        self._met: set[tuple[Size, float]] = set()

    def meet(self, faces: FaceDetector, sizes: Iterable[Size]) -> None:
        """Run PNet over pictures of those sizes that are new. Who asks for one being met does not wait."""
        for size in sizes:
            with self._lock:
                new = (size, faces.min_face) not in self._met and len(self._met) < MOST
                if new:
                    self._met.add((size, faces.min_face))
            if new:
                faces.warm_up([size], WIDE)


class MeetingFaces:
    """MTCNN for streams on an accelerator: a picture of a new size is met before it is looked at."""

    def __init__(self, faces: FaceDetector, sizes: PictureSizes) -> None:
        self._faces, self._sizes = faces, sizes

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Face]:
        """All faces of a picture (H, W, 3) BGR."""
        height, width = image.shape[:2]
        self._sizes.meet(self._faces, [(height, width)])
        return self._faces.detect(image)

    def refine(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Sequence[Face | None]:
        """For each box (N, 4) the face that is there; ONet's input has one shape whatever the picture."""
        return self._faces.refine(image, boxes)
