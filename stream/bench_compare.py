"""Ours against the rivals, each in a process of its own over the same clip, and what each step gave."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from export.session import CPU
from stream.bench_clips import Clip, make_clip
from stream.bench_offline import VARIANTS
from stream.bench_streams import BenchError
from stream.bench_weights import CHECKPOINT, FLOAT, INT8
from stream.providers import choose

LIMIT = 900.0  # s that one of the processes may take
MISSING = "the rivals need the [train] extra, which is not installed: pip install 'facewitness[train]'"


def missing() -> str:
    """Why the rivals cannot run here; "" where they can."""
    return MISSING if any(find_spec(n) is None for n in ("torch", "facenet_pytorch", "onnx")) else ""


def compare(
    seconds: float, *, weights: Path | None, model: str, provider: str, threads: int, min_face: int
) -> dict[str, Any]:
    """The clip of 1280x720 with two faces through all pipelines. Raises BenchError.

    seconds: that each pipeline is timed. weights: a checkpoint in the common layout; None: seeded random.
    model: ours beside the InceptionResnetV1 that all share.
    """
    common = ["--seconds", str(seconds), "--threads", str(threads), "--min-face", str(min_face)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_clip(clip, Clip())
        making = [str(clip), name, "--min-face", str(min_face)]
        _call("stream.bench_weights", [*making, *(["--weights", str(weights)] if weights else [])])
        on_cpu = choose(provider)[0] == CPU
        device = ["--device", "cpu" if on_cpu else "cuda"]
        rival = _json("stream.bench_rival", [str(clip), str(folder / CHECKPOINT), *common, *device])
        runs = [{"name": "torch", "label": "(a) facenet-pytorch, every frame, PyTorch", **rival}]
        variants = [v for v in VARIANTS if on_cpu or not v.int8]  # int8 is a gain on CPUs alone
        for variant in variants:
            file = folder / (INT8 if variant.int8 else FLOAT)
            runs.append(_ours(clip, variant.name, str(file), provider, common))
        default = _ours(clip, variants[-1].name, model, provider, common)
        runs.append({**default, "name": "default", "label": f"ours with {default['model']}"})
    return summary(runs, weights, "cpu_ms" if on_cpu else "wall_ms")


def _ours(clip: Path, variant: str, model: str, provider: str, common: Sequence[str]) -> dict[str, Any]:
    gain = next(v.gain for v in VARIANTS if v.name == variant)
    label = f"+ {variant}: {gain}" if gain else "(b) the same, every frame, naively in onnxruntime"
    words = [str(clip), variant, "--model", model, "--provider", provider, *common]
    return {"name": variant, "label": label, **_json("stream.bench_offline", words)}


def summary(runs: list[dict[str, Any]], weights: Path | None, by: str = "cpu_ms") -> dict[str, Any]:
    """The rows with their ratios, the share of each step, and the ratios that are asked for by name.

    by: what is compared, "cpu_ms" or "wall_ms" a frame. The steps add up: the ms that each of them saved.
    """
    cost = {run["name"]: run[by] for run in runs}
    for run in runs:
        run["ms"] = run[by]
        run["vs_torch"] = _ratio(cost["torch"], run[by])
        run["vs_naive_onnx"] = _ratio(cost["naive"], run[by])
    order = ["torch", *(v.name for v in VARIANTS if v.name in cost)]
    steps = [
        {"step": "onnxruntime" if now == "naive" else now, "saved_ms": round(cost[before] - cost[now], 3)}
        for before, now in pairwise(order)
    ]
    last = order[-1]
    return {
        "clip": Clip().label,
        "weights": "random numbers, seeded: only time is compared" if weights is None else weights.name,
        "speedup_vs_torch_pipeline": _ratio(cost["torch"], cost[last]),
        "speedup_vs_naive_onnx": _ratio(cost["naive"], cost[last]),
        "default_model_speedup_vs_torch_pipeline": _ratio(cost["torch"], cost["default"]),
        "default_model_speedup_vs_naive_onnx": _ratio(cost["naive"], cost["default"]),
        "compared": by,
        "runs": runs,
        "steps": steps,
        "torch_ms": cost["torch"],
        "ours_ms": cost[last],
    }


def _ratio(rival: float, ours: float) -> float:
    return round(rival / max(ours, 1e-9), 2)


def _json(module: str, words: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(_call(module, words))
    return told


def _call(module: str, words: Sequence[str]) -> str:
    """What a module's command prints. Raises BenchError where it fails."""
    command = [sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{module} did not end within {LIMIT:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{module} ended with {done.returncode}")
    return done.stdout
