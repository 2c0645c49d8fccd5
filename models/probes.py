"""Sets of crops by kind of fake, of people never trained on, for ablations and transfers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.crop import crop_face
from models.dataset import VIDEO_BOX, Clip, Pairs, degraded_pair, held_stills
from models.splits import NEVER_TRAINED, folder_of, is_fake, is_training, prepared_videos

Crops = NDArray[np.uint8]  # (N, S, S, 3) BGR
FACEFORENSICS = "faceforensics"


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Reals and fakes of one kind."""

    name: str
    real: Crops
    fake: Crops


def made_probes(pairs: Pairs, count: int) -> list[Probe]:
    """For each family that is open, made pairs of the first held-apart stills, degraded alike."""
    assert pairs.held_fakes is not None
    found = []
    for family, maker in pairs.held_fakes.makers.items():
        rng, made = np.random.default_rng(5), []
        for index in held_stills(pairs.stills, pairs.mix.held_stills)[:count]:
            face = pairs.stills.face(int(index))
            fake = maker(face, pairs.donor(face, rng, str(pairs.stills.names[index])), rng)
            made.append(degraded_pair(face, fake, pairs.spec, rng))
        found.append(
            Probe(family, np.stack([real for real, _ in made]), np.stack([fake for _, fake in made]))
        )
    return found


def method_probes(pairs: Pairs, frames: int, training: bool = False) -> list[Probe]:
    """For each method of FaceForensics++, frames of its fakes and of all originals, on one side."""
    clips = [c for c in pairs.clips if folder_of(c.name) == FACEFORENSICS and is_training(c.name) == training]
    real = [crop for c in clips if not is_fake(c.name) for crop in _frames(pairs, c, frames)]
    fakes: dict[str, list[Crops]] = {}
    for clip in (c for c in clips if is_fake(c.name)):
        fakes.setdefault(clip.name.split("__")[3], []).extend(_frames(pairs, clip, frames))
    return [Probe(name, np.stack(real), np.stack(crops)) for name, crops in sorted(fakes.items()) if real]


def validation_probes(pairs: Pairs, prepared: Path, frames: int) -> list[Probe]:
    """The folders that are never trained on, as they are; to be reported, never to be chosen by."""
    sides: dict[str, dict[bool, list[Crops]]] = {}
    for path in prepared_videos(prepared):
        if folder_of(path.stem) in NEVER_TRAINED:
            side = sides.setdefault(folder_of(path.stem), {True: [], False: []})
            side[is_fake(path.stem)].extend(_frames(pairs, Clip.load(path), frames))
    whole = {name: side for name, side in sides.items() if side[True] and side[False]}
    return [Probe(name, np.stack(side[False]), np.stack(side[True])) for name, side in sorted(whole.items())]


def _frames(pairs: Pairs, clip: Clip, count: int) -> list[Crops]:
    picked = np.linspace(0, len(clip.crops) - 1, count).astype(int)
    return [crop_face(clip.crops[i], VIDEO_BOX, pairs.spec) for i in picked]
