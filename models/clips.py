"""Clips for the temporal head: windows of crops from videos, and from stills moved along smooth head paths.

A made fake is made again for every frame with the same seed, so the manipulation holds along the clip, while
it is as unsteady as a live swapper's (models.fakes.unsteady).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face
from models.dataset import REGIONS, VIDEO_BOX, Clip, Pairs, nudged
from models.degrade import Degradation
from models.fakes import FacePicture, Maker
from models.fakes.occluder import Occluder
from models.fakes.unsteady import Unsteadiness, held, late, relit, shaken, smooth_path
from models.landmarks import move

WHOLE = ("generated",)  # families that give a picture of their own: they move as one, and not along a video

CROSSED = 0.2  # the share of clips in which something crosses the face


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What the head sees of one track: T crops in time."""

    crops: NDArray[np.uint8]  # (T, S, S, 3) BGR
    weights: NDArray[np.float32]  # (T,), 0..1
    label: float  # 1 = fake
    source: str


def moving_still(face: FacePicture, count: int, rng: np.random.Generator) -> list[FacePicture]:
    """A still panned, zoomed, turned and squeezed along smooth paths, or held still: `count` frames."""
    amount = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.2, 1.0))
    pan = amount * 0.12 * face.side * np.stack([smooth_path(count, rng), smooth_path(count, rng)], 1)
    zoom = np.exp(amount * 0.08 * smooth_path(count, rng))
    roll = amount * 6.0 * smooth_path(count, rng)
    squeeze = 1 - 0.05 * amount * np.minimum(np.abs(smooth_path(count, rng)), 2)  # as a head turned aside
    centre = (face.box[:2] + face.box[2:]) / 2
    size = (face.image.shape[1], face.image.shape[0])
    frames = []
    for t in range(count):
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), float(roll[t]), float(zoom[t]))
        matrix[:, 0] *= squeeze[t]
        matrix[:, 2] += pan[t] + matrix[:, 0] * (1 / squeeze[t] - 1) * centre[0]
        image = cv2.warpAffine(face.image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
        middle = matrix[:, :2] @ centre + matrix[:, 2]
        half = (face.box[2:] - face.box[:2]) * zoom[t] / 2
        box = np.concatenate([middle - half, middle + half]).astype(np.float32)
        frames.append(
            FacePicture(image.astype(np.uint8, copy=False), move(face.points, matrix), box, face.border)
        )
    return frames


def fake_along(
    frames: list[FacePicture],
    donors: list[FacePicture],
    make: Maker,
    rng: np.random.Generator,
    covered: NDArray[np.float32] | None = None,
) -> list[FacePicture]:
    """The same manipulation on each frame, by one seed: unsteady in its place, light and success.

    donors: one for each frame, and one more into whom the identity may drift. covered: (T,) 0..1, how much of
    the face something hides.
    """
    hidden = np.zeros(len(frames), np.float32) if covered is None else covered
    seed, unsteady = int(rng.integers(2**31)), Unsteadiness.draw(frames, hidden, rng)
    made: list[FacePicture] = []
    for t, frame in enumerate(frames):
        if unsteady.fails[t] and unsteady.failing == "absent":
            made.append(frame)
            continue
        astray = unsteady.fails[t] and unsteady.failing == "astray"
        seen = shaken(frame, unsteady.shakes[t] * (6 if astray else 1))
        stuck = bool(made) and unsteady.fails[t] and unsteady.failing == "frozen"
        fake = held(made[-1], frame) if stuck else make(seen, donors[t], np.random.default_rng(seed)).image
        if unsteady.drift[t] > 0.02 and not stuck:
            other = make(seen, donors[-1], np.random.default_rng(seed)).image
            fake = cv2.addWeighted(fake, 1 - float(unsteady.drift[t]), other, float(unsteady.drift[t]), 0)
        fake = relit(np.asarray(fake, np.uint8), frame, unsteady.gains[t])
        if unsteady.lag and t:
            fake = late(fake, frame, frames[t - 1], unsteady.lag)
        made.append(frame.with_image(fake))
    return made


def finish(frames: list[FacePicture], spec: CropSpec, seed: int) -> NDArray[np.uint8]:
    """Degrade a clip as one and cut its crops, the boxes trembling a little: (T, S, S, 3)."""
    rng = np.random.default_rng(seed)
    side = frames[0].side
    degradation = Degradation.draw(rng, side)
    offset, scale = rng.uniform(-0.03, 0.03, 2), float(rng.uniform(0.95, 1.05))
    after = degradation.apply([f.image for f in frames], side, rng)
    crops = []
    for frame, out in zip(frames, after, strict=True):
        box = degradation.moved_box(frame.box, frame.image, out)
        crops.append(crop_face(out, nudged(box, offset + rng.normal(0, 0.006, 2), scale), spec))
    return np.stack(crops)


def still_windows(pairs: Pairs, index: int, count: int, rng: np.random.Generator) -> list[Window]:
    """A real and a fake window of one still in motion."""
    still, name = pairs.stills.face(index), str(pairs.stills.names[index])
    family, path = pairs.fakes.draw(rng), int(rng.integers(2**31))
    frames = moving_still(still, count, np.random.default_rng(path))
    donors = _two_donors(pairs, still, name, count, rng)
    make = pairs.fakes.makers[family]
    fakes = None
    if family in WHOLE:
        fakes = moving_still(make(still, still, rng), count, np.random.default_rng(path))
    return _both(pairs, *_crossed(frames, fakes, donors, make, rng), f"still:{name}", family, rng)


def video_windows(pairs: Pairs, clip: Clip, count: int, rng: np.random.Generator) -> list[Window]:
    """A real and a made fake window of a real video."""
    start = int(rng.integers(max(1, len(clip.crops) - count + 1)))
    taken = range(start, min(start + count, len(clip.crops)))
    frames = [clip.face(i) for i in taken]
    family = pairs.fakes.draw(rng, without=WHOLE)
    if family in REGIONS:  # the same lips, at another time
        shift = int(rng.integers(1, max(2, len(clip.crops))))
        donors = [clip.face((i + shift) % len(clip.crops)) for i in (*taken, start)]
    else:
        donors = _two_donors(pairs, frames[0], clip.name, len(frames), rng)
    crossed = _crossed(frames, None, donors, pairs.fakes.makers[family], rng)
    return _both(pairs, *crossed, clip.name, family, rng)


def _crossed(
    frames: list[FacePicture],
    fakes: list[FacePicture] | None,
    donors: list[FacePicture],
    make: Maker,
    rng: np.random.Generator,
) -> tuple[list[FacePicture], list[FacePicture]]:
    """The real and the fake clip, now and then with something that crosses the face in both.

    Some swappers keep what covers a face, others paint the new face over it. fakes: None = make them here.
    """
    if rng.random() >= CROSSED:
        return frames, fakes if fakes is not None else fake_along(frames, donors, make, rng)
    thing = Occluder.draw(frames[0], len(frames), rng)
    covered = np.array([thing.covers(t) for t in range(len(frames))], np.float32)
    seen = _behind(thing, frames)
    if fakes is None and rng.random() < 0.5:
        return seen, fake_along(seen, donors, make, rng, covered)
    clear = fakes if fakes is not None else fake_along(frames, donors, make, rng, covered)
    return seen, _behind(thing, clear)


def _behind(thing: Occluder, frames: list[FacePicture]) -> list[FacePicture]:
    return [frame.with_image(thing.over(frame, t)) for t, frame in enumerate(frames)]


def _two_donors(
    pairs: Pairs, face: FacePicture, name: str, count: int, rng: np.random.Generator
) -> list[FacePicture]:
    """One donor for all `count` frames, and one into whom the identity may drift."""
    return [pairs.donor(face, rng, name)] * count + [pairs.donor(face, rng, name)]


def _both(
    pairs: Pairs,
    frames: list[FacePicture],
    fakes: list[FacePicture],
    name: str,
    family: str,
    rng: np.random.Generator,
) -> list[Window]:
    seed, ones = int(rng.integers(2**31)), np.ones(len(frames), np.float32)
    return [
        Window(finish(frames, pairs.spec, seed), ones, 0.0, name),
        Window(finish(fakes, pairs.spec, seed), ones, 1.0, f"{name}:{family}"),
    ]


def labelled_window(
    clip: Clip, label: float, spec: CropSpec, count: int, rng: np.random.Generator, plain: bool
) -> Window:
    """A window of a labelled video, as it is (`plain`) or through one more degradation."""
    start = int(rng.integers(max(1, len(clip.crops) - count + 1)))
    taken = range(start, min(start + count, len(clip.crops)))
    if plain:
        crops = np.stack([crop_face(clip.crops[i], VIDEO_BOX, spec) for i in taken])
    else:
        crops = finish([clip.face(i) for i in taken], spec, int(rng.integers(2**31)))
    return Window(crops, clip.weights[start : start + count], label, clip.name)
