"""Real encoders and a lossy network: pictures to H.264, VP8 or JPEG and back, as a call's far end sees them.

The encoders run as calls run them: real time, no B-frames, one key frame and then differences. Bare packets
go from encoder to decoder without a container, so that single slices of them can be lost on the way.
"""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) BGR


FPS = 25
H264_SLICE = 1  # NAL unit type of a slice of a frame that is no key frame
VP8_BITRATE = 20_000_000  # bit/s, out of the way: the quantiser decides


def jpeg(image: Image, quality: int) -> Image:
    """A picture saved as JPEG (quality 0..100) and read again."""
    decoded = cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
    )
    if decoded is None:
        raise RuntimeError("OpenCV does not read the JPEG that it wrote")
    return decoded.astype(np.uint8, copy=False)


def h264(
    frames: list[Image], crf: int, lost: float = 0.0, rng: np.random.Generator | None = None
) -> list[Image]:
    """Frames (H, W, 3) of one even-sided shape after libx264 at a constant rate factor and back.

    lost: the share of slices that the network loses, of all frames but the first and the last; rng draws
    which, and is needed only then.
    """
    options = {"preset": "superfast", "crf": str(crf), "tune": "zerolatency"}
    if lost:
        options["x264-params"] = "slice-max-size=500"  # bytes; a call's packets, for a call's larger pictures
    packets = _encode("libx264", options, frames)
    if lost and rng is not None:
        packets[1:-1] = [_without_slices(p, lost, rng) for p in packets[1:-1]]
    return _decode("h264", packets)


def vp8(
    frames: list[Image], quantiser: int, lost: float = 0.0, rng: np.random.Generator | None = None
) -> list[Image]:
    """Frames (H, W, 3) of one even-sided shape after libvpx's VP8 at a fixed quantiser (4..62) and back.

    lost: the share of frames that the network loses, but never the first or the last; rng draws which, and is
    needed only then.
    """
    low, high = str(quantiser), str(quantiser + 1)
    # A negative speed is a fixed one; a positive one libvpx adapts to the machine's load.
    options = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "qmin": low, "qmax": high}
    if lost:
        options["error-resilient"] = "default"  # as calls do: no frame's coding tables hang on a lost one
    packets = _encode("libvpx", {**options, "b": str(VP8_BITRATE)}, frames)
    if lost and rng is not None:
        packets[1:-1] = [b"" if rng.random() < lost else p for p in packets[1:-1]]
    return _decode("vp8", packets)


def _encode(name: str, options: dict[str, str], frames: list[Image]) -> list[bytes]:
    """One packet a frame."""
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(FPS), Fraction(1, FPS)
    encoder.thread_count, encoder.options = 1, options
    packets = []
    for number, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.pts = number
        packets += [bytes(p) for p in encoder.encode(frame)]
    packets += [bytes(p) for p in encoder.encode(None)]
    if len(packets) != len(frames):
        raise RuntimeError(f"{name} gave {len(packets)} packets for {len(frames)} frames")
    return packets


def _decode(name: str, packets: list[bytes]) -> list[Image]:
    """What a viewer sees at each packet's moment: where nothing whole arrives, the last picture stays."""
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    decoder.options = {"flags": "low_delay"}
    shown: list[Image] = []
    for packet in packets:
        arrived = decoder.decode(av.Packet(packet)) if packet else []
        whole = [f for f in arrived if not f.is_corrupt]
        if whole:
            shown.append(whole[-1].to_ndarray(format="bgr24").astype(np.uint8, copy=False))
        elif shown:
            shown.append(shown[-1])
        else:
            raise RuntimeError(f"{name} gave no picture for its key frame")
    return shown


def _without_slices(packet: bytes, lost: float, rng: np.random.Generator) -> bytes:
    """An H.264 packet (Annex B) less some of its slices; empty where none is left."""
    kept = [n for n in _nal_units(packet) if n[0] & 0x1F != H264_SLICE or rng.random() >= lost]
    return b"".join(b"\x00\x00\x00\x01" + n for n in kept)


def _nal_units(packet: bytes) -> list[bytes]:
    """The units between the start codes 00 00 01 (ITU-T H.264, Annex B)."""
    return [u.rstrip(b"\x00") for u in packet.split(b"\x00\x00\x01") if u.strip(b"\x00")]
