"""Ours against the rivals: a ladder from PyTorch's pipeline (a) up to ours, each rung in its own process.

Every rung changes one thing and takes the same clip, so that the factors between them multiply to the whole
speed-up. The encoder is one InceptionResnetV1 on all of them; the product's own detector stands apart.

A shared host is faster in one minute than in the next. So the whole ladder is climbed several times in turn,
and what each rung took is added up; the rounds' own ratios tell how far the whole can be trusted.
"""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from export.session import ACCELERATORS, ON_PROCESSOR
from stream.bench.apart import ask
from stream.bench.clips import Clip, make_clip
from stream.bench.rungs import RUNGS
from stream.bench.torch_rungs import ADDS
from stream.bench.weights import CHECKPOINT, FLOAT, INT8
from stream.providers import choose

LIMIT = 900.0  # s that one of the processes may take
ROUNDS = 3
WHOLE = "speedup_vs_torch_pipeline"
NOTHING = 1.05  # a factor below which a rung is said to give nothing
MISSING = "the rivals need the [train] extra, which is not installed: pip install 'facewitness[train]'"


def missing() -> str:
    """Why the rivals cannot run here; "" where they can."""
    return MISSING if any(find_spec(n) is None for n in ("torch", "facenet_pytorch", "onnx")) else ""


def compare(
    seconds: float, *, weights: Path | None, model: str, provider: str, threads: int, min_face: int
) -> dict[str, Any]:
    """The clip of 1280x720 with two faces through all pipelines. Raises BenchError.

    seconds: that each pipeline is timed, in all rounds together. weights: a checkpoint in the common layout;
    None: seeded random. model: ours, beside the InceptionResnetV1 that all share.
    """
    common = ["--seconds", str(seconds / ROUNDS), "--threads", str(threads), "--min-face", str(min_face)]
    first = choose(provider)[0]
    on_gpu = first in ACCELERATORS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_clip(clip, Clip())
        given = ["--weights", str(weights)] if weights else []
        ask("stream.bench.weights", [str(clip), name, "--min-face", str(min_face), *given], LIMIT)

        def lower(rung: str) -> dict[str, Any]:
            device = ["--device", "cuda" if on_gpu else "cpu"]
            words = [str(clip), str(folder / CHECKPOINT), rung, *common, *device]
            return {"name": rung, "adds": ADDS[rung], **ask("stream.bench.torch_rungs", words, LIMIT)}

        def upper(rung: str, file: str, adds: str) -> dict[str, Any]:
            words = [str(clip), rung, "--model", file, "--provider", provider, *common]
            return {"name": rung, "adds": adds, **ask("stream.bench.rungs", words, LIMIT)}

        # On a GPU torch and onnxruntime would share one process's cuDNN, and int8 gains nothing.
        rivals = ("torch",) if on_gpu else tuple(ADDS)
        # Random numbers have no verdict that could be settled: to spare crops would gain nothing but noise.
        rungs = [rung for rung in RUNGS if rung.thorough or weights]
        rungs = [rung for rung in rungs if not on_gpu or rung.name != "int8"]

        def climb() -> list[dict[str, Any]]:
            runs = [lower(rung) for rung in rivals]
            for rung in rungs:
                file = INT8 if rung.int8 and not on_gpu else FLOAT
                runs.append(upper(rung.name, str(folder / file), rung.adds))
            return [*runs, upper(RUNGS[-1].name, model, "")]

        rounds = [climb() for _ in range(ROUNDS)]
    by = "cpu_ms" if first in ON_PROCESSOR else "wall_ms"
    found = ladder([together(runs) for runs in zip(*rounds, strict=True)], by)
    each = [ladder(runs, by)[WHOLE] for runs in rounds]
    told = "random numbers, seeded: only time is compared" if weights is None else weights.name
    return {"clip": Clip().label, "weights": told, "threads": threads, **found, "rounds": each}


def together(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What one rung took in all rounds: sums, and means of what is told a frame."""
    frames = [run["frames"] for run in runs]
    sums = {key: sum(run[key] for run in runs) for key in ("frames", "faces", "cpu_s", "wall_s")}
    names = dict.fromkeys(name for run in runs for name in run["stages"])
    stages = {
        name: round(float(np.average([run["stages"].get(name, 0.0) for run in runs], weights=frames)), 3)
        for name in names
    }
    means = {
        key: float(np.average([run[key] for run in runs], weights=frames)) for key in ("cpu_ms", "wall_ms")
    }
    return {**runs[0], **sums, "stages": stages, **means}


def ladder(runs: Sequence[dict[str, Any]], by: str) -> dict[str, Any]:
    """The rungs with their factors, and the ratios that are asked for by name.

    runs: from (a) up to ours, and our last rung with the product's detector. by: what is compared, "cpu_ms"
    or "wall_ms" a frame. The `times` of all rungs multiply to `speedup_vs_torch_pipeline`.
    """
    *climbed, ours = runs
    rungs: list[dict[str, Any]] = []
    for run in (*climbed, {**ours, "name": ours["model"]}):
        ms = max(run[by], 1e-9)
        first, last = (rungs[0]["ms"], rungs[-1]["ms"]) if rungs else (ms, ms)
        factors = {"times": last / ms, "times_since_a": first / ms}
        rungs.append({**run, "ms": ms, "fps": 1000 / ms, **factors})
    default = rungs.pop()
    cost = {rung["name"]: rung["ms"] for rung in rungs}
    return {
        "compared": "CPU time of all threads" if by == "cpu_ms" else "wall time",
        "ladder": rungs,
        "gave_nothing": [rung["name"] for rung in rungs[1:] if rung["times"] < NOTHING],
        "default_model": default,
        WHOLE: cost["torch"] / rungs[-1]["ms"],
        "speedup_vs_naive_onnx": cost["onnxruntime"] / rungs[-1]["ms"],
        "default_model_speedup_vs_torch_pipeline": cost["torch"] / default["ms"],
        "default_model_speedup_vs_naive_onnx": cost["onnxruntime"] / default["ms"],
    }
