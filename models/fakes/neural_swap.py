"""Neural re-synthesis: the inner face painted anew by a small decoder, as itself or as another person.

What live swappers do (DeepFaceLive; SimSwap, Chen et al., ACM MM 2020, https://arxiv.org/abs/2106.06340): the
decoder keeps pose, expression and light, its output is enlarged, restored, colour-matched and blended in. The
decoders come from models.train_swapper, in several stages of their training.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from models.fakes.aligned import Floats, as_image, as_input, cut, embed, lay_back, session
from models.fakes.blend import Image, Mask, blend, face_size, match_colour, sharpen, shift_colour, soft_mask
from models.fakes.face import FacePicture
from models.fakes.two_person import mesh_warp
from models.landmarks import Points, move

SIZE = 96  # px, the swapper's
SWAPS = 0.75  # of the fakes have the donor's identity, the others their own
KEPT = 0.4  # of the swaps keep of the face what the decoder cannot paint
PARTS, PART_ODDS = ("inner", "whole", "lower"), (0.55, 0.35, 0.1)
UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
RECOGNISER, STAGES = "recogniser.onnx", "stage_*.onnx"


class NeuralSwap:
    """A family of fakes; opens its files at its first fake, and is pickled as their folder."""

    def __init__(self, folder: Path, stages: tuple[Path, ...]) -> None:
        self._folder = folder
        self.stages = stages  # the earliest first
        self._sessions: dict[Path, InferenceSession] = {}
        self._known: tuple[FacePicture, Floats] | None = None  # a clip has one donor: embedded once

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return open_neural_swap, (self._folder,)

    def __call__(self, face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> Image:
        """(H, W, 3) BGR: the face with its inner part painted anew; the same for one state of `rng`."""
        stage = self.stages[_late(len(self.stages), rng)]
        aligned, there = cut(face.image, face.points, SIZE)
        lost: Floats | np.float32 = np.float32(0)
        if rng.random() >= SWAPS:
            painted = self.paint(aligned, softened(aligned, rng), self.identity(face), stage)
            return laid_in(painted, face, lost, rng)
        identity = self.identity(donor)
        painted = self.paint(aligned, look_of(donor, move(face.points, there)), identity, stage)
        if rng.random() < KEPT:
            # With the donor's embedding here too: the look decides far more, and 5 ms are saved.
            again = self.paint(aligned, aligned, identity, stage)
            lost = lost_by(again, face) * np.float32(rng.uniform(0.3, 1.0))
        return laid_in(painted, face, lost, rng)

    def paint(self, aligned: Image, look: Image, identity: Floats, stage: Path) -> Image:
        """(96, 96, 3) BGR: the aligned face as a stage's decoder paints it.

        look: (96, 96, 3) BGR, whom to paint, in the face's pose. identity: that person's unit vector (512,).
        """
        faces, looks = as_input(np.stack([aligned])), as_input(np.stack([look]))
        inputs = {"faces": faces, "embedding": identity[None], "looks": looks}
        (painted,) = self._open(stage).run(None, inputs)
        return as_image(painted[0])

    def identity(self, who: FacePicture) -> Floats:
        """Whose face it is: a unit vector (512,)."""
        if self._known is None or self._known[0] is not who:
            self._known = who, embed(self._open(self._folder / RECOGNISER), who.image, who.points)
        return self._known[1]

    def _open(self, path: Path) -> InferenceSession:
        if path not in self._sessions:
            self._sessions[path] = session(path)
        return self._sessions[path]


def open_neural_swap(folder: Path) -> NeuralSwap:
    """The family whose decoders lie in a folder that models.train_swapper wrote.

    Raises FileNotFoundError where the recogniser or every stage is missing.
    """
    stages = tuple(sorted(folder.glob(STAGES)))
    if not stages or not (folder / RECOGNISER).exists():
        wanted = f"{RECOGNISER} and {STAGES}"
        raise FileNotFoundError(f"{folder} lacks {wanted}: python -m models.train_swapper writes them")
    return NeuralSwap(folder, stages)


def _late(count: int, rng: np.random.Generator) -> int:
    """One of the stages, the later the likelier: 1 : 2 : 3."""
    odds = np.arange(1, count + 1)
    return int(rng.choice(count, p=odds / odds.sum()))


def look_of(who: FacePicture, points: Points) -> Image:
    """(96, 96, 3): a person's aligned face, its landmarks moved onto `points` (68, 2) px of the square."""
    aligned, there = cut(who.image, who.points, SIZE)
    return mesh_warp(FacePicture(aligned, move(who.points, there), who.box), points, (SIZE, SIZE))


