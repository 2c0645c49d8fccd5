"""What the swapper learns from: aligned faces of the training people, whose they are, and its batches."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.dataset import Clip, Mix, Stills, held_stills
from models.fakes import FacePicture
from models.fakes.aligned import cut, embed, session
from models.fakes.blend import blend, elastic, shift_colour, smooth_noise
from models.fakes.swapper import SIZE
from models.splits import is_fake, is_training, prepared_videos

BORDER = 8  # px around the aligned square: room for shifts and turns
EXPRESSIVE = ((0.6, 0.82), (0.34, 0.5))  # rows of the aligned square: mouth, eyes
FRAME_STEP = 3  # of a clip's frames: neighbours are much alike


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All aligned faces, held in memory."""

    faces: NDArray[np.uint8]  # (N, 112, 112, 3) BGR
    embeddings: NDArray[np.float32]  # (N, 512), unit vectors
    groups: NDArray[np.int32]  # (N,) faces of one clip share a number

    @staticmethod
    def load(path: Path) -> "Faces":
        """Read what `gather` wrote."""
        with np.load(path) as saved:
            return Faces(saved["faces"], saved["embeddings"], saved["groups"])

    def another_of(self, index: int, rng: np.random.Generator) -> int:
        """A face of the same clip, or the face itself where it is a still."""
        return int(rng.choice(np.flatnonzero(self.groups == self.groups[index])))


def training_faces(data: Path, prepared: Path, held: int) -> Iterator[tuple[int, FacePicture]]:
    """Real faces that may be trained on, each with its group: stills but the held ones, and clips' frames."""
    stills = Stills(data, prepared)
    kept = np.setdiff1d(np.arange(len(stills)), held_stills(stills, held))
    for index in kept:
        yield int(index), stills.face(int(index))
    names = [p for p in prepared_videos(prepared) if is_training(p.stem) and not is_fake(p.stem)]
    for group, path in enumerate(names, start=len(stills)):
        clip = Clip.load(path)
        for i in range(0, len(clip.crops), FRAME_STEP):
            yield group, clip.face(i)


def gather(data: Path, prepared: Path, recogniser: Path, out: Path, held: int = Mix().held_stills) -> Faces:
    """Align and embed all training faces once; written to `out` (.npz).

    Raises ValueError where there is no face.
    """
    embedder = session(recogniser)
    faces, embeddings, groups = [], [], []
    for group, face in training_faces(data, prepared, held):
        faces.append(cut(face.image, face.points, SIZE, BORDER)[0])
        embeddings.append(embed(embedder, face.image, face.points))
        groups.append(group)
        if len(faces) % 100 == 0:
            sys.stderr.write(f"\r{len(faces)} faces aligned and embedded ")
            sys.stderr.flush()
    if not faces:
        raise ValueError(f"{prepared} names no face to train on")
    found = Faces(np.stack(faces), np.stack(embeddings), np.array(groups, np.int32))
    with out.with_suffix(".part").open("wb") as file:
        np.savez(file, faces=found.faces, embeddings=found.embeddings, groups=found.groups)
    out.with_suffix(".part").replace(out)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one step sees."""

    warped: NDArray[np.uint8]  # (N, 96, 96, 3) BGR, the encoder's input
    targets: NDArray[np.uint8]  # (N, 96, 96, 3) BGR, what the decoder shall paint
    looks: NDArray[np.uint8]  # (N, 96, 96, 3) BGR, the same person as another picture, moved here, would show
    embeddings: NDArray[np.float32]  # (N, 512) of the same person


def batch(faces: Faces, size: int, seed: int, step: int) -> Batch:
    """Batch number `step`, always the same one for the same seed."""
    rng = np.random.default_rng((seed, step))
    chosen = rng.choice(len(faces.faces), size, replace=len(faces.faces) < size)
    targets = [_vary(faces.faces[i], rng) for i in chosen]
    # A warped input, as DeepFaceLab does: the shape of the features cannot be copied, it has to be known.
    warped = [elastic(t, rng.uniform(0, 4.0), 28.0, rng) for t in targets]
    embeddings = faces.embeddings[[faces.another_of(int(i), rng) for i in chosen]]
    looks = [_another_look(t, targets[k - 1], rng) for k, t in enumerate(targets)]
    return Batch(np.stack(warped), np.stack(targets), np.stack(looks), embeddings)


def _vary(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One aligned face (112 px) moved, turned, mirrored, in other light: (96, 96, 3)."""
    middle = (SIZE - 1) / 2 + BORDER
    turn = cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 3), rng.uniform(0.95, 1.06))
    turn[:, 2] += rng.uniform(-2.5, 2.5, 2) - BORDER
    moved = cv2.warpAffine(face, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        moved = np.ascontiguousarray(moved[:, ::-1])
    return shift_colour(moved, rng.uniform(0, 0.25), rng)


def _another_look(
    face: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The face (96, 96, 3) as if from another picture: other light and focus, not quite in place.

    In some, the mouth or the eyes are another person's: what they do has to be read from the code.
    """
    look = face
    if rng.random() < 0.55:
        top, bottom = EXPRESSIVE[rng.integers(len(EXPRESSIVE))]
        patch = np.zeros((SIZE, SIZE), np.float32)
        patch[round(top * SIZE) : round(bottom * SIZE), round(0.27 * SIZE) : round(0.73 * SIZE)] = 1
        look = blend(other, look, cv2.GaussianBlur(patch, (0, 0), 2.5))
    look = elastic(look, rng.uniform(0.3, 3.5), rng.uniform(18, 48), rng)
    if rng.random() < 0.5:
        side = int(rng.integers(40, 90))
        small = cv2.resize(look, (side, side), interpolation=cv2.INTER_AREA)
        look = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    light = 1 + rng.uniform(0, 0.45) * smooth_noise((SIZE, SIZE), 48, rng)[..., None]
    look = np.clip(look * light, 0, 255).astype(np.uint8)
    return shift_colour(look, rng.uniform(0, 0.5), rng)
