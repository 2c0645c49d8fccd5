"""Training pairs: a real crop and its fake, degraded alike, made anew for each step from a seed."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face
from models.degrade import Degradation
from models.fakes import FAMILIES, FacePicture, nearest_donor
from models.prepare import CROP_MARGIN, CROP_SIZE
from models.splits import NEVER_TRAINED, folder_of, is_fake, is_training, prepared_videos

WORKING_FACE = 220.0  # px: larger faces are shrunk before anything is made of them
PAD = 0.3  # of the box's longer side, mirrored around tight pictures
DONOR_CANDIDATES = 64
VIDEO_BOX = np.array([0.5 - 0.5 / CROP_MARGIN] * 2 + [0.5 + 0.5 / CROP_MARGIN] * 2, np.float32) * CROP_SIZE


@dataclass(frozen=True, slots=True)
class Mix:
    """What share of the pairs comes from where, and which families make the fakes."""

    stills: float = 0.55  # a still and its made fake
    videos: float = 0.25  # a frame of a real video and its made fake
    labelled: float = 0.20  # a FaceForensics++ fake and its original
    families: tuple[str, ...] = tuple(FAMILIES)
    held_stills: int = 400  # the last of LFW's people, never trained on


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A prepared video: the crops of its longest track."""

    name: str
    crops: NDArray[np.uint8]  # (N, 256, 256, 3) BGR
    times: NDArray[np.float32]  # (N,) s
    points: NDArray[np.float32]  # (N, 68, 2) px in the crop
    weights: NDArray[np.float32]  # (N,) 0..1, the live system's quality of each crop

    @staticmethod
    def load(path: Path) -> "Clip":
        """Read what models.prepare wrote."""
        with np.load(path) as saved:
            return Clip(path.stem, saved["crops"], saved["times"], saved["points"], saved["weights"])

    def face(self, index: int) -> FacePicture:
        """One of its frames as a picture with a face."""
        return FacePicture(self.crops[index], self.points[index], VIDEO_BOX)


class Stills:
    """The prepared stills, read when asked for."""

    def __init__(self, data: Path, prepared: Path) -> None:
        with np.load(prepared / "stills.npz") as saved:
            self.names, self.boxes, self.points = saved["name"], saved["box"], saved["points"]
        self._data = data

    def __len__(self) -> int:
        return len(self.names)

    def face(self, index: int) -> FacePicture:
        """Read one; large faces are shrunk, tight pictures get mirrored borders (fake and real alike)."""
        image = cv2.imread(str(self._data / str(self.names[index])))
        if image is None:
            raise FileNotFoundError(f"the still {self.names[index]} is gone from {self._data}")
        points, box = self.points[index].astype(np.float32), self.boxes[index].astype(np.float32)
        side = float((box[2:] - box[:2]).max())
        scale = min(1.0, WORKING_FACE / side)
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            points, box, side = points * np.float32(scale), box * np.float32(scale), side * scale
        pad = round(PAD * side)
        height, width = image.shape[:2]
        if (box[:2] < pad).any() or box[2] > width - pad or box[3] > height - pad:
            pad = min(pad, height - 1, width - 1)
            image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
            points, box = points + np.float32(pad), box + np.float32(pad)
        return FacePicture(image, points, box)


