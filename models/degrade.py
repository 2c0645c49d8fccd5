"""What a picture goes through on its way to a live detector: light, lens, camera, resizing, an encoder.

A Degradation is drawn once and applied to the real and the fake picture of a pair alike, or to all frames of
a clip: nothing of it may tell the classes apart.
"""

import io
from dataclasses import dataclass

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.fakes.blend import Image, sharpen

FACE_SIZES = (60.0, 250.0)  # px, the longer side of the face's box in the live picture


@dataclass(frozen=True, slots=True)
class Degradation:
    """The parameters, each 0 or 1 where it does nothing."""

    face: float  # px, the longer side of the face's box after resizing
    gain: tuple[float, float, float]  # per BGR channel, exposure and white balance together
    gamma: float
    grey: bool
    flip: bool
    blur: float  # px sigma
    smooth: float  # a beauty filter's bilateral sigma
    sharp: float  # unsharp amount of the camera
    noise: float  # grey levels sigma
    codec: str  # "none", "jpeg", "h264"
    loss: int  # JPEG quality, or H.264's constant rate factor

    @staticmethod
    def draw(rng: np.random.Generator, face: float) -> "Degradation":
        """Draw one for a picture whose face is `face` px; it is enlarged by no more than a third."""
        low, high = FACE_SIZES
        size = min(np.exp(rng.uniform(np.log(low), np.log(high))), face * 1.33)
        dark = rng.uniform(0.3, 0.75) if rng.random() < 0.12 else rng.uniform(0.8, 1.15)
        gain = dark * (1 + rng.uniform(-0.1, 0.1, 3))
        codec = ("none", "jpeg", "h264")[rng.choice(3, p=(0.2, 0.4, 0.4))]
        loss = int(rng.integers(18, 40)) if codec == "h264" else int(rng.integers(30, 96))
        return Degradation(
            face=float(size),
            gain=(float(gain[0]), float(gain[1]), float(gain[2])),
            gamma=float(np.exp(rng.uniform(-0.25, 0.25))),
            grey=bool(rng.random() < 0.05),
            flip=bool(rng.random() < 0.5),
            blur=float(rng.uniform(0.3, 1.4)) if rng.random() < 0.3 else 0.0,
            smooth=float(rng.uniform(8, 30)) if rng.random() < 0.1 else 0.0,
            sharp=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.2 else 0.0,
            noise=float(rng.uniform(1, 9)) if rng.random() < 0.35 else 0.0,
            codec=codec,
            loss=loss,
        )

    def apply(self, frames: list[Image], face: float, rng: np.random.Generator) -> list[Image]:
        """Degrade the frames of one clip, or a single one; `face` is the face's size in them, px.

        All frames (H, W, 3) uint8 BGR have one shape and so have the results; rng draws the sensor's noise.
        """
        return self._encode([self._one(frame, self.face / face, rng) for frame in frames])

    def moved_box(self, box: NDArray[np.float32], before: Image, after: Image) -> NDArray[np.float32]:
        """Where a box (4,) of a picture lies once it was degraded."""
        sx, sy = after.shape[1] / before.shape[1], after.shape[0] / before.shape[0]
        x1, y1, x2, y2 = box * np.array([sx, sy, sx, sy], np.float32)
        width = after.shape[1]
        return np.array([width - x2, y1, width - x1, y2] if self.flip else [x1, y1, x2, y2], np.float32)

    def _one(self, image: Image, scale: float, rng: np.random.Generator) -> Image:
        height, width = (max(round(n * scale / 2) * 2, 16) for n in image.shape[:2])  # 4:2:0 wants even sides
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        x = cv2.resize(image, (width, height), interpolation=how)
        if self.flip:
            x = x[:, ::-1]
        if self.smooth:
            x = cv2.bilateralFilter(np.ascontiguousarray(x), 5, self.smooth, 3.0)
        if self.blur:
            x = cv2.GaussianBlur(x, (0, 0), self.blur)
        if self.sharp:
            x = sharpen(x, self.sharp, 1.0)
        if self.grey:
            x = np.repeat(cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
        ramp = np.linspace(0, 1, 256)[:, None] * np.array(self.gain)
        table = np.clip(255 * np.clip(ramp, 0, None) ** self.gamma, 0, 255)
        x = np.stack([table[:, c].astype(np.float32)[x[..., c]] for c in range(3)], axis=-1)
        if self.noise:
            x = x + self.noise * rng.standard_normal(x.shape, dtype=np.float32)
        return np.clip(x + 0.5, 0, 255).astype(np.uint8)

    def _encode(self, frames: list[Image]) -> list[Image]:
        if self.codec == "jpeg":
            quality = [cv2.IMWRITE_JPEG_QUALITY, self.loss]
            return [_jpeg(frame, quality) for frame in frames]
        if self.codec == "h264":
            return h264(frames, self.loss)
        return frames


def _jpeg(image: Image, quality: list[int]) -> Image:
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV does not read the JPEG that it wrote")
    return decoded.astype(np.uint8, copy=False)


def h264(frames: list[Image], crf: int) -> list[Image]:
    """The frames after libx264 at a constant rate factor and back: real blocking and motion."""
    buffer = io.BytesIO()
    height, width = frames[0].shape[:2]
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        stream.options = {"preset": "superfast", "crf": str(crf), "tune": "zerolatency"}
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as back:
        back.streams.video[0].thread_count = 1
        decoded = [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False) for frame in back.decode(video=0)
        ]
    if len(decoded) != len(frames):
        raise RuntimeError(f"libx264 gave {len(decoded)} frames back of {len(frames)}")
    return decoded
