"""Prepare data for training: find the faces of stills, and cut video crops with the live system's own path.

    python -m models.prepare stills --data DIR --out PREPARED
    python -m models.prepare videos --data DIR --out PREPARED

DIR holds the unpacked archives: pictures (LFW, UTKFace) and landmarks68.npz at the top, and the folders
portraits, faceforensics and real_talking (trained on), deepfacelive and dfdc (validated on, never trained on).
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks import align, five_of, from_five, mean_shape, move

CROP_SIZE, CROP_MARGIN, CROP_RATE = 256, 1.6, 8.0  # px, over the box's longer side, per second
MAX_SECONDS = 12.0  # of each video
VIDEO_SUFFIXES = (".mp4", ".mpg", ".avi", ".mov", ".mkv", ".webm")


class FaceFinder:
    """facenet-pytorch's MTCNN: the largest face of a picture."""

    def __init__(self, min_face: int) -> None:
        import torch
        from facenet_pytorch import MTCNN

        torch.set_num_threads(1)
        self._mtcnn = MTCNN(min_face_size=min_face, keep_all=True, device="cpu").eval()

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """(H, W, 3) BGR -> box (4,) and five landmarks (5, 2), px; None without a face."""
        boxes, odds, five = self._mtcnn.detect(np.ascontiguousarray(image[..., ::-1]), landmarks=True)
        if boxes is None:
            return None
        area = np.where(odds > 0.9, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0)
        best = int(area.argmax())
        return (boxes[best].astype(np.float32), five[best].astype(np.float32)) if area[best] > 0 else None


def prepare_stills(data: Path, out: Path) -> None:
    """Write stills.npz: name, box (4,), points (68, 2) of each still with a face."""
    known = np.load(data / "landmarks68.npz")
    points68 = dict(zip(known["name"].tolist(), known["points"], strict=True))
    names = sorted(p.name for p in data.glob("*.jpg") if p.name in points68)
    names += sorted(f"portraits/{p.name}" for p in (data / "portraits").glob("*.jpg"))
    shape = mean_shape(known["points"][:: max(1, len(known["points"]) // 500)])
    finder, found, start = FaceFinder(50), [], time.monotonic()
    for i, name in enumerate(names):
        image = cv2.imread(str(data / name))
        face = finder(image) if image is not None else None
        if face is not None:
            points = points68[name] if name in points68 else from_five(face[1], shape)
            found.append((name, face[0], points, image.shape[:2]))
        if i % 200 == 0:
            sys.stderr.write(f"\r{i}/{len(names)} stills, {time.monotonic() - start:.0f} s")
    boxes = _sane_boxes(*(np.array([f[k] for f in found]) for k in (1, 2, 3)))
    np.savez(
        out / "stills.npz",
        name=np.array([f[0] for f in found]),
        box=boxes,
        points=np.array([f[2] for f in found], np.float32),
        shape=shape,
    )


def _sane_boxes(
    boxes: NDArray[np.float32], points: NDArray[np.float32], sizes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Replace the boxes that reach outside of a tight picture, where MTCNN guesses far too much.

    The replacement is the mean box of the other pictures, laid onto the face by its five landmarks.
    """
    limit = np.hstack([sizes[:, ::-1], sizes[:, ::-1]])
    outside = np.maximum(-boxes, boxes - limit).max(1) > 0.04 * (boxes[:, 2:] - boxes[:, :2]).max(1)
    frame = five_of(mean_shape(points[:100]))
    inside = np.flatnonzero(~outside)
    usual = np.mean(
        [move(boxes[i].reshape(2, 2), align(five_of(points[i]), frame)) for i in inside[:2000]], axis=0
    )
    result = boxes.copy()
    centre, side = usual.mean(0), usual[1] - usual[0]
    for i in np.flatnonzero(outside):
        back = align(frame, five_of(points[i]))
        middle, half = move(centre[None], back)[0], side * np.hypot(back[0, 0], back[1, 0]) / 2
        result[i] = np.concatenate([middle - half, middle + half])
    return result


def prepare_videos(data: Path, out: Path) -> None:
    """Write videos/<folder>__<name>.npz: crops (N, 256, 256, 3) BGR, times s, points (N, 68, 2) in the crops.

    The crops come from `python -m stream.crops`, the live system's own detector, tracker and smoothing; the
    longest track of a video counts.
    """
    shape = np.load(out / "stills.npz")["shape"]
    target = out / "videos"
    target.mkdir(exist_ok=True)
    finder = FaceFinder(80)
    folders = ("faceforensics", "real_talking", "deepfacelive", "dfdc")
    videos = [p for f in folders for p in sorted((data / f).rglob("*")) if p.suffix in VIDEO_SUFFIXES]
    for i, video in enumerate(videos):
        name = "__".join(video.relative_to(data).with_suffix("").parts)
        if (target / f"{name}.npz").exists():
            continue
        tracks = _live_crops(video, out / "tracks" / name)
        if tracks:
            _save_track(max(tracks, key=lambda t: len(t["crops"])), target / f"{name}.npz", finder, shape)
        sys.stderr.write(f"\r{i + 1}/{len(videos)} {name}: {len(tracks)} tracks\n")


def _live_crops(video: Path, folder: Path) -> list[dict[str, NDArray]]:
    command = [sys.executable, "-m", "stream.crops", str(video), "--out", str(folder)]
    command += ["--size", str(CROP_SIZE), "--margin", str(CROP_MARGIN), "--rate", str(CROP_RATE)]
    subprocess.run(command, check=True)
    return [dict(np.load(path)) for path in sorted(folder.rglob("*.npz"))]


def _save_track(
    track: dict[str, NDArray], path: Path, finder: FaceFinder, shape: NDArray[np.float32]
) -> None:
    keep, points = [], []
    for i, crop in enumerate(track["crops"]):
        face = finder(crop) if track["times"][i] - track["times"][0] <= MAX_SECONDS else None
        if face is not None:
            keep.append(i)
            points.append(from_five(face[1], shape))
    if keep:
        times = track["times"][keep].astype(np.float32)
        np.savez(path, crops=track["crops"][keep], times=times, points=np.array(points, np.float32))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("stills", "videos"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (prepare_stills if args.what == "stills" else prepare_videos)(args.data, args.out)


if __name__ == "__main__":
    main()
