"""What a made face does in time: it jitters, flickers, lags behind its head, drifts and now and then fails.

One Unsteadiness is drawn for a clip. Everything is measured in the face's own size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.fakes.blend import Image, blend, face_size, soft_mask
from models.fakes.face import FacePicture
from models.landmarks import NOSE, align, five_of

Floats = NDArray[np.float32]
QUICK = 0.06  # of the face's size a frame: from here on a movement is hard to follow
TURNED = 0.18  # of the eyes' distance, the nose's way from between them: from here on the face is turned away


def smooth_path(count: int, rng: np.random.Generator, knots: int = 4) -> Floats:
    """(count,) values of a slow random curve of about unit height."""
    ends = rng.standard_normal(knots).astype(np.float32)
    return cv2.resize(ends[None], (count, 1), interpolation=cv2.INTER_CUBIC)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Unsteadiness:
    """A clip of T frames' worth of it; zeros are a perfectly steady fake."""

    shakes: Floats  # (T, 68, 2) of the face's height: how wrong the landmarks are
    gains: Floats  # (T, 3) on BGR: the inner face's light and colour
    lag: float  # frames, 0..1, that the inner face is late
    drift: Floats  # (T,) 0..1, how much of it is already somebody else's
    fails: NDArray[np.bool_]  # (T,)
    failing: str  # "absent": the real face shows; "frozen": an old one does; "astray": badly placed

    @staticmethod
    def draw(frames: list[FacePicture], covered: Floats, rng: np.random.Generator) -> "Unsteadiness":
        """Draw one for these frames, covered (T,) 0..1 by something; most have some of it, few have all."""
        count = len(frames)
        rough, slow = float(rng.uniform(0, 0.008)), float(rng.uniform(0, 0.012))
        shared = np.stack([smooth_path(count, rng, max(count // 2, 2)) for _ in range(2)], 1)[:, None]
        own = rng.standard_normal((count, 68, 2)).astype(np.float32)
        every = rng.standard_normal((count, 1, 2)).astype(np.float32)
        flicker = float(rng.uniform(0.01, 0.08)) if rng.random() < 0.5 else 0.0
        waves = np.stack([smooth_path(count, rng, max(count // 3, 2)) for _ in range(3)], 1)
        light = 0.7 * rng.standard_normal((count, 1)) + 0.3 * waves
        return Unsteadiness(
            shakes=(slow * shared + rough * every + 0.3 * rough * own).astype(np.float32),
            gains=(1 + flicker * light).astype(np.float32),
            lag=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.35 else 0.0,
            drift=np.clip(0.4 * smooth_path(count, rng), 0, 0.6) * (rng.random() < 0.2),
            fails=failures(np.maximum(hardness(frames), covered), 0.3 if rng.random() < 0.5 else 0.0, rng),
            failing=("absent", "frozen", "astray")[rng.integers(3)],
        )


def hardness(frames: list[FacePicture]) -> Floats:
    """How hard each frame is for a swapper: (T,), 0 = frontal and still, 1 and more = turned or quick."""
    middles = np.array([f.points.mean(0) for f in frames])
    sizes = np.array([face_size(f.points) for f in frames])
    steps = np.zeros(len(frames))
    steps[1:] = np.linalg.norm(np.diff(middles, axis=0), axis=1) / sizes[1:]
    return np.maximum(steps / QUICK, [abs(turn(f)) / TURNED for f in frames]).astype(np.float32)


def turn(face: FacePicture) -> float:
    """How far the nose's tip stands aside from between the eyes, over their distance: 0 = frontal."""
    left, right, nose = five_of(face.points)[:3]
    across = right - left
    foot = face.points[NOSE][0]
    return float((nose - foot) @ across / max(float(across @ across), 1.0))


def failures(hard: Floats, odds: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """When it fails (T,): by these odds in the hardest frames, rarely in easy ones, for up to three."""
    fails = np.zeros(len(hard), bool)
    for t in np.flatnonzero(rng.random(len(hard)) < odds * np.clip(hard - 0.3, 0.06, 1)):
        fails[t : t + int(rng.integers(1, 4))] = True
    return fails


def shaken(frame: FacePicture, shake: Floats) -> FacePicture:
    """The frame as a swapper sees it whose landmarks are wrong by `shake` (68, 2) of the face's height."""
    points = (frame.points + shake * face_size(frame.points)).astype(np.float32)
    return FacePicture(frame.image, points, frame.box, frame.border)


def relit(image: Image, face: FacePicture, gains: Floats) -> Image:
    """The inner face in another light: gains (3,) on BGR within a soft mask."""
    if np.allclose(gains, 1, atol=0.002):
        return image
    mask = soft_mask(image.shape[:2], face.points, "inner", 0.06, np.random.default_rng(0))
    return blend(np.clip(image * gains, 0, 255).astype(np.uint8), image, mask)


def held(before: FacePicture, now: FacePicture) -> Image:
    """The inner face of an earlier fake, on the head of now: a swapper that got stuck."""
    return _laid_over(before.image, before, now, now)


def late(fake: Image, now: FacePicture, before: FacePicture, lag: float) -> Image:
    """The fake of now, laid where the head was `lag` (0..1) of a frame ago; bared skin is the real face's."""
    there = (now.points + lag * (before.points - now.points)).astype(np.float32)
    return _laid_over(fake, now, FacePicture(now.image, there, now.box), now)


def _laid_over(image: Image, here: FacePicture, there: FacePicture, under: FacePicture) -> Image:
    """The inner face of `image`, which lies as `here`, moved to lie as `there`, over the picture `under`."""
    matrix = align(five_of(here.points), five_of(there.points))
    height, width = under.image.shape[:2]
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mask = soft_mask((height, width), there.points, "inner", 0.05, np.random.default_rng(0))
    return blend(moved.astype(np.uint8, copy=False), under.image, mask)
