"""From `--provider NAME` to what onnxruntime really runs on; a silent fall-back is an error."""

import contextlib
import ctypes
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from export import weights_path
from export.errors import ProviderError as OrtProviderError
from export.session import HALF, TENSORRT, open_session, real
from export.tensorrt import load_tensorrt
from stream.errors import ProviderError

log = logging.getLogger(__name__)

NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": TENSORRT,
    "tensorrt-fp16": TENSORRT + HALF,
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
# TensorRT is left out of "auto": its engine takes minutes and a gigabyte, which nobody asked for.
_PREFERENCE = ("cuda", "coreml")


def choose(asked: str) -> tuple[str, ...]:
    """onnxruntime's provider list for a name of the command line, proven by opening a network on it.

    "auto" takes the first of CUDA and CoreML that works, else the CPU, and says so.
    Raises ProviderError when what was asked for cannot be had.
    """
    if asked != "auto":
        providers = _with_others(asked)
        problem = try_provider(asked)
        if problem:
            raise ProviderError(f"provider {asked}: {problem}")
        return providers
    for name in _PREFERENCE:
        if NAMES[name] in onnxruntime.get_available_providers() and not try_provider(name):
            log.info("provider: %s (auto)", name)
            return _with_others(name)
    log.info("provider: cpu (auto: no accelerator that onnxruntime can use)")
    return (NAMES["cpu"],)


def try_provider(name: str) -> str:
    """Why a provider cannot be used; "" when it can."""
    if real(NAMES[name]) not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without it"
    if real(NAMES[name]) == TENSORRT and (problem := try_provider("cuda")):
        return f"CUDA, which serves beside it: {problem}"
    # onnxruntime prints its own lines about missing libraries; ours is the one that counts.
    onnxruntime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if real(NAMES[name]) == TENSORRT:
                load_tensorrt()
            open_session(weights_path("mtcnn_onet"), _with_others(name))
    except OrtProviderError as error:
        return _missing_library(name.removesuffix("-fp16")) or str(error)
    finally:
        onnxruntime.set_default_logger_severity(2)
    return ""


def _missing_library(name: str) -> str:
    """The first library that a provider needs and cannot load, in the loader's words; "" if there is none."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    library = next(folder.glob(f"*onnxruntime_providers_{name}.*"), None)
    if library is None:
        return ""
    try:
        for shared in folder.glob("*onnxruntime_providers_shared.*"):
            ctypes.CDLL(str(shared), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return "its libraries are there, but no device that it can use"


def short(providers: Sequence[str]) -> str:
    """A provider list as people say it: "CPU", "CUDA", "Tensorrt fp16"."""
    return providers[0].replace("ExecutionProvider", "").replace(HALF, " fp16")


def _with_others(name: str) -> tuple[str, ...]:
    # The CPU stands last for the few operators that an accelerator lacks; the first one is checked.
    between = (NAMES["cuda"],) if real(NAMES[name]) == TENSORRT else ()
    return (NAMES[name],) if name == "cpu" else (NAMES[name], *between, NAMES["cpu"])
