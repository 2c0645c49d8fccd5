"""Training pairs: a real crop and its fake, degraded alike, made anew for each step from a seed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face
from models.degrade import Degradation
from models.fakes import FacePicture, Fakes
from models.fakes.donors import CANDIDATES, Donors, Looks, nearest_donor
from models.fakes.stills import Stills as Stills
from models.prepare_videos import BESIDE, CROP_MARGIN, CROP_SIZE
from models.splits import NEVER_TRAINED, folder_of, is_fake, is_training, person_of, prepared_videos

VIDEO_BOX = np.array([0.5 - 0.5 / CROP_MARGIN] * 2 + [0.5 + 0.5 / CROP_MARGIN] * 2, np.float32) * CROP_SIZE
REGIONS = ("mouth", "eyes")  # families whose donor is the same person where there is a clip


@dataclass(frozen=True, slots=True)
class Mix:
    """What share of the pairs comes from where, and which families make the fakes."""

    stills: float = 0.55  # a still and its made fake
    videos: float = 0.25  # a frame of a real video and its made fake
    labelled: float = 0.20  # a labelled fake and the real beside it
    families: tuple[str, ...] | None = None  # by name; None = all whose files are there
    odds: tuple[float, ...] | None = None  # one for each of `families`, of any sum; None = the usual ones
    held_stills: int = 400  # the last of LFW's people, never trained on; one's own come to them


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


@dataclass(eq=False)
class Pairs:
    """Makes batch number `step`, always the same one for the same seed."""

    stills: Stills
    clips: list[Clip]
    spec: CropSpec
    pairs: int = 16
    seed: int = 0
    mix: Mix = field(default_factory=Mix)
    fakes: Fakes = field(default_factory=Fakes.plain)  # opened by `open` as the mix says
    held_fakes: Fakes | None = None  # the same with the faces held apart for validation
    looks: Looks = field(default_factory=Looks.nobody)
    beside: Mapping[str, str] = field(default_factory=dict)  # the reals of one's own fakes, by names

    def __post_init__(self) -> None:
        if self.mix.families is not None and set(self.mix.families) != set(self.fakes.makers):
            raise ValueError("other families were opened than the mix names")
        held = held_stills(self.stills, self.mix.held_stills)
        self._train_stills = np.setdiff1d(np.arange(len(self.stills)), held)
        self._reals = [c for c in self.clips if not is_fake(c.name) and is_training(c.name)]
        self._labelled = labelled_pairs([c for c in self.clips if is_training(c.name)], self.beside)
        self._people: dict[str, list[Clip]] = {}
        for clip in self._reals:
            self._people.setdefault(person_of(clip.name), []).append(clip)
        if not self._reals and not len(self._train_stills):
            raise ValueError("no real face is left to learn from: see models.prepare")
        few = min(1.0, len(self._train_stills) / CANDIDATES) if self._reals else 1.0
        shares = np.array([self.mix.stills * few, self.mix.videos, self.mix.labelled])
        shares *= [len(self._train_stills) > 0, len(self._reals) > 0, len(self._labelled) > 0]
        self._shares = shares / shares.sum()
        train = [str(n) for n in self.stills.names[self._train_stills]]
        self._donors = Donors(train, self.stills.points[self._train_stills], self.looks)

    @staticmethod
    def open(
        data: Path, prepared: Path, spec: CropSpec, pairs: int, seed: int, mix: Mix | None = None
    ) -> "Pairs":
        """Read the prepared data.

        Raises FileNotFoundError where a family that the mix names lacks its files, or nothing was prepared;
        without names, families that lack theirs are left out, with a line in the log.
        """
        for path, made in ((data, "a folder"), (prepared / "stills.npz", "there: models.prepare writes it")):
            if not path.exists():
                raise FileNotFoundError(f"{path} is not {made}")
        mix = mix or Mix()
        fakes = Fakes.open(prepared, mix.families, mix.odds)
        held = Fakes.open(prepared, tuple(fakes.makers), tuple(fakes.odds.values()), held=True)
        stills, clips = Stills(data, prepared), load_clips(prepared)
        told = json.loads((prepared / BESIDE).read_text()) if (prepared / BESIDE).exists() else {}
        return Pairs(stills, clips, spec, pairs, seed, mix, fakes, held, Looks.open(prepared), told)

    def batch(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Crops (2 * pairs, S, S, 3) uint8 BGR, reals and fakes in turn, and labels (2 * pairs,): 1 fake."""
        rng = np.random.default_rng((self.seed, step))
        crops = [crop for _ in range(self.pairs) for crop in self.pair(rng)]
        return np.stack(crops), np.tile(np.array([0, 1], np.float32), self.pairs)

    def pair(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """One real crop and its fake, (S, S, 3) uint8 BGR."""
        return degraded_pair(*self.faces(rng), self.spec, rng)

    def faces(self, rng: np.random.Generator) -> tuple[FacePicture, FacePicture]:
        """One real picture and its fake, before any degradation."""
        source = rng.choice(3, p=self._shares)
        if source == 2:
            fake, real = self._labelled[rng.integers(len(self._labelled))]
            i = int(rng.integers(len(fake.crops)))
            return real.face(int(np.abs(real.times - fake.times[i]).argmin())), fake.face(i)
        if source == 1:
            clip = self._real(rng)
            face = clip.face(int(rng.integers(len(clip.crops))))
            return face, self._made(face, clip.name, clip, rng)
        index = int(rng.choice(self._train_stills))
        face = self.stills.face(index)
        return face, self._made(face, str(self.stills.names[index]), None, rng)

    def _real(self, rng: np.random.Generator) -> Clip:
        """A real video: each person alike, however many videos there are of one."""
        return self._of_person(sorted(self._people), rng)

    def _of_person(self, people: list[str], rng: np.random.Generator) -> Clip:
        clips = self._people[people[rng.integers(len(people))]]
        return clips[rng.integers(len(clips))]

    def _made(self, face: FacePicture, name: str, clip: Clip | None, rng: np.random.Generator) -> FacePicture:
        """A fake of this face by a family drawn by the odds."""
        family = self.fakes.draw(rng)
        if clip is not None and family in REGIONS:
            donor = clip.face(int(rng.integers(len(clip.crops))))
        else:
            donor = self.donor(face, rng, name)
        return self.fakes.makers[family](face, donor, rng)

    def make_fake(self, face: FacePicture, rng: np.random.Generator) -> FacePicture:
        """A fake of a held-apart face, for exams: never with a generated face that was trained on."""
        fakes = self.held_fakes or self.fakes
        return fakes.makers[fakes.draw(rng)](face, self.donor(face, rng), rng)

    def donor(self, face: FacePicture, rng: np.random.Generator, name: str = "") -> FacePicture:
        """Among some stills at random, the one whose pose is nearest; often also one of like looks.

        name: the still or video that the face is of, whose looks may be known.
        """
        others = sorted(set(self._people) - {person_of(name)}) if name else sorted(self._people)
        if len(self._train_stills) < CANDIDATES and (len(others) > 1 or not len(self._train_stills)):
            return self._filmed_donor(face, others or sorted(self._people), rng)
        return self.stills.face(int(self._train_stills[self._donors.pick(name, face.points, rng)]))

    def _filmed_donor(self, face: FacePicture, people: list[str], rng: np.random.Generator) -> FacePicture:
        """Where stills are few: among some frames of these people, the one whose pose is nearest."""
        some = []
        for _ in range(CANDIDATES):
            clip = self._of_person(people, rng)
            some.append(clip.face(int(rng.integers(len(clip.crops)))))
        return some[nearest_donor(face.points, np.stack([f.points for f in some]))]


def held_stills(stills: Stills, count: int) -> NDArray[np.intp]:
    """The last `count` stills of LFW, by name, and one's own held apart: for measuring, never trained on."""
    lfw = [i for i, n in enumerate(stills.names) if "/" not in n and not str(n)[0].isdigit()]
    own = np.flatnonzero(stills.held)
    return np.concatenate([np.array(lfw[len(lfw) - count :] if count else [], np.intp), own])


def labelled_pairs(clips: list[Clip], beside: Mapping[str, str] | None = None) -> list[tuple[Clip, Clip]]:
    """Each labelled fake with its real, where both are there.

    FaceForensics++'s beside the original it was made from; one's own as models.own_videos says in `beside`.
    """
    named, told = {c.name: c for c in clips}, beside or {}
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
        elif told.get(clip.name) in named:
            found.append((clip, named[told[clip.name]]))
    return found


def degraded_pair(
    face: FacePicture, fake: FacePicture, spec: CropSpec, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Put a real picture and its fake through one and the same degradation, turn and crop.

    Both are brought to one size of the face, each measured by its own box.
    """
    degradation = Degradation.draw(rng, min(face.side, fake.side))
    turn = float(rng.uniform(-15, 15)) if rng.random() < 0.3 else 0.0
    nudge = rng.uniform(-0.06, 0.06, 2), float(rng.uniform(0.9, 1.15))
    noise_seed = int(rng.integers(2**31))
    results = []
    for k, picture in enumerate((face, fake)):
        image = turned(picture.image, picture.box, turn)
        # Each its own noise: the very same grain in both would be no sensor's.
        out = degradation.apply([image], picture.side, np.random.default_rng((noise_seed, k)))[0]
        box = nudged(degradation.moved_box(picture.box, image, out), *nudge)
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
