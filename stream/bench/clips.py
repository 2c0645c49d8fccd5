"""The benchmark's clips, made on the spot: people before a grey wall, the first one's face swapped midway."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream.sources import demo

ASSETS = Path(__file__).parent.parent / "assets"
FPS = 30
KEY_FRAMES = 2.0  # s from one to the next
BITS_A_PIXEL = 2_500_000 / (1280 * 720)
PORTRAITS = ("eileen_collins.jpg", "grace_hopper.jpg")
SHARE = 0.9  # of its cell that a person's picture takes

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows. It is served again and again: the end goes over into the beginning."""

    width: int = 1280  # px
    height: int = 720
    faces: int = 2
    seconds: float = 16.0
    swapped: bool = True  # the first face is another's in the second half, as in `facewitness watch demo`
    b_frames: int = 0  # in a row at most; cameras and calls have none, broadcasts do

    @property
    def swap_at(self) -> float:
        """s, from when on the first face is swapped."""
        return self.seconds / 2

    @property
    def label(self) -> str:
        """Such as "1280x720, 2 faces"."""
        faces = f"{self.faces} face{'s' if self.faces != 1 else ''}"
        return f"{self.width}x{self.height}, {faces}" + (", B-frames" if self.b_frames else "")

    def cells(self) -> list[tuple[float, float, float]]:
        """Where each person stands: centre x, y and height in px of the demo's 640x480 picture of them."""
        columns, rows = max(min(self.faces, 3), 1), max(-(-self.faces // 3), 1)
        wide, high = self.width / columns, self.height / rows
        tall = min(SHARE * high, SHARE * wide * demo.HEIGHT / demo.WIDTH, demo.HEIGHT)
        places = [(k % columns, k // columns) for k in range(self.faces)]
        return [((column + 0.5) * wide, (row + 0.5) * high, tall) for column, row in places]


def make_clip(path: Path, clip: Clip = Clip()) -> None:
    """Write a clip: H.264 in MPEG-TS or by the suffix, `FPS` a second; the same on every run."""
    container = "mpegts" if path.suffix == ".ts" else None
    with av.open(str(path), "w", format=container) as out:
        options = {"preset": "veryfast", "bf": str(clip.b_frames), "threads": "1"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.bit_rate = round(BITS_A_PIXEL * clip.width * clip.height)
        stream.gop_size = round(KEY_FRAMES * FPS)
        for picture in pictures(clip):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode(None))


def pictures(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """The clip's pictures before encoding, (H, W, 3) uint8 BGR."""
    rng = np.random.default_rng(7)
    grey = np.linspace(90, 160, clip.width, dtype=np.float32)[None, :, None]
    wall = np.ascontiguousarray(np.broadcast_to(grey, (clip.height, clip.width, 3)))
    noise = rng.normal(0, 3, (8, clip.height, clip.width, 1)).astype(np.float32)
    cells, count = clip.cells(), round(clip.seconds * FPS)
    swap_at = clip.swap_at if clip.swapped else math.inf
    moving = iter(demo.pictures(clip.seconds, swap_at)) if cells else iter(())

    def paint(i: int) -> NDArray[np.uint8]:
        picture = wall + noise[i % len(noise)]
        for k, (x, y, tall) in enumerate(cells):
            turn = 2 * math.pi * (i / count + k / len(cells))
            centre = (x, y) if k == 0 else (x + 0.1 * tall * math.sin(turn), y + 0.05 * tall * math.cos(turn))
            person = _scaled(next(moving), tall) if k == 0 else _portrait(k, round(0.8 * tall))
            _paste(picture, person, centre)
        return picture.clip(0, 255).astype(np.uint8)

    return map(paint, range(count))


def _scaled(picture: NDArray[np.uint8], tall: float) -> Floats:
    scale = tall / picture.shape[0]
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)


@cache
def _portrait(number: int, tall: int) -> Floats:
    """Another person: the portraits in turn, mirrored the second time."""
    picture = cv2.imread(str(ASSETS / PORTRAITS[(number - 1) % 2]))
    assert picture is not None
    return _scaled(np.asarray(picture[:, ::-1] if number > 2 else picture, np.uint8), tall)


def _paste(picture: Floats, person: Floats, centre: tuple[float, float]) -> None:
    height, width = person.shape[:2]
    x, y = round(centre[0] - width / 2), round(centre[1] - height / 2)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, picture.shape[0]), min(x + width, picture.shape[1])
    picture[top:bottom, left:right] = person[top - y : bottom - y, left - x : right - x]
