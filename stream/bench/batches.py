"""The batch-size curve of each network: what an item costs in company; whether batches pay, and which."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.bench.clips import Clip
from stream.faces import pyramid_scales, pyramid_sizes
from stream.nets import Floats, Net
from stream.networks import Networks

SIZES = (1, 2, 4, 8, 16)
SPENT = 0.3  # s for each network and size, at least


def curve(networks: Networks, clip: Clip, sizes: Sequence[int] = SIZES, spent: float = SPENT) -> list[dict]:
    """A row for each network and batch size. An item is a crop, a window, or for PNet a picture's pyramid."""
    rows = []
    for name, run in runs_of(networks, clip).items():
        for size in sizes:
            wall, cpu = _time(run, size, spent)
            rows.append(
                {
                    "network": name,
                    "batch": size,
                    "run_ms": round(1000 * wall, 3),
                    "item_ms": round(1000 * wall / size, 3),
                    "item_cpu_ms": round(1000 * cpu / size, 3),
                    "items_per_s": round(size / wall, 1),
                }
            )
    return rows


def runs_of(networks: Networks, clip: Clip) -> dict[str, Callable[[int], object]]:
    """For each network what runs a batch of a given size."""
    nets: dict[str, Net] = {}
    networks.faces.through(lambda name, net: nets.setdefault(name, net))
    detector, card = networks.detector, networks.detector.card
    rng, faces = np.random.default_rng(0), networks.faces
    steps = pyramid_sizes(
        clip.height, clip.width, pyramid_scales(clip.height, clip.width, faces.min_face, faces.factor)
    )

    def crops(n: int) -> NDArray[np.uint8]:
        return rng.integers(0, 256, (n, card.crop.size, card.crop.size, 3), dtype=np.uint8)

    samples = round(card.window.seconds * card.window.rate)
    looks = {"encode": False, "encode, second eye": True} if card.second else {"encode": False}
    found: dict[str, Callable[[int], object]] = {
        "pnet": lambda n: nets["pnet"]([_noise(rng, n, *step) for step in steps]),
        "rnet": lambda n: nets["rnet"]([_noise(rng, n, 24, 24)]),
        "onet": lambda n: nets["onet"]([_noise(rng, n, 48, 48)]),
    }
    for name, look in looks.items():
        found[name] = lambda n, look=look: detector.encode(crops(n), np.full(n, look))  # type: ignore[misc]
    found["head"] = lambda n: detector.score(
        rng.standard_normal((n, samples, card.features), dtype=np.float32), np.ones((n, samples), np.float32)
    )
    return found


def _time(run: Callable[[int], object], size: int, spent: float) -> tuple[float, float]:
    """s of wall and of CPU that a run takes, median, once the shape is known."""
    run(size)
    times: list[tuple[float, float]] = []
    until = time.monotonic() + spent
    while len(times) < 3 or time.monotonic() < until:
        wall, cpu = time.perf_counter(), time.process_time()
        run(size)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return float(np.median([t[0] for t in times])), float(np.median([t[1] for t in times]))


def _noise(rng: np.random.Generator, n: int, height: int, width: int) -> Floats:
    return rng.random((n, 3, height, width), dtype=np.float32) * 2 - 1