def softened(aligned: Image, rng: np.random.Generator) -> Image:
    """A face's own look with its detail gone, so that the decoder has to invent it."""
    side = int(rng.integers(36, 76))
    small = cv2.resize(aligned, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def lost_by(again: Image, face: FacePicture) -> Floats:
    """(H, W, 3): what the decoder could not paint of this very face, the fine structure above all.

    Added to a swap by the same decoder it gives a face as sharp as its surroundings, as the best swappers'
    faces are: only what the identity changes is changed.
    """
    shape = face.image.shape[:2]
    _, there = cut(face.image, face.points, SIZE)
    return face.image.astype(np.float32) - lay_back(again, there, shape, cv2.INTER_CUBIC)


def laid_in(painted: Image, face: FacePicture, lost: Floats | np.float32, rng: np.random.Generator) -> Image:
    """(H, W, 3): the painted face (96, 96, 3) restored, enlarged, colour-matched and blended in.

    lost: what is added to it before (see `lost_by`), or 0.
    """
    shape = face.image.shape[:2]
    _, there = cut(face.image, face.points, SIZE)
    over, scale = restore(painted, rng)
    over = lay_back(over, there * scale, shape, UP[rng.integers(len(UP))])
    over = np.clip(over + lost, 0, 255).astype(np.uint8)
    part = PARTS[rng.choice(len(PARTS), p=PART_ODDS)]
    mask = soft_mask(shape, face.points, part, rng.uniform(0.02, 0.1), rng)
    mask = mask * square_of(there, shape)
    if rng.random() < 0.85:
        over = match_colour(over, face.image, mask, rng.uniform(0.6, 1.0))
    if rng.random() < 0.3:
        over = shift_colour(over, rng.uniform(0.02, 0.1), rng)
    if rng.random() < 0.4:
        over = with_grain(over, face, rng)
    return blend(over, face.image, mask)


def restore(painted: Image, rng: np.random.Generator) -> tuple[Image, int]:
    """The decoder's output as a restorer gives it, and how many times larger it has become.

    A third of the fakes pass through fewer pixels: a decoder of 64 px, as DeepFaceLive's smaller models have.
    """
    if rng.random() < 0.33:
        side = int(rng.integers(56, 88))
        small = cv2.resize(painted, (side, side), interpolation=cv2.INTER_AREA)
        painted = cv2.resize(small, painted.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    scale = int(rng.integers(1, 3))
    if scale > 1:
        painted = cv2.resize(painted, None, fx=scale, fy=scale, interpolation=UP[rng.integers(len(UP))])
    if rng.random() < 0.3:
        painted = cv2.bilateralFilter(painted, 5, rng.uniform(8, 30), 2.0)
    if rng.random() < 0.65:
        painted = sharpen(painted, rng.uniform(0.3, 1.8), rng.uniform(0.7, 1.6) * scale)
    return painted, scale


def square_of(there: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """The aligned square in the picture (H, W), 1 fading to 0 at its rim: beyond it nothing is painted."""
    square = np.zeros((SIZE, SIZE), np.float32)
    square[3:-3, 3:-3] = 1
    square = cv2.GaussianBlur(square, (0, 0), 1.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(square, there, (shape[1], shape[0]), flags=flags, borderValue=0)


def with_grain(over: Image, face: FacePicture, rng: np.random.Generator) -> Image:
    """The skin's grain back on the painted face, so that not each fake is smoother than its surroundings."""
    sigma = face_size(face.points) * rng.uniform(0.008, 0.02) + 0.3
    grain = face.image.astype(np.float32) - cv2.GaussianBlur(face.image, (0, 0), sigma)
    grey = grain.mean(2, keepdims=True) * np.float32(rng.uniform(0.3, 0.9))
    return np.clip(over + grey, 0, 255).astype(np.uint8)
