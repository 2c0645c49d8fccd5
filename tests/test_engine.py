"""TensorRT as far as it goes without a GPU: profiles, cache keys, choices, the swap, loud failures."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export import engine, tensorrt, weights_path
from export.binding import Bound, runner
from export.buckets import WIDE, padded
from export.engine import Engine, Rising, beside, options, profile
from export.errors import ModelError, ProviderError
from export.session import CPU, CUDA, HALF, TENSORRT, open_session, with_options
from stream import config, providers

ROOT = Path(__file__).parent.parent
INPUTS = {"crops": ["n", 3, 256, 256], "closely": []}
ENGINE = Engine("ab" * 32, False, "1.31.1", "10.13.0", "NVIDIA H200, 9.0")


def sides(told: str) -> list[int]:
    return [int(side) for side in told.partition(":")[2].split("x")]


def test_the_profile_spans_the_buckets() -> None:
    found = profile(INPUTS)
    assert found["trt_profile_min_shapes"] == "crops:1x3x256x256"
    assert found["trt_profile_max_shapes"] == f"crops:{max(WIDE)}x3x256x256"
    assert sides(found["trt_profile_opt_shapes"])[0] in WIDE
    for rows in range(1, 200):  # every run that the detector makes lies inside
        assert all(min(WIDE) <= size <= max(WIDE) for size in padded(rows))


def test_several_inputs_share_a_profile_and_free_sides_are_refused() -> None:
    found = profile({"a": ["n", 4], "b": ["n", 2], "c": [1, 2]}, (8, 1))
    assert found["trt_profile_max_shapes"] == "a:8x4,b:8x2"
    with pytest.raises(ModelError, match="fixed sizes"):
        profile({"image": ["batch", 3, "height", "width"]})


def test_the_shipped_detector_has_a_profile() -> None:
    session = open_session(weights_path("detector"))
    found = profile({i.name: i.shape for i in session.get_inputs()})
    assert re.fullmatch(r"crops:1x3x(\d+)x\1", found["trt_profile_min_shapes"])


@pytest.mark.parametrize(
    "other",
    [
        {"sha256": "cd" * 32},
        {"half": True},
        {"onnxruntime": "1.32.0"},
        {"tensorrt": "10.14.1"},
        {"gpu": "NVIDIA L4, 8.9"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_differs_is_another_engine(tmp_path: Path, other: dict) -> None:
    ours = ENGINE.folder(tmp_path)
    assert ours != replace(ENGINE, **other).folder(tmp_path)
    assert ours == replace(ENGINE).folder(tmp_path)
    assert ours.parent == tmp_path
    assert re.fullmatch(r"[a-z0-9.-]+", ours.name)


def test_the_options_are_all_words(tmp_path: Path) -> None:
    found = options(INPUTS, tmp_path, half=True)
    assert found["trt_fp16_enable"] == "True"
    assert found["trt_engine_cache_path"] == str(tmp_path)
    assert all(isinstance(value, str) for value in found.values())
    given = with_options((TENSORRT + HALF, CUDA, CPU), found, 1)
    assert given[0] == (TENSORRT, found)
    assert given[1] == (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"})
    assert given[2] == (CPU, {})


@pytest.mark.parametrize(("number", "told"), [(101300, "10.13.0"), (100900, "10.9.0"), (8601, "8.6.1")])
def test_tensorrts_own_number(number: int, told: str) -> None:
    assert tensorrt.version(number) == told


def test_small_networks_stay_beside_tensorrt() -> None:
    assert beside((TENSORRT, CUDA, CPU)) == (CUDA, CPU)
    assert beside((TENSORRT + HALF, CUDA, CPU)) == (CUDA, CPU)
    assert beside((CUDA, CPU)) == (CUDA, CPU)
    assert beside((CPU,)) == (CPU,)


def test_what_is_asked_for_stands_first_and_cuda_beside_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "try_provider", lambda name: "")
    assert providers.choose("tensorrt") == (TENSORRT, CUDA, CPU)
    assert providers.choose("tensorrt-fp16") == (TENSORRT + HALF, CUDA, CPU)
    assert providers.short(providers.choose("tensorrt-fp16")) == "Tensorrt fp16"
    assert providers.choose("cuda") == (CUDA, CPU)
    assert providers.choose("cpu") == (CPU,)


def test_the_command_line_knows_every_provider() -> None:
    assert set(config.PROVIDERS) == {"auto", *providers.NAMES}


def test_tensorrt_without_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CPU])
    assert "CUDA, which serves beside it" in providers.try_provider("tensorrt")


class Serves:
    """A network that answers with its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, feed: object) -> list[np.ndarray]:
        return [np.array([self.name])]


def waited(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_cuda_serves_until_the_engine_is_there() -> None:
    built = threading.Event()

    def later() -> Serves:
        built.wait(20)
        return Serves("engine")

    net = Rising(Serves("cuda"), later, "x")
    assert all(net({})[0][0] == "cuda" for _ in range(100))
    built.set()
    assert waited(lambda: net({})[0][0] == "engine")


@pytest.mark.parametrize("name", ["detector", "mtcnn_rnet"])
def test_warming_up_feeds_every_input(name: str) -> None:
    session, sizes = open_session(weights_path(name)), []
    run = runner(session)
    engine.warm_up(lambda feed: sizes.append(len(run(feed)[0])) or [], session, (2, 1))
    assert sizes == [2, 1]


def test_an_engine_that_fails_is_loud() -> None:
    def later() -> Serves:
        raise ProviderError("TensorRT cannot build x: no memory")

    net = Rising(Serves("cuda"), later, "x")

    def fails() -> bool:
        try:
            net({})
        except ProviderError as error:
            return "no memory" in str(error)
        return False

    assert waited(fails)


def test_the_builder_says_what_is_missing_here() -> None:
    if TENSORRT in onnxruntime.get_available_providers() and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-m", "export.engine", str(weights_path("mtcnn_onet")), TENSORRT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "TensorRT" in done.stderr.splitlines()[-1]
    with pytest.raises(ProviderError, match="cannot build mtcnn_onet"):
        engine._build_apart(weights_path("mtcnn_onet"), TENSORRT)


def test_bound_inputs_may_lie_anyhow_in_memory() -> None:
    """The buffer of a shape that comes again is filled from a strided view too."""
    session = open_session(weights_path("mtcnn_onet"))
    bound, rng = Bound(session, "cpu"), np.random.default_rng(0)
    for _ in range(2):
        whole = rng.random((4, 3, 48, 96), dtype=np.float32)
        view = whole[::2, :, :, ::2]
        for got, want in zip(bound({"image": view}), session.run(None, {"image": view}), strict=True):
            assert np.array_equal(got, want)
