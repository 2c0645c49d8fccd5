"""What a picture goes through before a live detector sees it: light, lens, sensor, beauty filter, encoder.

A Degradation is drawn once and applied to the real and the fake picture of a pair alike, or to all frames of
a clip: nothing of it may tell the classes apart.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.codec import h264, jpeg, vp8
from models.fakes.blend import Image, sharpen, smooth_noise

FACE_SIZES = (60.0, 250.0)  # px, the longer side of the face's box in the live picture
LEAST_ENCODED = 36.0  # px, of the same when it was sent smaller than it is shown: about 180 lines
CODECS, CODEC_ODDS = ("none", "jpeg", "h264", "vp8"), (0.12, 0.25, 0.38, 0.25)
# Quality or quantiser. A talking head sent at 150 kbit/s to 2.5 Mbit/s and 180p to 720p had the picture
# quality (PSNR) of constant factors 18 to 36 in H.264 and of quantisers 10 to 54 in VP8.
LOSSES = {"none": (0, 1), "jpeg": (30, 96), "h264": (18, 40), "vp8": (10, 56)}
DOWN = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True, slots=True)
class Degradation:
    """The parameters, each 0 or 1 where it does nothing."""

    face: float  # px, the longer side of the face's box as it is shown
    sent: float  # px, the same as it is encoded; at most `face`
    down: int  # OpenCV's filter to that size
    up: int  # and from there to the shown one
    colour: NDArray[np.float32]  # (3, 3) on BGR: exposure, white balance, saturation
    gamma: float
    sway: float  # the exposure's share that comes and goes along a clip
    flip: bool
    defocus: float  # px, a disc's radius
    shake: tuple[float, float]  # px, how far the camera moved in one exposure
    smooth: float  # a beauty filter's bilateral sigma
    sharp: float  # unsharp amount of the camera
    noise: float  # grey levels sigma
    grain: float  # px, how wide the noise's bumps are; 1 = each pixel for itself
    codec: str  # "none", "jpeg", "h264", "vp8"
    loss: int  # JPEG quality, H.264's constant rate factor, VP8's quantiser
    lost: float  # the share of slices or frames that the network loses
    pan: tuple[float, float]  # px a frame, how a single picture moved in the frames before it

    @staticmethod
    def draw(rng: np.random.Generator, face: float) -> "Degradation":
        """Draw one for a picture whose face is `face` px; it is enlarged by no more than a third."""
        low, high = FACE_SIZES
        size = float(min(np.exp(rng.uniform(np.log(low), np.log(high))), face * 1.33))
        sent = max(size * rng.uniform(0.4, 0.9), min(LEAST_ENCODED, size)) if rng.random() < 0.25 else size
        dark = rng.uniform(0.28, 0.7) if rng.random() < 0.15 else rng.uniform(0.8, 1.15)
        codec = CODECS[rng.choice(len(CODECS), p=CODEC_ODDS)]
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 0.05) * sent
        noisy = rng.random() < (0.7 if dark < 0.7 else 0.35)
        pan = rng.normal(0, 0.012, 2) * sent * (rng.random() < 0.7)
        return Degradation(
            face=size,
            sent=float(sent),
            down=DOWN[rng.integers(len(DOWN))],
            up=UP[rng.integers(len(UP))],
            colour=_colour(rng, float(dark)),
            gamma=float(np.exp(rng.uniform(-0.25, 0.25))) * (0.75 if dark < 0.5 else 1.0),
            sway=float(rng.uniform(0.01, 0.06)) if rng.random() < 0.3 else 0.0,
            flip=bool(rng.random() < 0.5),
            defocus=float(rng.uniform(0.006, 0.022) * sent) if rng.random() < 0.25 else 0.0,
            shake=(float(length * np.cos(angle)), float(length * np.sin(angle)))
            if rng.random() < 0.15
            else (0.0, 0.0),
            smooth=float(rng.uniform(10, 40)) if rng.random() < 0.12 else 0.0,
            sharp=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.2 else 0.0,
            noise=float(rng.uniform(1, 9)) if noisy else 0.0,
            grain=float(rng.choice([1.0, 1.0, 1.6, 2.5])),
            codec=codec,
            loss=int(rng.integers(*LOSSES[codec])),
            lost=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.08 else 0.0,
            pan=(float(pan[0]), float(pan[1])),
        )

    def apply(self, frames: list[Image], face: float, rng: np.random.Generator) -> list[Image]:
        """Degrade the frames of one clip, or a single one; `face` is the face's size in them, px.

        All frames (H, W, 3) uint8 BGR have one shape and so have the results; rng draws the sensor's noise
        and the network's losses.
        """
        height, width = frames[0].shape[:2]
        filmed = [self._film(frame, self.sent / face, t, rng) for t, frame in enumerate(frames)]
        seen = self._send(filmed, rng)
        if self.sent == self.face:
            return seen
        size = round(width * self.face / face), round(height * self.face / face)
        return [cv2.resize(s, size, interpolation=self.up).astype(np.uint8, copy=False) for s in seen]

    def moved_box(self, box: NDArray[np.float32], before: Image, after: Image) -> NDArray[np.float32]:
        """Where a box (4,) of a picture lies once it was degraded."""
        sx, sy = after.shape[1] / before.shape[1], after.shape[0] / before.shape[0]
        x1, y1, x2, y2 = box * np.array([sx, sy, sx, sy], np.float32)
        width = after.shape[1]
        return np.array([width - x2, y1, width - x1, y2] if self.flip else [x1, y1, x2, y2], np.float32)

    def _film(self, image: Image, scale: float, t: int, rng: np.random.Generator) -> Image:
        """Frame number t as the camera gives it, at the size that is sent."""
        height, width = (max(round(n * scale / 2) * 2, 16) for n in image.shape[:2])  # 4:2:0 wants even sides
        how = self.down if scale < 1 else cv2.INTER_LINEAR
        x = cv2.resize(image, (width, height), interpolation=how)
        if self.flip:
            x = cv2.flip(x, 1)
        if self.defocus > 0.5:
            x = cv2.filter2D(x, -1, _disc(self.defocus))
        if max(map(abs, self.shake)) > 1:
            x = cv2.filter2D(x, -1, _streak(*self.shake))
        x = cv2.transform(x, self.colour * (1 + self.sway * np.sin(0.9 * t + 10 * self.sway)))
        x = cv2.LUT(x, (255 * np.linspace(0, 1, 256) ** self.gamma + 0.5).astype(np.uint8))
        if self.noise:
            x = _noisy(x, self.noise, self.grain, rng)
        if self.smooth:  # after the noise: beauty filters see what the sensor gave
            x = cv2.bilateralFilter(x, 5, self.smooth, 3.0)
        if self.sharp:
            x = sharpen(x, self.sharp, 1.0)
        return np.asarray(x, np.uint8)

    def _send(self, frames: list[Image], rng: np.random.Generator) -> list[Image]:
        if self.codec == "jpeg":
            return [jpeg(frame, self.loss) for frame in frames]
        if self.codec == "none":
            return frames
        encode = h264 if self.codec == "h264" else vp8
        if len(frames) > 1:
            return encode(frames, self.loss, self.lost, rng)
        # A live picture is a difference to the ones before it: it gets them.
        before = (2, 1) if self.lost else (1,) if any(self.pan) else ()
        led = [_shifted(frames[0], k * self.pan[0], k * self.pan[1]) for k in before] + frames
        return encode(led, self.loss, self.lost, rng)[-1:]


def _colour(rng: np.random.Generator, exposure: float) -> NDArray[np.float32]:
    """(3, 3) on BGR: exposure and white balance after saturation, which is 0 (grey) now and then."""
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.75, 1.2)
    grey = np.array([0.114, 0.587, 0.299])  # of B, G, R: ITU-R BT.601
    mixed = saturation * np.eye(3) + (1 - saturation) * np.tile(grey, (3, 1))
    gains = exposure * (1 + rng.uniform(-0.1, 0.1, 3) * (saturation > 0))
    return (gains[:, None] * mixed).astype(np.float32)


def _disc(radius: float) -> NDArray[np.float32]:
    """A lens out of focus: (K, K), its edge antialiased."""
    reach = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def _streak(dx: float, dy: float) -> NDArray[np.float32]:
    """A camera that moved by (dx, dy) px: (K, K)."""
    reach = int(np.ceil(max(abs(dx), abs(dy)) / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for part in np.linspace(-0.5, 0.5, 4 * reach + 1):
        kernel[round(reach + part * dy), round(reach + part * dx)] += 1
    return kernel / kernel.sum()


def _noisy(image: Image, sigma: float, grain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A sensor's noise: stronger in the dark, more in brightness than in colour, coarse if denoised."""
    height, width = image.shape[:2]
    if grain == 1:
        bright = rng.standard_normal((height, width, 1), dtype=np.float32)
    else:
        bright = 1.7 * smooth_noise((height, width), grain, rng)[..., None]
    tint = np.stack([smooth_noise((height, width), 2.0, rng) for _ in range(3)], axis=-1)
    level = sigma * (1.2 - image.mean(2, keepdims=True, dtype=np.float32) / 320)
    return np.clip(image + level * (bright + 0.6 * tint) + 0.5, 0, 255).astype(np.uint8)


def _shifted(image: Image, dx: float, dy: float) -> Image:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = image.shape[1], image.shape[0]
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101).astype(np.uint8, copy=False)
