"""How fast one process gets through a clip, one thing of ours switched on after the other; prints JSON.

`python -m stream.bench_offline CLIP VARIANT --model FILE`: a process of its own for each, as for the rival in
PyTorch, over the same clip, from the file to the verdict. CPU time is counted, so that a busy machine matters
less.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.card import Card
from models.crop import crop_face
from stream.analysis import Analysis, Scorer
from stream.bench_clips import FPS
from stream.errors import FacewitnessError
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.networks import Networks, open_networks
from stream.providers import choose
from stream.sources import SourceOptions, find
from stream.tracker import Tracker
from stream.values import Frame

WARM = 30  # frames that are not timed: the tracker looks more often while faces are new

Image = NDArray[np.uint8]
Spent = defaultdict[str, float]  # s of CPU a stage


@dataclass(frozen=True, slots=True)
class Variant:
    """What is switched on."""

    name: str
    gain: str  # what this one adds to the one before it
    tracking: bool = True
    paced: bool = True  # crops at the card's rate, not of every frame
    joined: bool = True  # a frame's crops in one run
    int8: bool = True


VARIANTS = (
    Variant("naive", "", tracking=False, paced=False, joined=False, int8=False),
    Variant("tracking", "detection on key frames only", paced=False, joined=False, int8=False),
    Variant("pacing", "crops at the card's rate", joined=False, int8=False),
    Variant("batching", "a frame's crops in one run", int8=False),
    Variant("int8", "int8 weights and activations"),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """What a pipeline took, decoding included."""

    frames: int
    faces: int
    cpu_s: float  # of all threads
    wall_s: float
    stages: dict[str, float]  # CPU ms a frame

    def row(self) -> dict[str, Any]:
        """For JSON."""
        per = {"cpu_ms": 1000 * self.cpu_s, "wall_ms": 1000 * self.wall_s}
        rounded = {name: round(value / max(self.frames, 1), 3) for name, value in per.items()}
        return {**asdict(self), **rounded}


def timed(
    pictures: Iterator[Any], step: Callable[[Any], int], seconds: float, warm: int, spent: Spent
) -> Timing:
    """Take pictures one by one through `step`, which returns the faces, until the end or `seconds` are over.

    spent: s of CPU a stage, which `step` adds to. The first `warm` pictures are not counted.
    """
    frames = faces = 0
    begin = cpu = time.monotonic()
    for number, picture in enumerate(pictures):
        if number == warm:
            frames = faces = 0
            spent.clear()
            begin, cpu = time.monotonic(), time.process_time()
        faces += step(picture)
        frames += 1
        if number > warm and time.monotonic() - begin > seconds:
            break
    else:
        if frames and number < warm:
            raise ValueError(f"a clip of more than {warm} frames is needed")
    cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - begin
    stages = {name: round(1000 * value / frames, 3) for name, value in spent.items()}
    stages["decode and the rest"] = round(1000 * cpu_s / frames - sum(stages.values()), 3)
    return Timing(frames, faces, round(cpu_s, 3), round(wall_s, 3), stages)


class Singly:
    """A detector that takes one crop at a time."""

    def __init__(self, detector: Scorer) -> None:
        self._detector = detector

    @property
    def card(self) -> Card:
        """As the detector's."""
        return self._detector.card

    def encode(self, crops: Image, closely: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """As the detector's, in as many runs as there are crops."""
        looks = np.ones(len(crops), bool) if closely is None else closely
        parts = [self._detector.encode(crops[i : i + 1], looks[i : i + 1]) for i in range(len(crops))]
        return np.concatenate(parts) if parts else self._detector.encode(crops)

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the detector's, one window after the other."""
        pairs = zip(features, weights, strict=True)
        return np.concatenate([self._detector.score(f[None], w[None]) for f, w in pairs])


class Recarded:
    """A detector with another card."""

    def __init__(self, detector: Scorer, card: Card) -> None:
        self._detector, self.card = detector, card
        self.encode, self.score = detector.encode, detector.score


class CpuMeter(Meter):
    """A meter whose clock is the process's CPU time, for one thread."""

    def __init__(self, spent: Spent) -> None:
        super().__init__()
        self.spent = spent

    def note(self, name: str, seconds: float) -> None:
        """Add up; wall time is CPU time where one thread works, near enough."""
        self.spent[name] += seconds


def naive_step(networks: Networks, spent: Spent) -> Callable[[Frame], int]:
    """Detection on every frame, every face encoded alone and judged by itself."""
    detector, faces = networks.detector, networks.faces

    def step(frame: Frame) -> int:
        begin = time.process_time()
        found = faces.detect(frame.image)
        then = time.process_time()
        spent["detect"] += then - begin
        for face in found:
            crop = crop_face(frame.image, face.box, detector.card.crop)
            feature = detector.encode(crop[None])
            detector.score(feature[None], np.ones((1, 1), np.float32))
        spent["encode"] += time.process_time() - then
        return len(found)

    return step


def stair_step(networks: Networks, variant: Variant, spent: Spent) -> Callable[[Frame], int]:
    """The product's own stair, with what the variant leaves out taken away."""
    detector = networks.detector
    if not variant.joined:
        detector = Singly(detector)
    if not variant.paced:
        window = replace(detector.card.window, rate=float(FPS))
        detector = Recarded(detector, replace(detector.card, window=window))
    judge = Judge(Policy(detector.card.thresholds), "bench", networks.label, "bench")
    analysis = Analysis(detector, Tracker(networks.faces), judge, CpuMeter(spent))
    return lambda frame: len(analysis.step(frame).tracks)


def run(clip: Path, variant: Variant, networks: Networks, seconds: float) -> Timing:
    """One variant over a clip, for about so many seconds."""
    spent: Spent = defaultdict(float)
    frames = find(str(clip)).frames(str(clip), SourceOptions())
    if not variant.tracking:
        return timed(frames, naive_step(networks, spent), seconds, 2, spent)
    return timed(frames, stair_step(networks, variant, spent), seconds, WARM, spent)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench_offline", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("variant", choices=[variant.name for variant in VARIANTS])
    parser.add_argument("--model", default="detector")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-face", type=int, default=60)
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    try:
        networks = open_networks(given.model, choose(given.provider), given.threads, given.min_face)
        variant = next(v for v in VARIANTS if v.name == given.variant)
        row = run(given.clip, variant, networks, given.seconds).row()
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({**row, "model": networks.label, "provider": networks.provider}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
