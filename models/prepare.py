"""Prepare data for training: find all faces with the live system's own path, and index what was found.

    python -m models.prepare --data DIR --out PREPARED [--generated PICTURES]

DIR holds one's own videos and pictures in real/ and, where there are any, fake/ (models/README.md tells how
to train on them); or the unpacked archives: pictures (LFW, UTKFace) and landmarks68.npz at the top, and the
folders portraits, faceforensics and real_talking (trained on), deepfacelive and dfdc (only validated on).
PICTURES are faces of nobody from models.fakes.generate. It may be run again after it was stopped, and
without --data to add generated faces alone.

PREPARED gets stills.npz (the stills' boxes and points), videos/*.npz (crops in time), beside.json (which real
belongs to which of one's own fakes), generated/ (the pictures, and a stills.npz of their own) and crops/
(what the detector found, which may be removed).
"""

import argparse
import logging
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks import Points, align, five_of, from_five, mean_shape, move
from models.mean_face import mean_face
from models.own_videos import own_sets
from models.prepare_videos import CROP_MARGIN as CROP_MARGIN
from models.prepare_videos import CROP_RATE, prepare_own
from models.prepare_videos import CROP_SIZE as CROP_SIZE
from models.prepare_videos import index_videos as index_videos
from models.splits import KNOWN

PICTURES = (".jpg", ".jpeg", ".png")
KNOWN_POINTS = "landmarks68.npz"
OUTSIDE = 0.04  # of a box's longer side: boxes that reach further out of their picture are guesses


log = logging.getLogger(__name__)


def cut(data: Path, crops: Path) -> None:
    """Run the live detector, tracker and smoothing over all of `data`: one .npz a track.

    Raises FileNotFoundError where there is no such folder.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder")
    log.info("looking for faces in %s; what was found before is kept", data)
    command = [sys.executable, "-m", "stream.crops", str(data), "--out", str(crops), "--size", str(CROP_SIZE)]
    subprocess.run([*command, "--margin", str(CROP_MARGIN), "--rate", str(CROP_RATE)], check=True)


def known_points(data: Path) -> tuple[dict[str, Points], Points]:
    """The 68 points that came with the data, by the picture's name, and their mean shape (68, 2).

    Without landmarks68.npz none are known, and the shape is the usual one.
    """
    if not (data / KNOWN_POINTS).exists():
        return {}, mean_face()
    with np.load(data / KNOWN_POINTS) as known:
        points = known["points"]
        names = known["name"].tolist()
    return dict(zip(names, points, strict=True)), mean_shape(points[:: max(1, len(points) // 500)])


def index_stills(
    data: Path,
    crops: Path,
    out: Path,
    known: dict[str, Points],
    shape: Points,
    pictures: Sequence[Path] | None = None,
    held: Collection[Path] = (),
) -> int:
    """Write stills.npz: name, box (4,), points (68, 2) of each still with a face, and the mean shape.

    known: the 68 points of some pictures by name; others get theirs from MTCNN's five and the mean shape.
    pictures: which; None = all. held: those of them that are never trained on. Returns how many have a face.
    """
    names, boxes, points, sizes, apart = [], [], [], [], []
    if pictures is None:
        pictures = pictures_in(data)
    for path in pictures:
        name = path.relative_to(data).as_posix()
        largest = crops / path.relative_to(data).parent / f"{path.stem}.track1.npz"
        if largest.exists():
            with np.load(largest) as track:
                boxes.append(track["boxes"][0])
                points.append(known.get(name, from_five(track["landmarks"][0], shape)))
            names.append(name)
            sizes.append(_height_width(path))
            apart.append(path in held)
    all_points = np.array(points, np.float32).reshape(-1, 68, 2)
    sane = sane_boxes(np.array(boxes, np.float32).reshape(-1, 4), all_points, np.array(sizes).reshape(-1, 2))
    who, never = np.array(names, str), np.array(apart, bool)
    np.savez(out / "stills.npz", name=who, box=sane, points=all_points, held=never, shape=shape)
    log.info("%d of %d pictures in %s have a face", len(names), len(pictures), data)
    return len(names)


def pictures_in(data: Path) -> list[Path]:
    """All pictures below a folder, sorted."""
    return sorted(p for p in data.rglob("*") if p.suffix.lower() in PICTURES)


def _height_width(path: Path) -> tuple[int, int]:
    image = cv2.imread(str(path))
    if image is None:
        raise OSError(f"{path} had a face a moment ago and cannot be read any more")
    return image.shape[0], image.shape[1]


def sane_boxes(boxes: NDArray[np.float32], points: Points, sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Replace the boxes that reach outside of a tight picture, where MTCNN guesses far too large.

    The replacement is the mean box of the other pictures, laid onto the face by its five landmarks.
    boxes (N, 4), points (N, 68, 2), sizes (N, 2) height and width.
    """
    limit = np.hstack([sizes[:, ::-1], sizes[:, ::-1]])
    outside = np.maximum(-boxes, boxes - limit).max(1) > OUTSIDE * (boxes[:, 2:] - boxes[:, :2]).max(1)
    inside = np.flatnonzero(~outside)[:2000]
    if not len(inside) or not outside.any():
        return boxes
    frame = five_of(mean_shape(points[:100]))
    usual = np.mean([move(boxes[i].reshape(2, 2), align(five_of(points[i]), frame)) for i in inside], axis=0)
    result = boxes.copy()
    centre, side = usual.mean(0), usual[1] - usual[0]
    for i in np.flatnonzero(outside):
        back = align(frame, five_of(points[i]))
        middle, half = move(centre[None], back)[0], side * np.hypot(back[0, 0], back[1, 0]) / 2
        result[i] = np.concatenate([middle - half, middle + half])
    return result


