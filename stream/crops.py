"""Cuts faces out of a data set with the live path: `python -m stream.crops FILE_OR_FOLDER… --out DIR`."""

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.crop import KEPT_MARGIN, CropSpec, crop_face
from stream.errors import FacewitnessError
from stream.faces import FaceDetector
from stream.looker import Looker
from stream.quality import measure
from stream.sources import SourceOptions, find
from stream.tracker import Tracker
from stream.values import Frame, Quality, Track
from stream.window import Pacer

log = logging.getLogger(__name__)

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts"})
MAX_CROPS = 2000  # of one track: 256 px crops of it take 400 MB


@dataclass(slots=True)
class TrackCrops:
    """The crops of one track, one entry a sampled moment; those gated for quality too, with their reason."""

    pacer: Pacer
    crops: list[NDArray[np.uint8]] = field(default_factory=list)  # each (S, S, 3) BGR
    tracks: list[Track] = field(default_factory=list)
    qualities: list[Quality] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # s on the source's clock

    def add(self, frame: Frame, track: Track, spec: CropSpec) -> None:
        """Cut one face out of a frame."""
        self.crops.append(crop_face(frame.image, track.box, spec))
        self.tracks.append(track)
        self.qualities.append(measure(frame.image, track))
        self.times.append(frame.time)

    def save(self, path: Path) -> None:
        """Write an .npz with crops, times, boxes, landmarks, probabilities and the fields of the quality."""
        part = path.with_name(path.name + ".part")  # whoever reads along never sees half a file
        with part.open("wb") as file:
            self._write(file)
        part.replace(path)

    def _write(self, file: BinaryIO) -> None:
        np.savez(
            file,
            crops=np.stack(self.crops),  # (N, S, S, 3) uint8 BGR
            times=np.array(self.times),  # (N,) s
            boxes=np.stack([t.box for t in self.tracks]),  # (N, 4) px of the frame
            landmarks=np.stack([t.landmarks for t in self.tracks]),  # (N, 5, 2) px of the frame
            probabilities=np.array([t.probability for t in self.tracks], np.float32),
            weights=np.array([q.weight for q in self.qualities], np.float32),
            reasons=np.array([q.reason for q in self.qualities]),
            sizes=np.array([q.size for q in self.qualities], np.float32),
            sharpness=np.array([q.sharpness for q in self.qualities], np.float32),
            yaws=np.array([q.yaw for q in self.qualities], np.float32),
        )


def cut_video(path: Path, looker: Looker, spec: CropSpec, rate: float) -> dict[int, TrackCrops]:
    """All confirmed tracks of a video by id, sampled at `rate` Hz, as far as the video can be read.

    Raises FacewitnessError where no frame can be read.
    """
    tracker = Tracker(looker)
    found: dict[int, TrackCrops] = defaultdict(lambda: TrackCrops(Pacer(rate)))
    for frame in _frames(path):
        tracks = tracker.update(frame)
        for track in tracks:
            # As live: a corrupt frame, an unconfirmed track or a predicted box gives no crop.
            if frame.corrupt or not (track.confirmed and track.seen):
                continue
            crops = found[track.id]
            if len(crops.times) < MAX_CROPS and crops.pacer.due(frame.time):
                crops.add(frame, track, spec)
    return found


def cut_picture(path: Path, looker: FaceDetector, spec: CropSpec) -> dict[int, TrackCrops]:
    """All faces of a still picture, the largest first; there is nothing to confirm in it."""
    found = {}
    for frame in _frames(path):
        for number, face in enumerate(looker.detect(frame.image), 1):
            found[number] = TrackCrops(Pacer(1.0))
            track = Track(number, face.box, face.landmarks, face.probability, confirmed=True, seen=True)
            found[number].add(frame, track, spec)
    return found


def cut_all(inputs: list[Path], out: Path, spec: CropSpec, rate: float, looker: FaceDetector) -> int:
    """Cut every file and every folder's files into `out`, which mirrors them; returns the tracks written.

    Files already done are passed over, so that an interrupted run goes on; unreadable ones are logged.
    """
    written = 0
    for path, target in _files(inputs, out):
        mark = target.with_suffix(".done")
        if mark.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.suffix.lower() in PICTURES:
                found = cut_picture(path, looker, spec)
            else:
                found = cut_video(path, looker, spec, rate)
        except (FacewitnessError, OSError) as error:
            log.warning("%s", error)
            continue
        for number, crops in found.items():
            crops.save(target.parent / f"{target.name}.track{number}.npz")
        mark.touch()
        written += len(found)
        counts = ", ".join(f"track {n}: {len(c.times)} crops" for n, c in found.items())
        log.info("%s: %s", path, counts or "no face")
    return written


def _frames(path: Path) -> Iterator[Frame]:
    count = 0
    try:
        for frame in find(str(path)).frames(str(path), SourceOptions()):
            count += 1
            yield frame
    except FacewitnessError as error:
        if not count:
            raise
        log.warning("%s", error)


def _files(inputs: list[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Each file to read with the path, less its suffix, under which its tracks are written."""
    for given in inputs:
        if not given.is_dir():
            yield given, out / given.stem
            continue
        for path in sorted(given.rglob("*")):
            if path.is_file() and path.suffix.lower() in PICTURES | VIDEOS:
                yield path, out / path.relative_to(given).with_suffix("")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m stream.crops", description=__doc__)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="folder; made where it does not exist")
    parser.add_argument("--size", type=int, default=256, help="px, side of a crop (default 256)")
    parser.add_argument("--margin", type=float, default=KEPT_MARGIN, help="crop over face (%(default)g)")
    parser.add_argument("--rate", type=float, default=8.0, help="crops per second and track (default 8)")
    parser.add_argument("--min-face", type=float, default=60, help="px, the smallest (default 60)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    spec = CropSpec(given.size, given.margin)
    cut_all(given.inputs, given.out, spec, given.rate, FaceDetector(min_face=given.min_face))


if __name__ == "__main__":
    main()
