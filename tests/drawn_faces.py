"""Faces drawn on the spot with known landmarks, and a tiny prepared data set of them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.fakes import FacePicture


def shape68() -> NDArray[np.float32]:
    """A symmetric face of 68 points (iBUG order) in a unit square."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.stack([0.5 - 0.42 * np.cos(angle), 0.42 + 0.5 * np.sin(angle)], 1)
    brow = np.stack([np.linspace(0.16, 0.42, 5), 0.3 - 0.04 * np.sin(np.linspace(0, np.pi, 5))], 1)
    nose = np.stack([np.full(4, 0.5), np.linspace(0.38, 0.58, 4)], 1)
    base = np.stack([np.linspace(0.41, 0.59, 5), 0.62 + 0.02 * np.sin(np.linspace(0, np.pi, 5))], 1)
    ring = np.linspace(0, 2 * np.pi, 7)[:6]
    eye = np.stack([-0.07 * np.cos(ring), -0.03 * np.sin(ring)], 1)
    left, right = eye + np.array([0.31, 0.4]), eye + np.array([0.69, 0.4])
    outer, inner = np.linspace(0, 2 * np.pi, 13)[:12], np.linspace(0, 2 * np.pi, 9)[:8]
    mouth = np.stack([0.5 - 0.15 * np.cos(outer), 0.76 - 0.06 * np.sin(outer)], 1)
    lips = np.stack([0.5 - 0.1 * np.cos(inner), 0.76 - 0.02 * np.sin(inner)], 1)
    mirrored = np.stack([1 - brow[::-1, 0], brow[::-1, 1]], 1)
    return np.vstack([jaw, brow, mirrored, nose, base, left, right, mouth, lips]).astype(np.float32)


def draw_face(seed: int, size: int = 200) -> FacePicture:
    """A textured head with brows, eyes, nose and mouth; another seed is another person."""
    rng = np.random.default_rng(seed)
    face = rng.uniform(0.5, 0.6) * size
    points = shape68() * face + np.array(rng.uniform(0.18, 0.25, 2) * size, np.float32)
    noise = cv2.resize(
        rng.integers(40, 200, (12, 12, 3)).astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC
    )
    image = np.ascontiguousarray(noise)
    skin = tuple(float(v) for v in rng.uniform(90, 220, 3))
    whole = cv2.convexHull(np.round(np.vstack([points, points[17:27] - [0, 0.2 * face]])).astype(np.int32))
    cv2.fillConvexPoly(image, whole, skin)
    for start, stop in ((36, 42), (42, 48), (48, 60)):
        colour = tuple(float(v) for v in rng.uniform(0, 120, 3))
        cv2.fillPoly(image, [np.round(points[start:stop]).astype(np.int32)], colour)
    for start, stop in ((17, 22), (22, 27), (27, 31)):
        cv2.polylines(image, [np.round(points[start:stop]).astype(np.int32)], False, (30, 30, 30), 2)
    grain = rng.normal(0, 6, image.shape)
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    low, high = points.min(0), points.max(0)
    box = np.concatenate([low - [0, 0.15 * face], high]).astype(np.float32)
    return FacePicture(image, points.astype(np.float32), box)


def write_data(folder: Path, stills: int = 12, held: int = 2) -> tuple[Path, Path]:
    """A data folder with stills and a prepared folder with an index and four short videos."""
    data, prepared = folder / "data", folder / "prepared"
    data.mkdir()
    (prepared / "videos").mkdir(parents=True)
    faces = [draw_face(i) for i in range(stills)]
    names = [f"Person_{i:03d}.png" for i in range(stills)]
    for name, face in zip(names, faces, strict=True):
        cv2.imwrite(str(data / name), face.image)
    np.savez(
        prepared / "stills.npz",
        name=np.array(names),
        box=np.stack([f.box for f in faces]),
        points=np.stack([f.points for f in faces]),
        shape=shape68(),
    )
    videos = (
        "c40__real__183",
        "c40__fake__Deepfakes__183_253",
        "c40__real__672",
        "c40__fake__Deepfakes__672_720",
    )
    for k, name in enumerate(videos):
        face = draw_face(100 + k // 2, 256)
        crops = np.repeat(face.image[None], 18, 0)
        if "fake" in name:
            crops = np.stack([cv2.GaussianBlur(c, (0, 0), 3) for c in crops])
        np.savez(
            prepared / "videos" / f"faceforensics__{name}.npz",
            crops=crops,
            times=np.arange(18, dtype=np.float32) / 8,
            points=np.repeat(face.points[None], 18, 0),
            weights=np.ones(18, np.float32),
        )
    return data, prepared
