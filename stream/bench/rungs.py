"""The ladder's upper rungs: a clip through onnxruntime, one thing of ours switched on after the other.

`python -m stream.bench.rungs CLIP RUNG --model FILE`, a process of its own for each, as for the lower ones in
PyTorch (stream/bench/torch_rungs.py): from the file to the verdict, without the drawing. Prints JSON.
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
from stream.analysis import Analysis
from stream.bench.clips import FPS
from stream.errors import FacewitnessError
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.networks import Networks, open_networks
from stream.providers import choose
from stream.scorer import Scorer
from stream.sources import SourceOptions, find
from stream.tracker import Tracker
from stream.values import Frame

WARM = 30  # frames that are not timed: the tracker looks more often while faces are new

Spent = defaultdict[str, float]  # s of CPU a stage


@dataclass(frozen=True, slots=True)
class Rung:
    """What is switched on; each adds one thing to the one before."""

    name: str
    adds: str
    tracking: bool = True
    paced: bool = True  # crops at the card's rate, not of every frame
    int8: bool = True
    joined: bool = True  # a frame's crops in one run
    thorough: bool = True  # each of those crops, however settled the verdict


RUNGS = (
    Rung("onnxruntime", "(b): the encoder too", tracking=False, paced=False, int8=False, joined=False),
    Rung("tracking", "MTCNN on key frames, ONet or a glance between", paced=False, int8=False, joined=False),
    Rung("pacing", "8 crops a second of each face, not 30", int8=False, joined=False),
    Rung("int8", "the encoder's weights and activations in int8", joined=False),
    Rung("batching", "a frame's crops in one run"),
    Rung("doubt", "every other crop while the verdict is far from any change", thorough=False),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """What a rung took, decoding included."""

    frames: int
    faces: int
    cpu_s: float  # of all threads
    wall_s: float
    stages: dict[str, float]  # CPU ms a frame

    def row(self) -> dict[str, Any]:
        """For JSON."""
        per = {"cpu_ms": self.cpu_s, "wall_ms": self.wall_s}
        return {**asdict(self), **{name: round(1000 * s / max(self.frames, 1), 3) for name, s in per.items()}}


def timed(
    pictures: Iterator[Any], step: Callable[[Any], int], seconds: float, warm: int, spent: Spent
) -> Timing:
    """Take pictures one by one through `step`, which returns the faces, until the end or `seconds` are over.

    spent: s of CPU a stage, which `step` adds to. The first `warm` pictures are not counted.
    """
    frames = faces = 0
    begin = cpu = 0.0
    for number, picture in enumerate(pictures):
        if number == warm:
            frames = faces = 0
            spent.clear()
            begin, cpu = time.monotonic(), time.process_time()
        faces += step(picture)
        frames += 1
        if number > warm and time.monotonic() - begin > seconds:
            break
    if not begin:
        raise ValueError(f"a clip of more than {warm} frames is needed")
    cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - begin
    stages = {name: round(1000 * value / frames, 3) for name, value in spent.items()}
    stages["decode and the rest"] = round(1000 * cpu_s / frames - sum(stages.values()), 3)
    return Timing(frames, faces, round(cpu_s, 3), round(wall_s, 3), stages)


class Changed:
    """A detector that samples at another rate, or takes one crop at a time."""

    def __init__(self, detector: Scorer, *, rate: float, joined: bool) -> None:
        """rate: crops a second of each face."""
        self._detector, self._joined = detector, joined
        self.card: Card = replace(detector.card, window=replace(detector.card.window, rate=rate))

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """As the detector's, in as many runs as there are crops unless joined."""
        looks = np.ones(len(crops), bool) if closely is None else closely
        if self._joined:
            return self._detector.encode(crops, looks)
        return np.concatenate(
            [self._detector.encode(crops[i : i + 1], looks[i : i + 1]) for i in range(len(crops))]
        )

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the detector's."""
        return self._detector.score(features, weights)


class CpuMeter(Meter):
    """A meter that adds up; wall time is CPU time where one thread works, near enough."""

    def __init__(self, spent: Spent) -> None:
        super().__init__()
        self.spent = spent

    def note(self, name: str, seconds: float) -> None:
        """Add a measurement."""
        self.spent[name] += seconds


def every_frame(networks: Networks, spent: Spent) -> Callable[[Frame], int]:
    """Detection on every frame, every face encoded alone and judged by itself."""
    detector, faces = networks.detector, networks.faces

    def step(frame: Frame) -> int:
        begin = time.process_time()
        found = faces.detect(frame.image)
        then = time.process_time()
        spent["detect"] += then - begin
        for face in found:
            feature = detector.encode(crop_face(frame.image, face.box, detector.card.crop)[None])
            detector.score(feature[None], np.ones((1, 1), np.float32))
        spent["encode"] += time.process_time() - then
        return len(found)

    return step


def stair(networks: Networks, rung: Rung, spent: Spent) -> Callable[[Frame], int]:
    """The product's own stair, with what the rung leaves out taken away."""
    rate = networks.detector.card.window.rate if rung.paced else float(FPS)
    detector = Changed(networks.detector, rate=rate, joined=rung.joined)
    judge = Judge(Policy(detector.card.thresholds), "bench", networks.label, "bench")
    meter = CpuMeter(spent)
    analysis = Analysis(detector, Tracker(networks.faces), judge, meter, thorough=rung.thorough)
    return lambda frame: len(analysis.step(frame).tracks)


def run(clip: Path, rung: Rung, networks: Networks, seconds: float) -> Timing:
    """One rung over a clip, for about so many seconds."""
    spent: Spent = defaultdict(float)
    frames = find(str(clip)).frames(str(clip), SourceOptions())
    if not rung.tracking:
        return timed(frames, every_frame(networks, spent), seconds, 2, spent)
    return timed(frames, stair(networks, rung, spent), seconds, WARM, spent)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench.rungs", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("rung", choices=[rung.name for rung in RUNGS])
    parser.add_argument("--model", default="detector")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-face", type=int, default=60)
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    try:
        networks = open_networks(given.model, choose(given.provider), given.threads, given.min_face)
        rung = next(rung for rung in RUNGS if rung.name == given.rung)
        row = run(given.clip, rung, networks, given.seconds).row()
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({**row, "model": networks.label, "provider": networks.provider}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
