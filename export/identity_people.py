"""The people that export.identity calibrates on: their reference pictures and windows, as embeddings."""

import hashlib
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.detector import Detector
from export.errors import ModelError
from models.crop import crop_face, cut_again
from models.dataset import Pairs, degraded_pair
from models.identity import gathered
from models.identity_eye import VIEWS
from models.splits import folder_of, is_fake, person_of, prepared_videos

Floats = NDArray[np.float32]
LOOKS = 4  # of the second eye in a window, as live
STRANGERS = 400  # stills of further people, for pairs across
SEED = 20261127


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """References and windows of one person, each a unit vector (E,)."""

    name: str
    enrolled: Floats | None  # None: a stranger, who is only asked about
    windows: Floats  # (N, E)

    @property
    def fits(self) -> bool:
        """Whether this person calibrates; else it is measured."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 0


class Looker:
    """Embeddings of whole crops by the detector's second eye."""

    def __init__(self, detector: Detector) -> None:
        """Raises ModelError for a detector without a recogniser of faces."""
        second = detector.card.second
        if second is None or second.name != "identity":
            raise ModelError(f"{detector.card.name} has no second eye that knows faces")
        self.detector = detector
        self.start, self.width = detector.card.features - second.features, second.features // VIEWS

    def look(self, crops: NDArray[np.uint8]) -> Floats:
        """(N, S, S, 3) BGR -> (N, E)."""
        features = self.detector.encode(crops, np.ones(len(crops), bool))
        return features[:, self.start : self.start + self.width]

    def mean(self, crops: NDArray[np.uint8]) -> Floats:
        """One unit vector (E,) for several crops of one face."""
        return gathered(self.look(crops)[:, None], np.ones(len(crops), np.float32))[0]


def sitters(looker: Looker, pairs: Pairs) -> list[Person]:
    """Those with two portraits or more, and strangers of whom there is one picture."""
    rng, spec = np.random.default_rng(SEED), looker.detector.card.crop
    shots: dict[str, list[int]] = defaultdict(list)
    strangers = []
    for index, name in enumerate(pairs.stills.names):
        told = re.search(r"portraits/.*__(\d+)_", str(name))
        if told:
            shots[told[1]].append(index)
        elif "/" not in str(name) and not str(name)[0].isdigit():
            strangers.append(index)
    found = []
    chosen = rng.choice(strangers, min(STRANGERS, len(strangers)), replace=False)
    for label, indices in [*shots.items(), *((f"lfw {i}", [int(i)]) for i in chosen)]:
        first, last = (pairs.stills.face(indices[k]) for k in (0, -1))
        views = np.stack([degraded_pair(last, last, spec, rng)[k] for k in (0, 1) for _ in range(LOOKS // 2)])
        several = len(indices) > 1
        enrolled = looker.mean(crop_face(first.image, first.box, spec)[None]) if several else None
        found.append(Person(label, enrolled, looker.mean(views)[None]))
        sys.stderr.write(f"\r{len(found)} people ")
    sys.stderr.write("\n")
    return found


def filmed(looker: Looker, prepared: Path) -> list[Person]:
    """People of real videos: enrolled from the first window of one, asked about with the later ones."""
    by_person: dict[str, list[Path]] = defaultdict(list)
    for path in prepared_videos(prepared):
        if not is_fake(path.stem) and folder_of(path.stem) in ("faceforensics", "real_talking"):
            by_person[person_of(path.stem)].append(path)
    found = []
    for name, paths in by_person.items():
        each = [windows(looker, path) for path in paths]
        later = [w[1:] if k == 0 else w for k, w in enumerate(each)]
        found.append(Person(f"filmed {name}", each[0][0], np.concatenate(later)))
        sys.stderr.write(f"\r{len(found)} filmed people ")
    sys.stderr.write("\n")
    return found


def windows(looker: Looker, path: Path, most: int = 8) -> Floats:
    """Windows of a prepared video, evenly spread: (N, E)."""
    with np.load(path) as saved:
        crops, times = saved["crops"], saved["times"]
    starts = np.linspace(times[0], max(times[-1] - 2.0, times[0]), most)
    found = []
    for start in np.unique(starts):
        inside = np.flatnonzero((times >= start) & (times <= start + 2.0))
        if not len(inside):  # the face was away
            continue
        picked = inside[np.unique(np.linspace(0, len(inside) - 1, LOOKS).astype(int))]
        found.append(looker.mean(cut_again(crops[picked], looker.detector.card.crop)))
    return np.stack(found)
