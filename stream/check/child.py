"""The process that checks one file: decoders meet hostile data here, under limits, and nowhere else."""

import contextlib
import hashlib
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av  # noqa: F401  # before OpenCV, see stream.reader_child
import cv2
import numpy as np
from numpy.typing import NDArray

from export.card import Card, Thresholds
from export.detector import Detector
from models.crop import crop_face
from stream.check.media import media_of
from stream.check.moving import Box, judge_video
from stream.check.order import Checked, CheckOptions
from stream.check.provenance import provenance_of
from stream.check.sniff import sniff
from stream.check.still import SMALL_FACE, heat_of, judge_picture, read_picture
from stream.check.values import Failure, FileReport, Kind, ModelFacts, gravest
from stream.config import Settings
from stream.errors import EmptyFile, FacewitnessError, NoFaces, TooLarge
from stream.heat import painted
from stream.networks import NetworkPool, Networks
from stream.values import Heat, State

# Started as `python -P -c BOOT`, as the readers are (stream.reader_child says why).
BOOT = (
    "import sys, json; order = json.loads(sys.stdin.buffer.readline()); sys.path[:] = order['path'];"
    "from stream.check.child import main; main(order)"
)
WIDE, QUALITY = 1280, 85  # px of a picture in the report at most, JPEG
FACE = 60  # px, the smallest face looked for in videos, as `watch` does
OUT_OF_MEMORY = re.compile(r"bad_alloc|alloc(ate)? .*memory|insufficient memory|cannot allocate", re.I)
TELL = 0.2  # s between two lines about the progress

log = logging.getLogger(__name__)


