"""The batch-size curve of each network, and how many streams the networks alone could bear.

Decoding and everything else that the processor does are left out: this is the accelerator's own limit, or
on a CPU the answer to the question whether batches pay (stream/sharing.py).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.card import Card
from stream.analysis import Analysis, Scorer
from stream.bench_clips import FPS, Clip, pictures
from stream.faces import FaceDetector, pyramid_scales, pyramid_sizes
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.nets import Floats, Net
from stream.networks import Networks
from stream.tracker import Tracker
from stream.values import Frame

SIZES = (1, 2, 4, 8, 16)
SPENT = 0.3  # s for each network and size, at least
WATCHED = 6.0  # s of the clip over which it is counted what a stream asks for


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


def demand(networks: Networks, clip: Clip, seconds: float = WATCHED) -> dict[str, float]:
    """Items a second that one stream of the clip asks of each network, counted over its first seconds."""
    asked: Counter[str] = Counter()
    faces = networks.faces.through(lambda name, net: _counting(name, net, asked))
    detector = _Counted(networks.detector, asked)
    judge = Judge(Policy(detector.card.thresholds), "bench", networks.label, "bench")
    analysis = Analysis(detector, Tracker(_Looking(faces, asked)), judge, Meter())
    begin = 1.0  # s, while faces are new and looked for more often
    for index, picture in enumerate(pictures(clip)):
        now = index / FPS
        if now >= begin + seconds:
            break
        if index == round(begin * FPS):
            asked.clear()
        analysis.step(Frame(picture, now, now, index))
    return {name: round(count / seconds, 2) for name, count in asked.items()}


def streams_borne(rows: Sequence[dict[str, Any]], asked: dict[str, float], by: str) -> float:
    """How many streams keep the networks busy all the time, each at its best batch size of the curve.

    by: "item_ms", or "item_cpu_ms" for a core of a CPU that others may use too.
    """
    best: dict[str, float] = {}
    for row in rows:
        best[row["network"]] = min(best.get(row["network"], np.inf), row[by])
    return round(1000 / sum(count * best[name] for name, count in asked.items()), 1)


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


def _counting(name: str, net: Net, asked: Counter[str]) -> Net:
    def counted(inputs: Sequence[Floats]) -> list[list[Floats]]:
        if name != "pnet":  # which counts by pictures, see _Looking
            asked[name] += sum(len(each) for each in inputs)
        return net(inputs)

    return counted


class _Looking:
    """A face detector that counts the pictures it is asked to look over."""

    def __init__(self, faces: FaceDetector, asked: Counter[str]) -> None:
        self._faces, self._asked = faces, asked
        self.refine = faces.refine

    def detect(self, image: NDArray[np.uint8]) -> Any:
        self._asked["pnet"] += 1
        return self._faces.detect(image)


class _Counted:
    """A detector that counts its crops, those of the second eye apart, and its windows."""

    def __init__(self, detector: Scorer, asked: Counter[str]) -> None:
        self._detector, self._asked = detector, asked

    @property
    def card(self) -> Card:
        return self._detector.card

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        close = 0 if closely is None or self.card.second is None else int(closely.sum())
        self._asked["encode"] += len(crops) - close
        if close:
            self._asked["encode, second eye"] += close
        return self._detector.encode(crops, closely)

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        self._asked["head"] += len(features)
        return self._detector.score(features, weights)
