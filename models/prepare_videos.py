"""Prepare videos: tracks that stream.crops found become clips with 68 points, one's own with their split."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.crop import KEPT_MARGIN
from models.landmarks import Points, from_five
from models.own_videos import OwnSet, beside
from models.splits import KNOWN, folder_of, is_training

CROP_SIZE, CROP_MARGIN, CROP_RATE = 256, KEPT_MARGIN, 8.0  # px, over the box's longer side, per second
MAX_SECONDS = 12.0  # of each video
BESIDE = "beside.json"

log = logging.getLogger(__name__)


def index_videos(crops: Path, out: Path, shape: Points, own: Mapping[str, str] | None = None) -> int:
    """Write videos/<folder>__…__<name>.npz: crops (N, 256, 256, 3) BGR, times s, points (N, 68, 2), weights.

    The track with the most crops counts; crops that the quality gate would not score are left out.
    own: the prepared names of one's own videos by their paths below the data, without suffix; of data sets
    that are not ours, others are left out. Returns how many videos have a face.
    """
    (out / "videos").mkdir(exist_ok=True)
    written = 0
    for name, tracks in tracks_by_name(crops, own or {}).items():
        track = _longest(tracks)
        keep = (track["weights"] > 0) & (track["times"] - track["times"][0] <= MAX_SECONDS)
        if len(track["times"]) > 1 and keep.any():
            save_track({k: v[keep] for k, v in track.items()}, out / "videos" / f"{name}.npz", shape)
            written += 1
    log.info("%d videos have a face in more than one frame", written)
    return written


def tracks_by_name(crops: Path, own: Mapping[str, str]) -> dict[str, list[Path]]:
    """The files of the tracks that stream.crops found, by their video's prepared name; see index_videos."""
    videos: dict[str, list[Path]] = {}
    for path in sorted(crops.rglob("*.npz")):
        source = path.relative_to(crops).as_posix().rsplit(".track", 1)[0]
        name = own.get(source, source.replace("/", "__"))
        if source in own or folder_of(name) in KNOWN:
            videos.setdefault(name, []).append(path)
    return videos


def face_sizes(videos: Mapping[str, list[Path]]) -> dict[str, float]:
    """The median side of the face in px, by the video's name."""
    return {name: float(np.median(_sides(_longest(tracks)["boxes"]))) for name, tracks in videos.items()}


def _sides(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2:] - boxes[:, :2]).max(1)


def _longest(tracks: list[Path]) -> dict[str, NDArray]:
    lengths = []
    for path in tracks:
        with np.load(path) as track:
            lengths.append(len(track["times"]))
    with np.load(tracks[int(np.argmax(lengths))]) as track:
        return dict(track)


def save_track(track: dict[str, NDArray], path: Path, shape: Points) -> None:
    """Write one track with 68 points, estimated from MTCNN's five, in px of the crop."""
    boxes = track["boxes"]
    side = _sides(boxes) * CROP_MARGIN
    corner = (boxes[:, :2] + boxes[:, 2:]) / 2 - side[:, None] / 2
    five = (track["landmarks"] - corner[:, None]) * (CROP_SIZE / side)[:, None, None]
    points = np.array([from_five(f, shape) for f in five], np.float32)
    times = track["times"].astype(np.float32)
    np.savez(path, crops=track["crops"], times=times, points=points, weights=track["weights"])


def prepare_own(own: Sequence[OwnSet], out: Path, shape: Points) -> None:
    """Index the videos, one's own under names that tell who is held apart, and pair fakes with reals.

    Raises ValueError where no face is left to learn from, or none to hold apart.
    """
    names = {item.name: one.prepared_name(item) for one in own for item in one.items if not item.picture}
    for old in (out / "videos").glob("*.npz"):  # the split may have moved what an earlier run wrote
        if folder_of(old.stem) in {one.name for one in own} - set(KNOWN):
            old.unlink()
    index_videos(out / "crops", out, shape, names)
    found = {n: t for n, t in tracks_by_name(out / "crops", names).items() if _written(out, n)}
    sizes = face_sizes({n: found[n] for n in names.values() if n in found})
    (out / BESIDE).write_text(
        json.dumps({k: v for one in own for k, v in beside(one, sizes).items()}, indent=1)
    )
    with np.load(out / "stills.npz") as stills:
        still_held = stills["held"].tolist()
    for one in own:
        reals = [
            is_training(n) for n in map(one.prepared_name, (i for i in one.items if not i.fake)) if n in sizes
        ]
        sides = {*reals, *(not h for h in still_held)}
        log.info(
            "%s: %d real videos to learn from, %d held apart", one.name, sum(reals), len(reals) - sum(reals)
        )
        if sides != {True, False}:
            lack = "held apart" if False not in sides else "to learn from"
            raise ValueError(
                f"{one.name}: no real {lack} has a face that the detector finds; add real videos"
            )


def _written(out: Path, name: str) -> bool:
    return (out / "videos" / f"{name}.npz").exists()