@dataclass(eq=False)
class Pairs:
    """Makes batch number `step`, always the same one for the same seed."""

    stills: Stills
    clips: list[Clip]
    spec: CropSpec
    pairs: int = 16
    seed: int = 0
    mix: Mix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        held = held_stills(self.stills, self.mix.held_stills)
        self._train_stills = np.setdiff1d(np.arange(len(self.stills)), held)
        self._reals = [c for c in self.clips if not is_fake(c.name) and is_training(c.name)]
        self._labelled = labelled_pairs([c for c in self.clips if is_training(c.name)])
        shares = np.array([self.mix.stills, self.mix.videos, self.mix.labelled])
        shares *= [len(self._train_stills) > 0, len(self._reals) > 0, len(self._labelled) > 0]
        self._shares = shares / shares.sum()

    @staticmethod
    def open(data: Path, prepared: Path, spec: CropSpec, pairs: int, seed: int) -> "Pairs":
        """Read the prepared data."""
        return Pairs(Stills(data, prepared), load_clips(prepared), spec, pairs, seed)

    def batch(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Crops (2 * pairs, S, S, 3) uint8 BGR, reals and fakes in turn, and labels (2 * pairs,): 1 fake."""
        rng = np.random.default_rng((self.seed, step))
        crops = [crop for _ in range(self.pairs) for crop in self.pair(rng)]
        return np.stack(crops), np.tile(np.array([0, 1], np.float32), self.pairs)

    def pair(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """One real crop and its fake, (S, S, 3) uint8 BGR."""
        source = rng.choice(3, p=self._shares)
        if source == 2:
            fake, real = self._labelled[rng.integers(len(self._labelled))]
            i = int(rng.integers(len(fake.crops)))
            j = int(np.abs(real.times - fake.times[i]).argmin())
            return degraded_pair(real.face(j), fake.crops[i], self.spec, rng)
        if source == 1:
            clip = self._reals[rng.integers(len(self._reals))]
            face = clip.face(int(rng.integers(len(clip.crops))))
        else:
            face = self.stills.face(int(rng.choice(self._train_stills)))
        fake_image = self.make_fake(face, rng)
        return degraded_pair(face, fake_image, self.spec, rng)

    def make_fake(self, face: FacePicture, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A fake of this face by a family drawn at random; the donor is another still of a like pose."""
        family = FAMILIES[self.mix.families[rng.integers(len(self.mix.families))]]
        return family(face, self.donor(face, rng), rng)

    def donor(self, face: FacePicture, rng: np.random.Generator) -> FacePicture:
        """Among some stills at random, the one whose pose is nearest."""
        some = rng.choice(self._train_stills, DONOR_CANDIDATES)
        return self.stills.face(int(some[nearest_donor(face.points, self.stills.points[some])]))


def held_stills(stills: Stills, count: int) -> NDArray[np.intp]:
    """The last `count` stills of LFW, by name: for measuring, never trained on."""
    lfw = [i for i, n in enumerate(stills.names) if "/" not in n and not str(n)[0].isdigit()]
    return np.array(lfw[len(lfw) - count :] if count else [], np.intp)


def labelled_pairs(clips: list[Clip]) -> list[tuple[Clip, Clip]]:
    """Each labelled fake of FaceForensics++ with the original it was made from, where both are there."""
    reals = {
        (c.name.split("__")[1], c.name.split("__")[-1]): c for c in clips if "real" in c.name.split("__")
    }
    found = []
    for clip in clips:
        if folder_of(clip.name) == "faceforensics" and is_fake(clip.name):
            parts = clip.name.split("__")
            original = reals.get((parts[1], parts[-1].split("_")[0]))
            if original is not None:
                found.append((clip, original))
    return found


def degraded_pair(
    face: FacePicture, fake: NDArray[np.uint8], spec: CropSpec, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Put a real picture and its fake through one and the same degradation, turn and crop."""
    side = float((face.box[2:] - face.box[:2]).max())
    degradation = Degradation.draw(rng, side)
    turn = float(rng.uniform(-15, 15)) if rng.random() < 0.3 else 0.0
    nudge = rng.uniform(-0.06, 0.06, 2), float(rng.uniform(0.9, 1.15))
    noise_seed = int(rng.integers(2**31))
    results = []
    for k, image in enumerate((face.image, fake)):
        image = turned(image, face.box, turn)
        # Each its own noise: the very same grain in both would be no sensor's.
        out = degradation.apply([image], side, np.random.default_rng((noise_seed, k)))[0]
        box = nudged(degradation.moved_box(face.box, image, out), *nudge)
        results.append(crop_face(out, box, spec))
    return results[0], results[1]


def turned(image: NDArray[np.uint8], box: NDArray[np.float32], degrees: float) -> NDArray[np.uint8]:
    """The picture turned around the middle of the box."""
    if degrees == 0:
        return image
    centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    size = image.shape[1], image.shape[0]
    return cv2.warpAffine(
        image, cv2.getRotationMatrix2D(centre, degrees, 1), size, borderMode=cv2.BORDER_REFLECT_101
    )


def nudged(box: NDArray[np.float32], shift: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """A box as another detector might have given it; shift in units of its sides."""
    size = box[2:] - box[:2]
    centre = (box[:2] + box[2:]) / 2 + shift * size
    return np.concatenate([centre - size * scale / 2, centre + size * scale / 2]).astype(np.float32)


def load_clips(prepared: Path) -> list[Clip]:
    """All prepared videos but those that are never trained on."""
    return [Clip.load(p) for p in prepared_videos(prepared) if folder_of(p.stem) not in NEVER_TRAINED]
