"""One encoder for a kind of picture and a codec, however many viewers: H.264 or VP8, made for live."""

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from stream.relay.receiving import VIDEO_CLOCK

CODECS = ("H264", "VP8")  # in the order of preference: H.264 costs a third of VP8
_NAMES = {"H264": "libx264", "VP8": "libvpx"}
_GOP = 600  # pictures; key frames are made when a viewer needs one
_TIME_BASE = Fraction(1, VIDEO_CLOCK)


def bit_rate(width: int, height: int) -> int:
    """Bits a second that a picture of this size gets: 640x480 1.5 M, 1280x720 2.6 M, 1920x1080 4.5 M."""
    return 1_000_000 + round(1.7 * width * height)


class Encoder:
    """Pictures in, packets out; begins anew when the size changes. For one thread."""

    def __init__(self, codec: str) -> None:
        """codec: one of CODECS."""
        self.codec = codec
        self._context: av.VideoCodecContext | None = None
        self._last = -1  # ticks
        self.count = 0  # pictures encoded

    def encode(self, picture: av.VideoFrame, time: float, key: bool) -> list[av.Packet]:
        """Encode one yuv420p picture at `time` s; `key`: so that a viewer can begin with it."""
        context = self._context
        if context is None or (context.width, context.height) != (picture.width, picture.height):
            context = self._context = self._open(picture.width, picture.height)
        self._last = max(round(time * VIDEO_CLOCK), self._last + 1)
        picture.pts, picture.time_base = self._last, _TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        self.count += 1
        return context.encode(picture)

    def _open(self, width: int, height: int) -> av.VideoCodecContext:
        context = cast(av.VideoCodecContext, av.CodecContext.create(_NAMES[self.codec], "w"))
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = _TIME_BASE, Fraction(30)
        rate = context.bit_rate = bit_rate(width, height)
        context.gop_size, context.thread_count = _GOP, 1
        if self.codec == "H264":
            context.profile = "Baseline"
            context.options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "maxrate": str(rate),
                "bufsize": str(rate // 2),
            }
        else:
            context.options = {
                "deadline": "realtime",
                "cpu-used": "-8",
                "lag-in-frames": "0",
                "error-resilient": "1",
                "static-thresh": "1",
                "maxrate": str(rate),
                "bufsize": str(rate),
                "undershoot-pct": "100",
                "overshoot-pct": "15",
            }
        return context


def to_yuv(image: NDArray[np.uint8]) -> av.VideoFrame:
    """A BGR picture (H, W, 3) as yuv420p, whose sides are even: an odd last row or column is cut off."""
    height, width = (side & ~1 for side in image.shape[:2])
    even = np.ascontiguousarray(image[:height, :width])
    return av.VideoFrame.from_ndarray(even, format="bgr24").reformat(format="yuv420p")