def main(order: dict[str, Any]) -> None:
    """Check the file that the order names; answers stand on stdout, a line each, the report last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    answer = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may pass for the answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.CRITICAL)
    options, path = CheckOptions.from_json(order["options"]), Path(order["file"])
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)

    def tell(share: float) -> None:
        with contextlib.suppress(OSError):
            os.write(answer, json.dumps({"progress": round(share, 4)}).encode() + b"\n")

    line = examine(path, options, _paced(tell)).to_line()
    with contextlib.suppress(OSError):
        _write(answer, line)
    os._exit(0)


def confine(memory: int) -> None:
    """No more memory than so many bytes on top of what is in use, no core file; where the system can."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (ImportError, OSError):  # Windows, macOS
        return
    for what, most in ((resource.RLIMIT_DATA, used + memory), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a stricter limit stands already
            resource.setrlimit(what, (most, most))


def examine(path: Path, options: CheckOptions, tell: Callable[[float], None]) -> Checked:
    """The whole check of one file. Errors of the file stand in the report; tell: share that is done, 0..1."""
    blank = FileReport(path.name, "", 0, Kind.UNKNOWN, State.NO_FACE, None, ())
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        blank = replace(blank, sha256=digest, bytes=path.stat().st_size, kind=sniff(path))
        return _judged(path, blank, options, tell)
    except FacewitnessError as error:
        return Checked(replace(blank, error=Failure(error.exit_code, _named(str(error), path))))
    except OSError as error:
        return Checked(replace(blank, error=Failure(10, f"{path.name}: {error.strerror or error}")))
    except Exception as error:  # every library has a class of its own for it
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        most = f"{options.limits.memory >> 20} MiB"
        failure = Failure(TooLarge.exit_code, f"{path.name}: needs more memory than {most}")
        return Checked(replace(blank, error=failure))


def _judged(path: Path, blank: FileReport, options: CheckOptions, tell: Callable[[float], None]) -> Checked:
    if not blank.bytes:
        raise EmptyFile(f"{path.name}: the file is empty")
    pool = NetworkPool(options.providers, options.threads, batched=False)
    networks = pool.get(options.model, SMALL_FACE if blank.kind is Kind.PICTURE else FACE)
    detector = networks.detector
    assert isinstance(detector, Detector)
    confine(options.limits.memory)
    media = media_of(path)
    blank = replace(blank, media=media, provenance=provenance_of(path))
    blank = replace(blank, model=_model(detector.card, networks, blank.kind))
    pixels = media.width * media.height
    if pixels > options.limits.pixels:
        size = f"{media.width}x{media.height}"
        raise TooLarge(f"{path.name}: {size} px, {options.limits.pixels} pixels are the most")
    if blank.kind is Kind.PICTURE:
        return _picture(path, blank, networks, detector, options.explain)
    return _video(path, blank, networks, options, tell)


def _picture(path: Path, blank: FileReport, networks: Networks, detector: Detector, explain: bool) -> Checked:
    image = read_picture(path, path.name)
    faces = judge_picture(image, detector, networks.looker)
    height, width = image.shape[:2]
    pictures = {"picture": jpeg(image)}
    for face in faces:
        crop = _cut(image, face.box, detector.card)
        pictures[f"crop-{face.face}"] = jpeg(crop)
        if explain and face.fake is not None and (heat := heat_of(crop, detector)) is not None:
            pictures[f"map-{face.face}"] = jpeg(painted(crop, heat))
    scored = [face for face in faces if face.fake is not None]
    report = replace(
        blank,
        verdict=gravest(tuple(face.state for face in faces)),
        fake=scored[0].fake if scored else None,
        faces=faces,
        media=replace(blank.media, width=width, height=height, seconds=None, fps=None, bit_rate=None),
        notes=("A still picture: the detector's judge of single pictures was asked, not the temporal one.",),
        frames=1,
    )
    return Checked(report, pictures)


def _video(
    path: Path, blank: FileReport, networks: Networks, options: CheckOptions, tell: Callable[[float], None]
) -> Checked:
    pictures: dict[str, bytes] = {}
    card, limit = networks.detector.card, options.limits.seconds
    length = min(blank.media.seconds or limit, limit)

    def show(face: int, image: NDArray[np.uint8], box: Box, heat: Heat | None) -> None:
        pictures[f"key-{face}"] = jpeg(image)
        crop = _cut(image, box, card)
        pictures[f"crop-{face}"] = jpeg(crop)
        if options.explain and heat is not None:
            pictures[f"map-{face}"] = jpeg(painted(crop, heat))

    settings = Settings(str(path), name="check", model=options.model, duration=limit, alert=())
    notes, error = [], None
    try:
        gathered, cut = judge_video(
            path, settings, networks, show, lambda now: tell(min(now / length, 1.0) if length else 0.0)
        )
    except NoFaces:
        return Checked(replace(blank, notes=("No face was found in any frame.",), analysed=length))
    if cut is not None:
        error = Failure(cut.exit_code, _named(str(cut), path))
    if blank.media.seconds and blank.media.seconds > limit:
        notes.append(f"Only the first {limit:g} s of {blank.media.seconds:.0f} s were analysed.")
    if blank.kind is Kind.ANIMATION and gathered.frames == 1:
        notes.append("An animation of one picture: too little for a verdict in time.")
    faces = gathered.faces()
    kept = {str(face.face) for face in faces}
    pictures = {name: data for name, data in pictures.items() if name.split("-")[1] in kept}
    report = replace(
        blank,
        verdict=gravest(tuple(face.state for face in faces)),
        fake=faces[0].fake if faces else None,
        faces=faces,
        notes=tuple(notes),
        error=error,
        analysed=gathered.end,
        frames=gathered.frames,
    )
    return Checked(report, pictures)


def _model(card: Card, networks: Networks, kind: Kind) -> ModelFacts:
    limits: Thresholds = card.thresholds
    if kind is Kind.PICTURE and card.still is not None:
        limits = card.still.thresholds
    return ModelFacts(
        card.name,
        card.version,
        networks.sha256,
        limits.suspicious_on,
        limits.alert_on,
        card.license,
        card.crop.margin,
    )


def jpeg(image: NDArray[np.uint8], wide: int = WIDE) -> bytes:
    """A picture (H, W, 3) BGR as JPEG, no wider or higher than `wide` px."""
    scale = wide / max(image.shape[:2])
    if scale < 1:
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def _cut(image: NDArray[np.uint8], box: Box, card: Card) -> NDArray[np.uint8]:
    try:
        return crop_face(image, np.array(box, np.float32), card.crop)
    except ValueError:  # the box lies outside of the picture
        return np.zeros((card.crop.size, card.crop.size, 3), np.uint8)


def _named(line: str, path: Path) -> str:
    """An error's line with the file's name alone: where a server keeps it is nobody's business."""
    return line.replace(str(path), path.name)


def _paced(tell: Callable[[float], None]) -> Callable[[float], None]:
    last = 0.0

    def sometimes(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL:
            last = now
            tell(share)

    return sometimes


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


def _end_with_parent() -> None:
    """The parent holds the other end of stdin; it closes even if the parent is killed."""
    sys.stdin.buffer.read(1)
    os._exit(1)
