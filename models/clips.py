"""Clips for the temporal head: windows of crops from videos, and from stills moved along smooth head paths.

A made fake is made again for every frame with the same seed, so the manipulation holds along the clip, while
its landmarks jitter a little, as a live swapper's do; now and then it fails for some frames.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face
from models.dataset import VIDEO_BOX, Clip, Pairs, nudged
from models.degrade import Degradation
from models.fakes import FAMILIES, FacePicture


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What the head sees of one track: T crops in time."""

    crops: NDArray[np.uint8]  # (T, S, S, 3) BGR
    weights: NDArray[np.float32]  # (T,), 0..1
    label: float  # 1 = fake
    source: str


def smooth_path(count: int, rng: np.random.Generator, knots: int = 4) -> NDArray[np.float32]:
    """(count,) values of a slow random curve of about unit height."""
    ends = rng.standard_normal(knots).astype(np.float32)
    return cv2.resize(ends[None], (count, 1), interpolation=cv2.INTER_CUBIC)[0]


def moving_still(face: FacePicture, count: int, rng: np.random.Generator) -> list[FacePicture]:
    """A still panned, zoomed and turned along smooth paths, or held still: `count` frames."""
    side = float((face.box[2:] - face.box[:2]).max())
    amount = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.2, 1.0))
    pan = amount * 0.12 * side * np.stack([smooth_path(count, rng), smooth_path(count, rng)], 1)
    zoom = np.exp(amount * 0.08 * smooth_path(count, rng))
    turn = amount * 6.0 * smooth_path(count, rng)
    centre = (face.box[:2] + face.box[2:]) / 2
    size = (face.image.shape[1], face.image.shape[0])
    frames = []
    for t in range(count):
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), float(turn[t]), float(zoom[t]))
        matrix[:, 2] += pan[t]
        image = cv2.warpAffine(face.image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
        points = (face.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        middle = centre @ matrix[:, :2].T + matrix[:, 2]
        half = (face.box[2:] - face.box[:2]) * zoom[t] / 2
        frames.append(
            FacePicture(image, points, np.concatenate([middle - half, middle + half]).astype(np.float32))
        )
    return frames


def fake_along(
    frames: list[FacePicture], donor: FacePicture, family: str, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """The same manipulation on each frame: one seed, jittering landmarks, failures in some clips."""
    seed, make = int(rng.integers(2**31)), FAMILIES[family]
    jitter = float(rng.uniform(0, 0.012)) * np.linalg.norm(frames[0].points[8] - frames[0].points[27])
    failing = rng.random(len(frames)) < (0.1 if rng.random() < 0.2 else 0.0)
    images = []
    for frame, fails in zip(frames, failing, strict=True):
        shake = jitter * rng.standard_normal((1, 2)) + 0.3 * jitter * rng.standard_normal((68, 2))
        seen = FacePicture(frame.image, (frame.points + shake).astype(np.float32), frame.box)
        images.append(frame.image if fails else make(seen, donor, np.random.default_rng(seed)))
    return images


def finish(
    images: list[NDArray[np.uint8]], boxes: list[NDArray[np.float32]], spec: CropSpec, seed: int
) -> NDArray[np.uint8]:
    """Degrade a clip as one and cut its crops, the boxes trembling a little: (T, S, S, 3)."""
    rng = np.random.default_rng(seed)
    side = float((boxes[0][2:] - boxes[0][:2]).max())
    degradation = Degradation.draw(rng, side)
    offset, scale = rng.uniform(-0.03, 0.03, 2), float(rng.uniform(0.95, 1.05))
    after = degradation.apply(images, side, rng)
    crops = []
    for box, before, out in zip(boxes, images, after, strict=True):
        moved = degradation.moved_box(box, before, out)
        crops.append(crop_face(out, nudged(moved, offset + rng.normal(0, 0.006, 2), scale), spec))
    return np.stack(crops)


def still_windows(pairs: Pairs, index: int, count: int, rng: np.random.Generator) -> list[Window]:
    """A real and a fake window of one still in motion."""
    frames = moving_still(pairs.stills.face(index), count, rng)
    return _both(pairs, frames, f"still:{pairs.stills.names[index]}", rng)


def video_windows(pairs: Pairs, clip: Clip, count: int, rng: np.random.Generator) -> list[Window]:
    """A real and a made fake window of a real video."""
    start = int(rng.integers(max(1, len(clip.crops) - count + 1)))
    frames = [clip.face(i) for i in range(start, min(start + count, len(clip.crops)))]
    return _both(pairs, frames, clip.name, rng)


def _both(pairs: Pairs, frames: list[FacePicture], name: str, rng: np.random.Generator) -> list[Window]:
    families = pairs.mix.families
    family = families[rng.integers(len(families))]
    donor = pairs.donor(frames[0], rng)
    boxes, seed = [f.box for f in frames], int(rng.integers(2**31))
    fakes = fake_along(frames, donor, family, rng)
    ones = np.ones(len(frames), np.float32)
    real = finish([f.image for f in frames], boxes, pairs.spec, seed)
    return [
        Window(real, ones, 0.0, name),
        Window(finish(fakes, boxes, pairs.spec, seed), ones, 1.0, f"{name}:{family}"),
    ]


def labelled_window(
    clip: Clip, label: float, spec: CropSpec, count: int, rng: np.random.Generator, plain: bool
) -> Window:
    """A window of a labelled video, as it is (`plain`) or through one more degradation."""
    start = int(rng.integers(max(1, len(clip.crops) - count + 1)))
    images = list(clip.crops[start : start + count])
    if plain:
        crops = np.stack([crop_face(image, VIDEO_BOX, spec) for image in images])
    else:
        crops = finish(images, [VIDEO_BOX] * len(images), spec, int(rng.integers(2**31)))
    return Window(crops, clip.weights[start : start + count], label, clip.name)
