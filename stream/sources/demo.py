"""The source `demo`: a clip made on the spot of a person whose face is swapped in the second half.

Both halves go through the same chain (motion, resampling, sensor noise, H.264); only the swap differs. It is
what a live attack does: the other person's inner face, decoded at a low resolution, resized, matched in
colour, jittering, blended with a soft mask.
"""

import json
import logging
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream.coded import Tap
from stream.sources import SourceOptions, file
from stream.values import Frame

log = logging.getLogger(__name__)

SCHEMES = ("demo",)
LIVE = False
PACKETS = True

WIDTH, HEIGHT, FPS = 640, 480, 30
SECONDS = 16.0
SWAP_AT = 8.0  # s; from here on the face is another's
ZOOM = 1.2  # px of the clip per px of the portrait
CENTRE = (255.0, 216.0)  # px of the portrait in the middle of the clip
HEAD, HEAD_AXES, NECK = (265.0, 190.0), (128.0, 180.0), (268.0, 370.0)  # px of the portrait
FACE = (150, 128, 386, 364)  # x1 y1 x2 y2, px of the portrait: where the swap is pasted
DECODED = 80  # px, the side of the swapped face as it leaves the attacker's decoder
BIT_RATE = 1_500_000

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def frames(url: str, options: SourceOptions, tap: Tap | None = None) -> Generator[Frame, None, None]:
    """Make the clip in a temporary folder, read it as any file is read, remove it when reading ends."""
    with tempfile.TemporaryDirectory(prefix="facewitness-demo-") as folder:
        path = Path(folder) / "demo.mp4"
        log.info("making the demo clip")
        make_clip(path)
        yield from file.frames(str(path), options, tap)


def make_clip(path: Path, seconds: float = SECONDS, swap_at: float = SWAP_AT) -> None:
    """Write the clip as H.264 in MP4: `WIDTH` x `HEIGHT` px, `FPS` a second, the same on every run."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "superfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.time_base = BIT_RATE, Fraction(1, FPS)
        for index, image in enumerate(pictures(seconds, swap_at)):
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def pictures(seconds: float = SECONDS, swap_at: float = SWAP_AT) -> Iterator[Image]:
    """The clip's pictures before encoding, each (HEIGHT, WIDTH, 3) uint8 BGR."""
    random = np.random.default_rng(2022)
    portrait, points = _asset("grace_hopper.jpg")
    swap, motion, noise = _make_swap(portrait, points), _Motion.over_clip(), _noise_fields(random)
    for index in range(round(seconds * FPS)):
        time = index / FPS
        source = swap.paste(portrait, time, random) if time >= swap_at else portrait
        x, y = motion.maps(time)
        moved = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        yield _expose(np.asarray(moved, np.uint8), time, noise[int(random.integers(len(noise)))])


