"""Makes every onnxruntime session of the program: the same threads for all, and no silent fall-back."""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from export.errors import ModelError, ProviderError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
HALF = ":fp16"  # behind TENSORRT's name: in half precision
ACCELERATORS = (CUDA, TENSORRT, TENSORRT + HALF)  # idle but for large batches, and stall on each new shape
ON_PROCESSOR = (CPU, OPENVINO)  # what they cost is processor time


def open_session(
    model: str | Path | bytes,
    providers: Sequence[str] = (CPU,),
    threads: int = 1,
    more: Mapping[str, str] | None = None,
) -> ort.InferenceSession:
    """Open an ONNX model, given as a path or as its bytes, on the first of `providers`.

    threads: intra-op threads of this session; they sleep, not spin, while there is nothing to do. more: the
    first provider's own options. Raises ModelError if the model cannot be loaded, ProviderError if the
    session does not run on `providers[0]`: onnxruntime itself only logs a line and falls back to the CPU.
    """
    wanted = real(providers[0])
    if wanted not in ort.get_available_providers():
        raise ProviderError(f"this onnxruntime has no {wanted}; it has {', '.join(_available())}")
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise ModelError(f"no model file at {model}")
    if wanted in ACCELERATORS:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # it prints what it cannot find; the check below says it
            ort.preload_dlls()  # from the NVIDIA wheels of the [cuda] extra
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors come as exceptions; its own stderr lines are a second voice
    name = "the embedded model" if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=with_options(providers, more or {}, threads),
        )
    except Exception as error:  # onnxruntime raises half a dozen unrelated classes here
        raise ModelError(f"{name} is no model that onnxruntime can load: {_first_line(error)}") from error
    got = session.get_providers()[0]
    if got != wanted:
        raise ProviderError(f"asked for {wanted}, but onnxruntime runs {name} on {got}")
    return session


def real(provider: str) -> str:
    """A provider's name as onnxruntime knows it."""
    return provider.removesuffix(HALF)


def with_options(
    providers: Sequence[str], more: Mapping[str, str], threads: int
) -> list[tuple[str, dict[str, str]]]:
    """The providers as onnxruntime takes them; more: for the first. threads: of those that run on them."""
    own = {
        # cuDNN's default exhaustive search costs about half a second for each new batch shape.
        CUDA: {"cudnn_conv_algo_search": "HEURISTIC"},
        # It knows nothing of the session's threads: it would take all cores for each run, or with few threads
        # in all have one run wait for another. A "stream" is one run at work.
        OPENVINO: {
            "device_type": "CPU",
            "num_streams": str(_cores()),
            "num_of_threads": str(_cores() * threads),
        },
    }
    first, *others = ((real(name), own.get(name, {})) for name in providers)
    return [(first[0], {**first[1], **more}), *others]


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available() -> list[str]:
    return list(ort.get_available_providers())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
