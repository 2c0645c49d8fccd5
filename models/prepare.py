"""Prepare data for training: find all faces with the live system's own path, and index what was found.

    python -m models.prepare --data DIR --out PREPARED

DIR holds the unpacked archives: pictures (LFW, UTKFace) and landmarks68.npz at the top, and the folders
portraits, faceforensics and real_talking (trained on), deepfacelive and dfdc (only validated on).
It may be run again after it was stopped.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks import Points, align, five_of, from_five, mean_shape, move

CROP_SIZE, CROP_MARGIN, CROP_RATE = 256, 1.6, 8.0  # px, over the box's longer side, per second
MAX_SECONDS = 12.0  # of each video
PICTURES = (".jpg", ".jpeg", ".png")
OUTSIDE = 0.04  # of a box's longer side: boxes that reach further out of their picture are guesses


def cut(data: Path, crops: Path) -> None:
    """Run the live detector, tracker and smoothing over all of `data`: one .npz a track."""
    command = [sys.executable, "-m", "stream.crops", str(data), "--out", str(crops), "--size", str(CROP_SIZE)]
    subprocess.run([*command, "--margin", str(CROP_MARGIN), "--rate", str(CROP_RATE)], check=True)


def index_stills(data: Path, crops: Path, out: Path) -> None:
    """Write stills.npz: name, box (4,), points (68, 2) of each still with a face, and their mean shape."""
    known = np.load(data / "landmarks68.npz")
    points68 = dict(zip(known["name"].tolist(), known["points"], strict=True))
    shape = mean_shape(known["points"][:: max(1, len(known["points"]) // 500)])
    names, boxes, points, sizes = [], [], [], []
    for path in sorted(p for p in data.rglob("*") if p.suffix.lower() in PICTURES):
        name = path.relative_to(data).as_posix()
        largest = crops / path.relative_to(data).parent / f"{path.stem}.track1.npz"
        if largest.exists():
            with np.load(largest) as track:
                boxes.append(track["boxes"][0])
                points.append(points68.get(name, from_five(track["landmarks"][0], shape)))
            names.append(name)
            sizes.append(_height_width(path))
    if names:
        all_points = np.array(points, np.float32)
        sane = sane_boxes(np.array(boxes), all_points, np.array(sizes))
        np.savez(out / "stills.npz", name=np.array(names), box=sane, points=all_points, shape=shape)


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
    if not len(inside):
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


def index_videos(crops: Path, out: Path) -> None:
    """Write videos/<folder>__…__<name>.npz: crops (N, 256, 256, 3) BGR, times s, points (N, 68, 2), weights.

    The track with the most crops counts; crops that the quality gate would not score are left out.
    """
    shape = np.load(out / "stills.npz")["shape"]
    (out / "videos").mkdir(exist_ok=True)
    videos: dict[str, list[Path]] = {}
    for path in sorted(crops.rglob("*.npz")):
        name = "__".join(path.relative_to(crops).parts).rsplit(".track", 1)[0]
        videos.setdefault(name, []).append(path)
    for name, tracks in videos.items():
        track = dict(max((np.load(t) for t in tracks), key=lambda t: len(t["times"])))
        keep = (track["weights"] > 0) & (track["times"] - track["times"][0] <= MAX_SECONDS)
        if len(track["times"]) > 1 and keep.any():
            save_track({k: v[keep] for k, v in track.items()}, out / "videos" / f"{name}.npz", shape)


def save_track(track: dict[str, NDArray], path: Path, shape: Points) -> None:
    """Write one track with 68 points, estimated from MTCNN's five, in px of the crop."""
    boxes = track["boxes"]
    side = (boxes[:, 2:] - boxes[:, :2]).max(1) * CROP_MARGIN
    corner = (boxes[:, :2] + boxes[:, 2:]) / 2 - side[:, None] / 2
    five = (track["landmarks"] - corner[:, None]) * (CROP_SIZE / side)[:, None, None]
    points = np.array([from_five(f, shape) for f in five], np.float32)
    times = track["times"].astype(np.float32)
    np.savez(path, crops=track["crops"], times=times, points=points, weights=track["weights"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the unpacked archives")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    crops = args.out / "crops"
    cut(args.data, crops)
    index_stills(args.data, crops, args.out)
    index_videos(crops, args.out)


if __name__ == "__main__":
    main()