def _asset(name: str) -> tuple[Image, Floats]:
    """A portrait, (H, W, 3) uint8 BGR, and its 68 landmarks, float32 (68, 2) px."""
    folder = files("stream") / "assets"
    image = cv2.imdecode(np.frombuffer((folder / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    points = json.loads((folder / "landmarks.json").read_text("utf-8"))[name]
    return np.asarray(image, np.uint8), np.array(points, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    """Where each pixel of the clip comes from: the camera's drift, a head that moves before its background.

    The head's displacement is a sum of smooth fields, so that it needs no model of the face: a rigid part
    that fades out around the head, and parts in proportion to depth that look like turning and nodding.
    """

    fields: Floats  # (8, H * W): 1, x, y, head, head x, head y, depth, jaw; x and y in px of the portrait

    @staticmethod
    def over_clip() -> "_Motion":
        """The fields at the clip's resolution."""
        row, column = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        x = (column - (WIDTH - 1) / 2) / ZOOM + CENTRE[0]
        y = (row - (HEIGHT - 1) / 2) / ZOOM + CENTRE[1]
        radius = np.hypot((x - HEAD[0]) / HEAD_AXES[0], (y - HEAD[1]) / HEAD_AXES[1])
        head = _smooth_step((1.9 - radius) / 0.9)
        depth = _smooth_step(1.15 - np.hypot((x - HEAD[0]) / 135, (y - 235) / 150))
        jaw = _smooth_step(1.2 - np.hypot((x - 268) / 75, (y - 315) / 42))
        fields = (np.ones_like(x), x, y, head, head * (x - NECK[0]), head * (y - NECK[1]), depth, jaw)
        return _Motion(np.stack([field.ravel() for field in fields]).astype(np.float32))

    def maps(self, time: float) -> tuple[Floats, Floats]:
        """The two maps of cv2.remap, float32 (H, W), at `time` s."""
        roll = 0.05 * _sway(time, 0.19, 0.6)
        zoom = 1 - 0.02 * _sway(time, 0.11, 0.9)
        camera_x = CENTRE[0] * (1 - zoom) + 4 * _sway(time, 0.13, 1.7)
        camera_y = CENTRE[1] * (1 - zoom) + 3 * _sway(time, 0.21, 2.9)
        head_x, head_y = 9 * _sway(time, 0.23, 0.0), 3.5 * _sway(time, 0.31, 1.1)
        turn, nod = 8 * _sway(time, 0.17, 2.0), 3.5 * _sway(time, 0.27, 0.4)
        talk = 2.2 * max(0.0, _sway(time, 1.7, 0.0)) * (0.5 + 0.5 * np.sin(0.9 * time))
        parts = [
            [camera_x, zoom, 0, -head_x, 0, roll, -turn, 0],
            [camera_y, 0, zoom, -head_y, -roll, 0, -nod, -talk],
        ]
        x, y = (np.array(parts, np.float32) @ self.fields).reshape(2, HEIGHT, WIDTH)
        return x, y


@dataclass(frozen=True, slots=True, eq=False)
class _Swap:
    """The other's inner face, as it lies in `FACE` of the portrait."""

    face: Image  # (DECODED, DECODED, 3) BGR
    mask: Floats  # (DECODED, DECODED) 0..1

    def paste(self, portrait: Image, time: float, random: np.random.Generator) -> Image:
        """A copy of the portrait with the face over it; it jitters and flickers as live swaps do."""
        x1, y1, x2, y2 = FACE
        scale = (x2 - x1) / DECODED
        grow = 1 + 0.008 * random.standard_normal()
        shift_x, shift_y = 0.7 * random.standard_normal(2) + 0.8 * _sway(time, 1.3, 0.0)
        centre = (x2 - x1) / 2 * (1 - grow)
        matrix = np.array([[scale * grow, 0, centre + shift_x], [0, scale * grow, centre + shift_y]])
        size = (x2 - x1, y2 - y1)
        face = cv2.warpAffine(
            self.face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = cv2.warpAffine(self.mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        gain = np.float32(1 + 0.012 * random.standard_normal() + 0.02 * _sway(time, 0.9, 0.3))
        picture = portrait.copy()
        under = picture[y1:y2, x1:x2]
        under[:] = np.clip(under + mask * (face * gain - under), 0, 255).astype(np.uint8)
        return picture


def _make_swap(portrait: Image, points: Floats) -> _Swap:
    """Warp the other's face to the portrait's landmarks, match its colour and find its mask."""
    donor, donor_points = _asset("eileen_collins.jpg")
    x1, y1, x2, _ = FACE
    target = (points - (x1, y1)) * (DECODED / (x2 - x1))
    map_x, map_y = _thin_plate(target, donor_points, DECODED)
    face = cv2.remap(donor, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((DECODED, DECODED), np.float32)
    inner = np.vstack(
        [target[3:14], target[17:27] - (0, 3.0)]
    )  # jaw below the ears, brows and a little above
    middle = inner.mean(axis=0)
    hull = cv2.convexHull((middle + 0.93 * (inner - middle)).astype(np.float32))
    cv2.fillConvexPoly(mask, hull.round().astype(np.int32), 1.0)
    host = cv2.resize(_cut(portrait, FACE), (DECODED, DECODED), interpolation=cv2.INTER_AREA)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.2), np.float32)
    return _Swap(_match_colour(np.asarray(face, np.uint8), np.asarray(host, np.uint8), mask > 0.5), soft)


def _thin_plate(at: Floats, to: Floats, size: int) -> tuple[Floats, Floats]:
    """Map a square of `size` px so that the points `at` take their colour from the points `to`, both (N, 2).

    Bookstein, "Principal Warps: Thin-Plate Splines", PAMI 11(6), 1989, p. 567; a small ridge keeps it smooth.
    """

    def kernel(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * squared * np.log(squared + 1e-9)

    n = len(at)
    affine = np.hstack([np.ones((n, 1)), at])
    squared = ((at[:, None].astype(float) - at[None]) ** 2).sum(-1)
    system = np.block([[kernel(squared) + 20 * np.eye(n), affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.vstack([to, np.zeros((3, 2))]))
    row, column = np.mgrid[0:size, 0:size].astype(float)
    grid = np.stack([column.ravel(), row.ravel()], axis=1)
    basis = kernel(((grid[:, None] - at[None]) ** 2).sum(-1))
    mapped = basis @ weights[:n] + np.hstack([np.ones((len(grid), 1)), grid]) @ weights[n:]
    planes = mapped.astype(np.float32).reshape(size, size, 2)
    return np.ascontiguousarray(planes[..., 0]), np.ascontiguousarray(planes[..., 1])


def _match_colour(face: Image, host: Image, where: NDArray[np.bool_]) -> Image:
    """Give `face` the mean and spread of `host`'s colours in L*a*b* (Reinhard et al., CG&A 21(5), 2001)."""
    ours, theirs = (cv2.cvtColor(i.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) for i in (face, host))
    mean, other = ours[where].mean(axis=0), theirs[where].mean(axis=0)
    spread = np.clip(theirs[where].std(axis=0) / ours[where].std(axis=0), 0.6, 1.4)
    matched = cv2.cvtColor(((ours - mean) * spread + other).astype(np.float32), cv2.COLOR_Lab2BGR)
    return (np.clip(matched, 0, 1) * 255).round().astype(np.uint8)


def _noise_fields(random: np.random.Generator) -> NDArray[np.int16]:
    """Four fields of a sensor's noise, int16 (4, H, W, 3), sigma about 2."""
    fine = random.standard_normal((4, HEIGHT, WIDTH, 3), np.float32) * np.float32(2.6)
    return np.stack([cv2.GaussianBlur(field, (0, 0), 0.5) for field in fine]).round().astype(np.int16)


def _expose(image: Image, time: float, noise: NDArray[np.int16]) -> Image:
    """A small drift of brightness, and the sensor's noise."""
    drift = cv2.convertScaleAbs(image, alpha=1 + 0.02 * _sway(time, 0.15, 0.5), beta=0)
    return np.asarray(cv2.add(drift, noise, dtype=cv2.CV_8U), np.uint8)


def _sway(time: float, hertz: float, phase: float) -> float:
    """A smooth motion between about -1 and 1 that does not look periodic."""
    angle = 2 * np.pi * hertz * time + phase
    return float(0.7 * np.sin(angle) + 0.3 * np.sin(2.27 * angle + 1.3))


def _smooth_step(value: Floats) -> Floats:
    """0 below 0, 1 above 1, without an edge between."""
    value = np.clip(value, 0, 1).astype(np.float32)
    return value * value * (3 - 2 * value)


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    return image[box[1] : box[3], box[0] : box[2]]
