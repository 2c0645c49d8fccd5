"""`facewitness doctor`: what this machine can do, what is missing, and an exit code that tells."""

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import av
import cv2
import onnxruntime

from export import weights_path
from export.detector import open_detector
from export.errors import ModelError
from stream.errors import ProviderError
from stream.providers import NAMES, choose, try_provider
from stream.views.push import speaks_srt

_FORMATS = {"rtsp": "rtsp", "hls": "hls", "mpegts": "udp, tcp, srt", "flv": "rtmp"}  # demuxer: whose it is


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    level: str  # "ok", "note" or "PROBLEM"
    text: str


def doctor(provider: str) -> int:
    """Print the report on stdout. Returns 0, or 1 if anything would keep `watch` from doing its job."""
    findings = list(examine(provider))
    for finding in findings:
        print(f"{finding.level:<8} {finding.text}")
    return 1 if any(f.level == "PROBLEM" for f in findings) else 0


def examine(provider: str) -> Iterator[Finding]:
    """Look at everything, in the order in which a user would ask."""
    yield Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
                        f"{os.cpu_count()} cores")  # fmt: skip
    yield from _runtime()
    yield from _providers(provider)
    yield from _weights()
    yield from _media()
    yield from _cameras()
    yield from _display()


def _runtime() -> Iterator[Finding]:
    found = []
    for wheel in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"):
        try:
            found.append(f"{wheel} {version(wheel)}")
        except PackageNotFoundError:
            continue
    if len(found) > 1:
        yield Finding(
            "PROBLEM",
            f"{' and '.join(found)} are both installed; they overwrite each other's files. "
            "Uninstall them all, then install one",
        )
    else:
        yield Finding("ok", f"onnxruntime: {found[0] if found else onnxruntime.__version__}")


def _providers(asked: str) -> Iterator[Finding]:
    for name, long in NAMES.items():
        if long in onnxruntime.get_available_providers():
            problem = try_provider(name)
            yield Finding("note" if problem else "ok", f"provider {name}: {problem or 'works'}")
    try:
        got = choose(asked)[0]
        yield Finding("ok", f"asked for {asked}, got {got}")
    except ProviderError as error:
        yield Finding("PROBLEM", str(error))


def _weights() -> Iterator[Finding]:
    for name in ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "detector"):
        path = weights_path(name)
        if not path.is_file():
            yield Finding("PROBLEM", f"weights {name}: missing")
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text = f"weights {name}: {path.stat().st_size / 1e6:.1f} MB, sha256 {digest[:16]}"
        if name == "detector":
            try:
                card = open_detector(path, ("CPUExecutionProvider",), 1).card
                text += f", {card.name} {card.version}, {card.license}"
            except ModelError as error:
                yield Finding("PROBLEM", f"weights {name}: {error}")
                continue
        yield Finding("ok", text)


def _media() -> Iterator[Finding]:
    yield Finding("ok", f"PyAV {av.__version__}, OpenCV {cv2.__version__}")
    for name in ("h264", "hevc", "vp8", "vp9", "av1", "mjpeg"):
        if name not in av.codecs_available:
            yield Finding("note", f"no decoder for {name}")
    encoders = [name for name in ("libx264", "libopenh264", "mpeg4") if name in av.codecs_available]
    if encoders:
        yield Finding("ok", f"recordings are encoded by {encoders[0]}")
    else:
        yield Finding("PROBLEM", "no H.264 or MPEG-4 encoder: --record and --push cannot work")
    missing = [urls for name, urls in _FORMATS.items() if name not in av.formats_available]
    if missing:
        yield Finding("PROBLEM", f"cannot read: {', '.join(missing)}")
    else:
        yield Finding("ok", "reads rtsp, rtmp, http, hls, udp, tcp")
    if not speaks_srt():
        yield Finding("note", "no srt: this FFmpeg was built without it")


def _cameras() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("note", "cameras: try `facewitness watch 0`")
        return
    devices = sorted(entry.path for entry in os.scandir("/dev") if entry.name.startswith("video"))
    for path in devices:
        usable = os.access(path, os.R_OK | os.W_OK)
        yield Finding("ok" if usable else "note", f"camera {path}" + ("" if usable else ": no permission"))
    if not devices:
        yield Finding("note", "no camera at /dev/video*")


def _display() -> Iterator[Finding]:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Finding("note", "no display: --show cannot open a window")
    else:
        yield Finding("ok", "a display is there")
