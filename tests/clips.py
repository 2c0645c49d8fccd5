"""Makes the small video clips that the tests read: moving portraits and patterns, whole or damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) BGR

MARKS = 16  # squares that carry a picture's number as bits
MARK = 16  # px, the side of one


def portrait(width: int = 320, height: int = 240, shift: int = 0) -> Picture:
    """NASA's portrait of Eileen Collins (scikit-image's `astronaut`), moved by `shift` px to the right."""
    import cv2
    from skimage import data

    face = np.ascontiguousarray(data.astronaut()[:384, :, ::-1])  # 512x384, the face in its upper half
    return np.roll(cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA), shift, axis=1)


def portraits(count: int, width: int = 320, height: int = 240, step: int = 2) -> Iterator[Picture]:
    """A portrait that moves by `step` px a picture."""
    still = portrait(width, height)
    for i in range(count):
        yield np.roll(still, i * step, axis=1)


def numbered(count: int, width: int = 320, height: int = 240, first: int = 0) -> Iterator[Picture]:
    """Grey pictures that carry their number, so that a test knows which one it got; see `number_of`."""
    for i in range(first, first + count):
        picture = np.full((height, width, 3), 64 + i * 5 % 64, np.uint8)
        for bit in range(MARKS):
            value = 235 if i >> bit & 1 else 16
            picture[:MARK, bit * MARK : (bit + 1) * MARK] = value
        yield picture


def number_of(picture: Picture) -> int:
    """The number that a picture of `numbered` carries; survives lossy coding."""
    half = MARK // 2
    return sum(1 << b for b in range(MARKS) if picture[half, b * MARK + half].mean() > 125)


def quadrants(width: int = 96, height: int = 64) -> Picture:
    """Red, green, blue and white quarters, clockwise from the top left: tells turns and mirrors apart."""
    picture = np.zeros((height, width, 3), np.uint8)
    x, y = width // 2, height // 2
    picture[:y, :x], picture[:y, x:] = (0, 0, 255), (0, 255, 0)
    picture[y:, x:], picture[y:, :x] = (255, 0, 0), (255, 255, 255)
    return picture


def corners(picture: Picture) -> str:
    """The colours of the quarters as letters, clockwise from the top left: "RGBW" for `quadrants`."""
    h, w = picture.shape[:2]
    points = [(h // 4, w // 4), (h // 4, 3 * w // 4), (3 * h // 4, 3 * w // 4), (3 * h // 4, w // 4)]
    names = {(1, 0, 0): "B", (0, 1, 0): "G", (0, 0, 1): "R", (1, 1, 1): "W"}
    return "".join(names.get(tuple(int(v > 127) for v in picture[p]), "?") for p in points)


def write_clip(
    path: Path,
    pictures: Iterable[Picture],
    *,
    rate: int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 30,
    b_frames: int = 0,
    times: list[float] | None = None,
    format: str | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Encode pictures of one size into a file and return its path.

    times: s of each picture, for a variable rate; default at `rate` pictures per second.
    options: the encoder's; muxer: the container's. The same bytes on every run.
    """
    base = Fraction(1, 1000) if times else Fraction(1, rate)
    with av.open(str(path), "w", format=format, options=muxer or {}) as container:
        stream = None
        for i, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=options or _quick(codec))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.codec_context.time_base = base
                stream.codec_context.thread_count = 1
                stream.codec_context.gop_size = gop
                stream.codec_context.max_b_frames = b_frames
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(times[i] * 1000) if times else i, base
            container.mux(stream.encode(frame))
        if stream is None:
            raise ValueError("a clip needs a picture")
        container.mux(stream.encode(None))
    return path


def _quick(codec: str) -> dict[str, str]:
    return {"preset": "ultrafast", "crf": "20"} if codec == "libx264" else {}


def write_sound(path: Path, seconds: float = 0.5) -> Path:
    """A file with a tone and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "aac" if path.suffix == ".mp4" else "pcm_s16le", rate=8000, layout="mono"
        )
        tone = (8000 * np.sin(np.arange(int(8000 * seconds)) * 0.3)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def resized_midway(path: Path, count: int = 20) -> Path:
    """MPEG-TS whose pictures grow in mid-stream: `count` of 320x240, then `count` of 480x360."""
    parts = []
    for i, (width, height) in enumerate([(320, 240), (480, 360)]):
        part = path.with_suffix(f".{i}.ts")
        times = [(i * count + k) / 30 for k in range(count)]
        write_clip(part, portraits(count, width, height), times=times, gop=count, format="mpegts")
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))
    return path


def rotated(path: Path, source: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A copy of an MP4 whose display matrix is (a, b, c, d): (0, 1, -1, 0) turns clockwise by 90 degrees."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 40 if data[at] == 0 else 52  # version 1 has 64-bit times
    a, b, c, d = (v << 16 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def cut(path: Path, source: Path, part: float) -> Path:
    """The first `part` (0..1) of a file's bytes."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def damaged(path: Path, source: Path, harm: Callable[[int, bytes], bytes | None]) -> Path:
    """A copy into which `harm` broke packets: it gets the number and bytes of each; None drops the packet."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as broken:
        stream = broken.add_stream_from_template(whole.streams.video[0])
        number = 0
        for packet in whole.demux(video=0):
            if not packet.size:
                continue
            data = harm(number, bytes(packet))
            number += 1
            if data is None:
                continue
            copy = av.Packet(data)
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            broken.mux(copy)
    return path


def garbled(data: bytes) -> bytes:
    """A packet's bytes with every 37th of the last two thirds turned over."""
    harmed = bytearray(data)
    for i in range(len(harmed) // 3, len(harmed), 37):
        harmed[i] ^= 0xA5
    return bytes(harmed)


def read_all(path: Path) -> list[Picture]:
    """Every picture of a clip, decoded by PyAV alone: what a test compares with."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
