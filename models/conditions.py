"""Conditions that a video is put under before it is watched: a call's bitrate, size, blur, noise, darkness.

Each is one amount of one thing, the same for every frame of every file, real or fake: made for curves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) BGR
Random = np.random.Generator  # seeded anew for each file: the same noise for all

# As a WebRTC sender does: less bitrate, fewer lines; nothing is ever enlarged. kbit/s -> lines.
LADDER = {150.0: 180, 300.0: 270, 600.0: 360, 1200.0: 540, 2500.0: 720}
FINE = 18  # constant rate factor where the bitrate is not what is asked about
SHORTEST = 32  # px, the least side of a picture


@dataclass(frozen=True, slots=True)
class Condition:
    """One amount of one thing."""

    kind: str  # a key of KINDS
    amount: float  # in KINDS' unit

    @property
    def label(self) -> str:
        """For tables, e.g. "bitrate 300 kbit/s"."""
        return f"{self.kind} {self.amount:g} {KINDS[self.kind].unit}".strip()


@dataclass(frozen=True, slots=True)
class Kind:
    """A thing that can be asked about."""

    unit: str
    amounts: tuple[float, ...]
    change: Callable[[Image, float, Random], Image]


def _lines(image: Image, bitrate: float, rng: Random) -> Image:
    return _scaled(image, min(1.0, LADDER[bitrate] / min(image.shape[:2])), rng)


def _scaled(image: Image, factor: float, rng: Random) -> Image:
    height, width = (max(round(n * factor / 2) * 2, SHORTEST) for n in image.shape[:2])  # 4:2:0: even sides
    return _bytes(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _blurred(image: Image, sigma: float, rng: Random) -> Image:
    return _bytes(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def _sharpened(image: Image, amount: float, rng: Random) -> Image:
    fine = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 1.5)
    return _bytes(np.round(image + amount * fine))


def _noisy(image: Image, sigma: float, rng: Random) -> Image:
    return _bytes(np.round(image + sigma * rng.standard_normal(image.shape, dtype=np.float32)))


def _darker(image: Image, gain: float, rng: Random) -> Image:
    return _bytes(np.round(image * np.float32(gain)))


def _bytes(image: NDArray) -> Image:
    return np.clip(image, 0, 255).astype(np.uint8, copy=False)


KINDS = {
    "bitrate": Kind("kbit/s", tuple(LADDER), _lines),
    "size": Kind("of its size", (0.25, 0.35, 0.5, 0.7, 1.0), _scaled),
    "blur": Kind("px sigma", (0.0, 1.0, 2.0, 3.0), _blurred),
    "sharpening": Kind("times unsharp", (0.0, 0.5, 1.0, 2.0), _sharpened),
    "noise": Kind("grey levels", (0.0, 4.0, 8.0, 16.0), _noisy),
    "brightness": Kind("of its light", (0.15, 0.3, 0.6, 1.0), _darker),
}


def write_under(source: Path, out: Path, condition: Condition, seconds: float | None = None) -> None:
    """Write a video as it looks under a condition: H.264 in Matroska, upright, its frame times kept.

    seconds: at most, from its beginning. Raises av.FFmpegError, OSError where it cannot be read, ValueError
    where it has no picture.
    """
    kind, rng = KINDS[condition.kind], np.random.default_rng(0)
    with av.open(str(source)) as back, av.open(str(out), "w", format="matroska") as container:
        if not back.streams.video:
            raise ValueError("no video in it")
        video = back.streams.video[0]
        base, first, stream = video.time_base or Fraction(1, 1000), None, None
        for frame in back.decode(video):
            if frame.pts is None:
                continue
            first = frame.pts if first is None else first
            if seconds is not None and (frame.pts - first) * base >= seconds:
                break
            upright = np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90)
            image = _even(kind.change(np.ascontiguousarray(upright, np.uint8), condition.amount, rng))
            if stream is None:
                stream = _stream(container, image, video, base, condition)
            elif image.shape[:2] != (stream.height, stream.width):
                image = _bytes(cv2.resize(image, (stream.width, stream.height)))  # it changed in mid-stream
            changed = av.VideoFrame.from_ndarray(image, format="bgr24")
            changed.pts, changed.time_base = frame.pts - first, base
            container.mux(stream.encode(changed))
        if stream is None:
            raise ValueError("no picture in it")
        container.mux(stream.encode(None))


def _even(image: Image) -> Image:
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[: height // 2 * 2, : width // 2 * 2])


def _stream(
    container: av.container.OutputContainer,
    image: Image,
    like: VideoStream,
    base: Fraction,
    condition: Condition,
) -> VideoStream:
    stream = container.add_stream("libx264", rate=like.average_rate or 25)
    stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
    stream.time_base = stream.codec_context.time_base = base
    stream.thread_count = 1
    options: dict[str, object] = {"preset": "veryfast", "tune": "zerolatency"}
    if condition.kind == "bitrate":
        bits = round(condition.amount * 1000)
        options |= {"b": str(bits), "maxrate": str(bits), "bufsize": str(bits)}  # a second's worth of slack
    else:
        options["crf"] = str(FINE)
    stream.options = options
    return stream