def prepare(data: Path, out: Path) -> None:
    """Everything about one's own videos, or the unpacked archives.

    Raises FileNotFoundError where the folder is neither, ValueError where one's own cannot be split.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder")
    own, archives = own_sets(data), (data / KNOWN_POINTS).exists()
    if not own and not archives and not any((data / name).is_dir() for name in KNOWN):
        raise FileNotFoundError(
            f"{data} holds no videos or pictures in real/ or fake/, nor the archives' {KNOWN_POINTS}"
        )
    known, shape = known_points(data)
    out.mkdir(parents=True, exist_ok=True)
    cut(data, out / "crops")
    items = [(one, item) for one in own for item in one.items]
    pictures = [i.path for _, i in items if i.picture and not i.fake and i.path.suffix.lower() in PICTURES]
    if archives:
        pictures = sorted({*pictures_in(data), *pictures} - {i.path for _, i in items if i.fake})
    held = {i.path for one, i in items if i in one.held}
    index_stills(data, out / "crops", out, known, shape, pictures, held)
    prepare_own(own, out, shape)


def add_generated(pictures: Path, out: Path) -> int:
    """Add generated faces to what was prepared; returns how many have a face that the detector finds.

    Raises FileNotFoundError where nothing was prepared yet, or no face is found.
    """
    if not (out / "stills.npz").exists():
        raise FileNotFoundError(f"{out} has no stills.npz: prepare the data first (--data)")
    with np.load(out / "stills.npz") as saved:
        shape = saved["shape"]
    folder = out / "generated"
    folder.mkdir(exist_ok=True)
    crops = folder / "crops"
    cut(pictures, crops)
    count = index_stills(pictures, crops, folder, {}, shape)
    if not count:
        raise FileNotFoundError(f"no face was found in the pictures of {pictures}")
    with np.load(folder / "stills.npz") as saved:
        for name in saved["name"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pictures / name, folder / name)
    return count


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="one's own real/ and fake/, or the unpacked archives")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--generated", type=Path, help="pictures by models.fakes.generate")
    args = parser.parse_args()
    if args.data is None and args.generated is None:
        parser.error("give --data, or --generated, or both")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if args.data is not None:
            prepare(args.data, args.out)
        if args.generated is not None:
            add_generated(args.generated, args.out)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"models.prepare: {error}\n")


if __name__ == "__main__":
    main()
