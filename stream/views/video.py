"""Turns pictures of any size and time into one H.264 stream; shared by the recording and the push."""

import math
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stream.errors import OutputError

ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that this FFmpeg has
CLOCK = 60_000  # ticks a second; MPEG-4 takes no more than 65535
KEY = 2.0  # s between key frames: what a crash costs at most, and what a new viewer waits
SMALLEST = 16  # px a side; encoders refuse less
BITS = 0.15  # ceiling in bits per pixel at 30 fps: about 4 Mbit/s for 720p


def choose_encoder() -> str:
    """The encoder that will be used. Raises OutputError if FFmpeg was built without any."""
    for name in ENCODERS:
        if name in av.codecs_available:
            try:
                av.Codec(name, "w")
            except ValueError:  # only the decoder is there
                continue
            return name
    raise OutputError(f"this FFmpeg encodes no video (looked for {', '.join(ENCODERS)})")


def fit(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bring a picture to a size: as it is, padded by a pixel to an even size, or with bars around it.

    image: (H, W, 3) uint8 BGR. Returns (height, width, 3).
    """
    h, w = image.shape[:2]
    if (w, h) == (width, height):
        return image
    if 0 <= width - w <= 1 and 0 <= height - h <= 1:
        return cv2.copyMakeBorder(image, 0, height - h, 0, width - w, cv2.BORDER_REPLICATE)  # type: ignore[return-value]
    scale = min(width / w, height / h)
    w, h = min(max(round(w * scale), 1), width), min(max(round(h * scale), 1), height)
    small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (height - h) // 2, (width - w) // 2
    sides = top, height - h - top, left, width - w - left
    return cv2.copyMakeBorder(small, *sides, cv2.BORDER_CONSTANT, value=(0, 0, 0))  # type: ignore[return-value]


class Timeline:
    """Turns the source's time into strictly rising ticks from 0. Pure.

    Gaps stay gaps. A time that goes back (a new connection) goes on where the last one was; the same time
    again (a still picture while the source is away) is one picture's length later.
    """

    def __init__(self, rate: float) -> None:
        """rate: pictures per second where the source's time does not tell."""
        self._step = max(round(CLOCK / rate), 1)
        self._origin = math.nan  # s
        self._time = math.nan  # s, of the last picture
        self._ticks = -1

    def place(self, time: float) -> int:
        """The ticks of a picture of `time` s."""
        if self._ticks < 0:
            self._origin, ticks = time, 0
        elif time == self._time:
            ticks = self._ticks + self._step
        else:
            if time < self._time:
                self._origin = time - (self._ticks + self._step) / CLOCK
            ticks = max(round((time - self._origin) * CLOCK), self._ticks + 1)
        self._time, self._ticks = time, ticks
        return ticks


class VideoWriter:
    """One H.264 stream in an open container, of the first picture's size and variable rate."""

    def __init__(
        self, container: OutputContainer, size: tuple[int, int], rate: float, options: dict[str, str]
    ) -> None:
        """size: (width, height) px of the first picture. options: the encoder's, where it is libx264.

        Raises av.error.FFmpegError.
        """
        self.width, self.height = (max(n + n % 2, SMALLEST) for n in size)
        self._container = container
        self._timeline = Timeline(rate)
        self._key = -math.inf  # ticks of the last key frame
        encoder = choose_encoder()
        ceiling = int(self.width * self.height * 30 * BITS)
        limits = {"crf": "23", "maxrate": str(ceiling), "bufsize": str(2 * ceiling), "forced-idr": "1"}
        if encoder == "libx264":
            options = {"tune": "zerolatency", **limits, **options}
        else:
            options = {}
        about = Fraction(rate).limit_denominator(1001)
        stream = cast(VideoStream, container.add_stream(encoder, rate=about, options=options))
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, CLOCK)
        context.thread_count = 1
        context.gop_size = 600  # key frames are asked for by time, not by count
        context.max_b_frames = 0
        context.colorspace, context.color_range = 5, 1  # BT.601, limited: what cvtColor makes
        if encoder != "libx264":
            context.bit_rate = ceiling
        self._stream = stream

    @property
    def stream(self) -> VideoStream:
        """The container's stream."""
        return self._stream

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Encode one picture and hand it to the container. Raises av.error.FFmpegError, OSError."""
        self._container.mux(self.encode(image, time))

    def encode(self, image: NDArray[np.uint8], time: float) -> list[av.Packet]:
        """Encode one picture; nothing is written. Raises av.error.FFmpegError."""
        fitted = fit(image, self.width, self.height)
        yuv = cv2.cvtColor(fitted, cv2.COLOR_BGR2YUV_I420)
        frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")  # type: ignore[arg-type]
        frame.time_base = Fraction(1, CLOCK)
        frame.pts = self._timeline.place(time)
        if frame.pts - self._key >= KEY * CLOCK:
            self._key, frame.pict_type = frame.pts, PictureType.I
        return self._stream.encode(frame)

    def close(self) -> None:
        """Hand on what the encoder holds back and end the container. Raises av.error.FFmpegError."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class RawWriter:
    """Unpacked pictures of the first one's size, as virtual cameras take them (YUY2)."""

    def __init__(self, container: OutputContainer, size: tuple[int, int]) -> None:
        """size: (width, height) px of the first picture. Raises av.error.FFmpegError."""
        self.width, self.height = (n + n % 2 for n in size)
        self._container = container
        self._stream = cast(VideoStream, container.add_stream("rawvideo", rate=30))
        self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuyv422"
        self._timeline = Timeline(30)

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Hand on one picture. Raises av.error.FFmpegError."""
        frame = av.VideoFrame.from_ndarray(fit(image, self.width, self.height), format="bgr24")
        frame = frame.reformat(format="yuyv422")
        frame.pts, frame.time_base = self._timeline.place(time), Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """End the container."""
        self._container.close()
