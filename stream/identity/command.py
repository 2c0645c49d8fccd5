"""The command `facewitness enrol`: reference pictures of a person become one embedding; list, delete."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.detector import Detector
from models.crop import crop_face
from stream import logs
from stream.check.command import plain
from stream.check.still import read_picture
from stream.errors import ConfigError, FileMissing
from stream.identity.gallery import Enrolled, Gallery
from stream.identity.match import answer_of, unit
from stream.networks import Networks, open_networks
from stream.providers import choose
from stream.quality import measure
from stream.values import Answer, Track

LONGEST = 64  # characters of a name
SMALLEST = 60  # px of a face


def enrol(
    name: str | None = None,
    pictures: Sequence[str] = (),
    list_people: bool = False,
    delete: str | None = None,
    file: str | None = None,
    enrolment_key: str | None = None,
    model: str = "detector",
    provider: str = "auto",
) -> int:
    """Enrol NAME from pictures with one face each, list who is enrolled, or delete. Returns the exit code.

    Raises ConfigError, OutputError, ModelError, and what a picture's own error is.
    """
    logs.set_up("text", quiet=True)
    gallery = Gallery(Path(file) if file else None, Path(enrolment_key) if enrolment_key else None)
    if delete is not None:
        gallery.delete(delete)
        print(plain(f"{delete} is no longer enrolled"))
        return 0
    if list_people:
        for each in gallery.all():
            when = time.strftime("%Y-%m-%d", time.gmtime(each.created))
            print(plain(f"{each.name}  {each.pictures} pictures  {when}  {each.model}"))
        return 0
    if not name or not pictures:
        raise ConfigError("enrol: give a name and pictures of that person, or --list, or --delete NAME")
    if len(name) > LONGEST or not name.isprintable():
        raise ConfigError(f"enrol: a name of {LONGEST} printable characters at most")
    networks = open_networks(model, choose(provider), 1, SMALLEST)
    looks = np.stack([embedding_of(Path(each), networks) for each in pictures])
    scale = networks.detector.card.likeness
    assert scale is not None
    said = answer_of(float((looks @ looks.T).min()), scale)
    if said is Answer.NO:
        raise ConfigError("enrol: these pictures do not look like one person")
    gallery.put(Enrolled(name, networks.label, unit(looks.mean(0)), len(pictures), time.time()))
    if said is Answer.UNSURE:
        print("facewitness: some of these pictures look little alike: is it one person?", file=sys.stderr)
    print(plain(f"{name} is enrolled from {len(pictures)} pictures; the pictures are not kept"))
    return 0


def embedding_of(path: Path, networks: Networks) -> NDArray[np.float32]:
    """The face of a picture with one face, (E,) at unit length. Raises ConfigError, NotVideo, FileMissing."""
    detector = networks.detector
    scale = detector.card.likeness
    if scale is None or not isinstance(detector, Detector):
        raise ConfigError(f"{networks.label} knows no faces (python -m export.identity)")
    if not path.is_file():
        raise FileMissing(f"{path}: no such file")
    image = read_picture(path, str(path))
    faces = networks.looker.detect(image)
    if len(faces) != 1:
        raise ConfigError(f"{path}: {len(faces) or 'no'} faces of {SMALLEST} px or more, one is wanted")
    (face,) = faces
    track = Track(1, face.box, face.landmarks, face.probability, confirmed=True, seen=True)
    if reason := measure(image, track).reason:
        raise ConfigError(f"{path}: the face is {reason}")
    crop = crop_face(image, face.box, detector.card.crop)
    features = detector.encode(crop[None], np.ones(1, bool))[0]
    return unit(features[scale.start : scale.start + scale.width])
