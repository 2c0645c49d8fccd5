"""TensorRT for the encoder: profiles from the batch buckets, a cache of engines, CUDA until one is built.

An engine takes minutes to build, and onnxruntime holds Python's lock meanwhile (microsoft/onnxruntime#27063):
`python -m export.engine MODEL PROVIDER` builds it in a process of its own and leaves it in the cache, from
which the serving process loads it. Never run on such hardware; what is pure here is tested. The options:
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

import argparse
import hashlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from export.binding import Feed, Run, runner
from export.buckets import WIDE
from export.errors import ModelError, ProviderError
from export.session import CPU, HALF, OPENVINO, TENSORRT, open_session, real
from export.tensorrt import gpu_name, load_tensorrt

log = logging.getLogger(__name__)

BUILD = 3600.0  # s that building may take
DONE = "done"  # the file that marks a whole engine
TYPES = {"tensor(float)": np.float32, "tensor(bool)": np.bool_}  # of the inputs that our networks have

Shape = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine is good for; where any of it differs, it is built anew."""

    sha256: str  # of the model's file
    half: bool
    onnxruntime: str  # version
    tensorrt: str  # version
    gpu: str

    def folder(self, root: Path) -> Path:
        """Where it is kept below the cache's root."""
        parts = self.sha256[:16], f"ort{self.onnxruntime}", f"trt{self.tensorrt}", self.gpu
        name = "-".join([*parts, "fp16" if self.half else "fp32"])
        return root / re.sub(r"[^A-Za-z0-9.]+", "-", name).lower()


def profile(inputs: Mapping[str, Shape], buckets: Sequence[int] = WIDE) -> dict[str, str]:
    """TensorRT's range of shapes for inputs whose free axis is the batch: the least, the usual, the most.

    Raises ModelError where another axis is free.
    """
    for name, shape in inputs.items():
        if any(isinstance(side, str) for side in shape[1:]):
            raise ModelError(f"TensorRT needs fixed sizes, but {name} is {'x'.join(map(str, shape))}")
    free = {name: shape for name, shape in inputs.items() if shape and isinstance(shape[0], str)}
    sizes = {"min": min(buckets), "opt": sorted(buckets)[len(buckets) // 2], "max": max(buckets)}
    return {
        f"trt_profile_{which}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, (size, *shape[1:])))}" for name, shape in free.items()
        )
        for which, size in sizes.items()
    }


def options(inputs: Mapping[str, Shape], folder: Path, half: bool) -> dict[str, str]:
    """The provider's options for an engine that is kept in a folder."""
    return {
        **profile(inputs),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": str(half),
    }


def cache_root() -> Path:
    """Where a user's engines are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facewitness" / "tensorrt"


def beside(providers: Sequence[str]) -> tuple[str, ...]:
    """What the encoder runs on until its engine is built: TensorRT's deputies."""
    return tuple(providers[1:] if real(providers[0]) == TENSORRT else providers)


def small(providers: Sequence[str]) -> tuple[str, ...]:
    """What MTCNN's networks run on: PNet's pictures are of any size, RNet and ONet are too small to gain.

    On OpenVINO a picture takes them 1.3 times as long as on onnxruntime's own CPU provider, measured.
    """
    return (CPU,) if providers[0] == OPENVINO else beside(providers)


class Rising:
    """A network that one session serves until a better one is ready. Safe to share between threads."""

    def __init__(self, now: Run, later: Callable[[], Run], name: str) -> None:
        """now: serves at once. later: makes the better one, in its own thread; may take long, may raise."""
        self._run, self._name = now, name
        self._error: Exception | None = None
        threading.Thread(target=self._rise, args=(later,), name="engine", daemon=True).start()

    def __call__(self, feed: Feed) -> Sequence:
        """All outputs of one run. Raises ProviderError once the better one cannot be had."""
        if self._error is not None:
            raise ProviderError(str(self._error))
        return self._run(feed)

    def _rise(self, later: Callable[[], Run]) -> None:
        begin = time.monotonic()
        log.info("%s: TensorRT builds its engine; CUDA serves meanwhile", self._name)
        try:
            self._run = later()
        except Exception as error:
            self._error = error
        else:
            log.info("%s: TensorRT serves after %.0f s", self._name, time.monotonic() - begin)


def serve(path: Path, providers: Sequence[str], threads: int, now: ort.InferenceSession) -> Run:
    """How to run an encoder on the first of `providers`, which may be TensorRT; now: its session `beside` it.

    Raises ProviderError where TensorRT cannot be had; after the start, the runs do.
    """
    if real(providers[0]) != TENSORRT:
        return runner(now)
    folder = engine_of(path, providers[0]).folder(cache_root())
    if (folder / DONE).exists():
        return runner(_open(path, providers, threads, folder))

    def later() -> Run:
        _build_apart(path, providers[0])
        session = _open(path, providers, threads, folder)
        run = runner(session)
        warm_up(run, session)
        return run

    return Rising(runner(now), later, path.name)


def warm_up(run: Run, session: ort.InferenceSession, buckets: Sequence[int] = WIDE) -> None:
    """Run zeros at each batch size: none is met for the first time by a stream."""
    for size in buckets:
        shapes = {i.name: (size, *i.shape[1:]) if i.shape else () for i in session.get_inputs()}
        run({i.name: np.zeros(shapes[i.name], TYPES[i.type]) for i in session.get_inputs()})


def engine_of(path: Path, provider: str) -> Engine:
    """What this machine would build of a model. Raises ProviderError without TensorRT or a GPU."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Engine(digest, provider.endswith(HALF), ort.__version__, load_tensorrt(), gpu_name())


def _open(path: Path, providers: Sequence[str], threads: int, folder: Path) -> ort.InferenceSession:
    inputs = {i.name: i.shape for i in open_session(path, (CPU,)).get_inputs()}
    folder.mkdir(parents=True, exist_ok=True)
    own = options(inputs, folder, providers[0].endswith(HALF))
    try:
        session = open_session(path, providers, threads, own)
    except ModelError as error:  # the CPU could open it
        raise ProviderError(f"TensorRT: {error}") from None
    if not any(folder.glob("*.engine")):  # it is registered, and yet another provider runs all nodes
        raise ProviderError(f"TensorRT took no part of {path.name}")
    return session


def _build_apart(path: Path, provider: str) -> None:
    command = [sys.executable, "-m", "export.engine", str(path), provider]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=BUILD
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"TensorRT did not build {path.name} within {BUILD:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ProviderError(f"TensorRT cannot build {path.name}: {last}")


def main() -> int:
    """Build one engine into the cache; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.engine", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("provider", choices=(TENSORRT, TENSORRT + HALF))
    given = parser.parse_args()
    path, provider = given.model, given.provider
    try:
        folder = engine_of(path, provider).folder(cache_root())
        _open(path, (provider, CPU), 1, folder)
    except (ModelError, ProviderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    (folder / DONE).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
