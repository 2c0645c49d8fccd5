"""What this machine has of TensorRT: libraries, from NVIDIA's wheels or the system, and the GPU's name."""

import ctypes
import ctypes.util
import importlib.util
import shutil
import subprocess
from pathlib import Path

from export.errors import ProviderError

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")  # which onnxruntime's provider is linked against
SMI = ("--query-gpu=name,compute_cap", "--format=csv,noheader")


def load_tensorrt() -> str:
    """Load TensorRT for onnxruntime to find; its version. Raises ProviderError where it is missing."""
    try:
        nvinfer, *_ = [ctypes.CDLL(_library(name), mode=ctypes.RTLD_GLOBAL) for name in LIBRARIES]
        number = nvinfer.getInferLibVersion()
    except (OSError, AttributeError) as error:
        raise ProviderError(f"TensorRT is not installed: {error}") from None
    return version(number)


def version(number: int) -> str:
    """libnvinfer's own number as people write it: 101300 is 10.13.0; before 10 there was one digit less."""
    major = 10000 if number >= 100000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def gpu_name() -> str:
    """The first GPU's name and compute capability. Raises ProviderError where the driver tells none."""
    smi = shutil.which("nvidia-smi")
    try:
        told = subprocess.run([smi or "nvidia-smi", *SMI], capture_output=True, text=True, timeout=20).stdout
        return told.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        raise ProviderError("no NVIDIA GPU: nvidia-smi is not there or tells none") from None


def _library(name: str) -> str:
    """A library's path or name: in the tensorrt wheels, else where the loader looks. Raises OSError."""
    wheel = importlib.util.find_spec("tensorrt_libs")
    for folder in wheel.submodule_search_locations or [] if wheel else []:
        for path in sorted(Path(folder).glob(f"lib{name}.so.*")):
            return str(path)
    found = ctypes.util.find_library(name)
    if found is None:
        raise OSError(f"no lib{name} in NVIDIA's tensorrt wheels nor on the system")
    return found
