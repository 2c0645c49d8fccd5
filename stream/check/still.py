"""A still picture: decoded, every face judged by the detector's judge of single pictures."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.detector import Detector
from export.explain import unusual
from models.crop import crop_face
from stream.check.sniff import is_heif
from stream.check.values import FaceReport
from stream.errors import NotVideo, TooSmall
from stream.quality import measure
from stream.sources import SMALLEST
from stream.tracker import Looker
from stream.values import Heat, State, Track

SMALL_FACE = 40  # px, the smallest that is looked for
MOST = 32  # faces that are judged, the largest first
NO_JUDGE = "this model has no judge of still pictures"

Picture = NDArray[np.uint8]  # (H, W, 3) BGR


def read_picture(path: Path, name: str) -> Picture:
    """Upright BGR, 8 bit, whatever the file's depth, channels and orientation.

    Raises NotVideo for what cannot be decoded, TooSmall; MemoryError where there is no room for it.
    """
    if is_heif(path):
        image = _heif(path, name)
    else:
        try:
            decoded = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            if "Insufficient memory" in str(error):
                raise MemoryError from None
            raise NotVideo(f"{name}: {_why(error)}") from None
        if decoded is None:
            raise NotVideo(f"{name}: not a picture that can be read")
        image = np.asarray(decoded, np.uint8)
    if min(image.shape[:2]) < SMALLEST:
        height, width = image.shape[:2]
        raise TooSmall(f"{name}: a picture of {width}x{height} px is too small, {SMALLEST} is the least")
    return image


def _why(error: cv2.error) -> str:
    if "CV_IO_MAX_IMAGE" in str(error):  # OpenCV's own guard, set by the process that starts us
        return "the picture is larger than is allowed"
    return "not a picture that can be read"


def _heif(path: Path, name: str) -> Picture:
    """HEIC and AVIF, where their decoder is installed (pip install pillow-heif)."""
    try:
        import pillow_heif
    except ImportError:
        raise NotVideo(f"{name}: HEIC and AVIF need the package pillow-heif") from None
    try:
        image = pillow_heif.open_heif(path, convert_hdr_to_8bit=True, bgr_mode=True)
        pixels = np.asarray(image)
    except (ValueError, OSError, RuntimeError, SyntaxError, EOFError):
        raise NotVideo(f"{name}: not a picture that can be read") from None
    return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8)


def judge_picture(image: Picture, detector: Detector, looker: Looker) -> tuple[FaceReport, ...]:
    """Each face of a picture, the largest first. The temporal head takes no part: nothing moves in it."""
    faces = sorted(looker.detect(image), key=lambda f: -float(np.prod(f.box[2:] - f.box[:2])))[:MOST]
    tracks = [
        Track(number, face.box, face.landmarks, face.probability, confirmed=True, seen=True)
        for number, face in enumerate(faces, 1)
    ]
    qualities = [measure(image, track) for track in tracks]
    if detector.card.still is None:
        reasons = [NO_JUDGE] * len(tracks)
    else:
        reasons = [quality.reason for quality in qualities]
    chosen = [track for track, reason in zip(tracks, reasons, strict=True) if not reason]
    scores: dict[int, float] = {}
    if chosen:
        crops = np.stack([crop_face(image, track.box, detector.card.crop) for track in chosen])
        said = detector.score_still(detector.encode(crops, np.zeros(len(crops), bool)))
        scores = {track.id: float(value) for track, value in zip(chosen, said, strict=True)}
    return tuple(
        _report(track, quality.size, scores.get(track.id), reason, detector)
        for track, quality, reason in zip(tracks, qualities, reasons, strict=True)
    )


def heat_of(crop: Picture, detector: Detector) -> Heat | None:
    """Where in a crop (S, S, 3) the judge of single pictures sees more than is usual; None:

    it cannot tell.
    """
    scale = detector.card.map
    if detector.grid is None or scale is None:
        return None
    raw = detector.encode_with_map(crop[None], np.zeros(1, bool))[1]
    return Heat(unusual(raw, scale)[0], detector.card.crop.margin)


def _report(track: Track, size: float, score: float | None, reason: str, detector: Detector) -> FaceReport:
    x1, y1, x2, y2 = (float(v) for v in track.box)
    samples = () if score is None else ((0.0, score),)
    state = state_of(score, detector)
    return FaceReport(track.id, state, score, score, 0.0, (x1, y1, x2, y2), size, samples, reason)


def state_of(score: float | None, detector: Detector) -> State:
    """A picture has no before and after: one score, one state."""
    still = detector.card.still
    if score is None or still is None:
        return State.UNCERTAIN
    if score >= still.thresholds.alert_on:
        return State.ALERT
    return State.SUSPICIOUS if score >= still.thresholds.suspicious_on else State.CLEAR
