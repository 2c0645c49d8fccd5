"""What `--explain` costs: the same clip analysed and drawn with heat and without, in turns, at full speed.

    python -m stream.bench.explain [--faces 2] [--seconds 16] [--turns 5] [--json FILE]

Analysis and drawing on one thread, the clip of 720p decoded beforehand, so that neither decoding nor an
encoder hides the cost. Two figures: heat drawn or not (the maps themselves are always taken: they cost next
to nothing), and a detector without maps as the rival of both.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stream.analysis import Analysis
from stream.bench.clips import Clip, make_clip
from stream.errors import FacewitnessError
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.networks import Networks, open_networks
from stream.overlay import draw
from stream.providers import choose
from stream.scorer import Scorer
from stream.sources import SourceOptions, find
from stream.tracker import Tracker
from stream.values import Frame, Health

WAYS = ("without maps", "maps, not drawn", "heat drawn")
KEPT = 240  # decoded frames at most: 0.66 GB of 720p


class _Plain:
    """A detector that gives no maps."""

    def __init__(self, detector: Scorer) -> None:
        self.card, self.encode, self.score = detector.card, detector.encode, detector.score


def run(frames: list[Frame], networks: Networks, way: str) -> float:
    """Frames a CPU second of analysis and drawing over these frames."""
    detector: Scorer = networks.detector if way != WAYS[0] else _Plain(networks.detector)  # type: ignore[assignment]
    judge = Judge(Policy(detector.card.thresholds), "bench", networks.label, "bench")
    analysis = Analysis(detector, Tracker(networks.faces), judge, Meter())
    health = Health("bench", networks.provider, True, 30.0, 0.05, 0, 0, explain=way == WAYS[2])
    begin = time.process_time()
    for frame in frames:
        draw(analysis.step(frame), health)
    return len(frames) / (time.process_time() - begin)


def measure(clip: Clip, turns: int) -> dict[str, Any]:
    """Medians over the turns, and the ratios to the way without maps."""
    networks = open_networks("detector", choose("cpu"), 1, 60)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path, clip)
        source = find(str(path)).frames(str(path), SourceOptions())
        # From the swap on, so that faces are suspected, which is when there is heat, and moments are asked.
        begin = round(clip.swap_at * 30)
        frames = [f for i, f in enumerate(source) if begin <= i < begin + KEPT]
    frames = [replace(frame, time=i / 30, index=i) for i, frame in enumerate(frames)]
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(turns + 1):
        for way in WAYS:
            rate = run(frames, networks, way)
            if turn:  # the first warms up
                found[way].append(rate)
    medians = {way: float(np.median(rates)) for way, rates in found.items()}
    return {
        "clip": clip.label,
        "frames": len(frames),
        "frames_a_cpu_second": {way: round(rate, 1) for way, rate in medians.items()},
        "spread": {way: [round(min(r), 1), round(max(r), 1)] for way, r in found.items()},
        "cost": {way: round(1 - medians[way] / medians[WAYS[0]], 3) for way in WAYS[1:]},
    }


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stream.bench.explain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--faces", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        told = measure(Clip(faces=given.faces, seconds=given.seconds), given.turns)
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{told['clip']}, {told['frames']} frames; frames a CPU second:")
    for way in WAYS:
        low, high = told["spread"][way]
        cost = f"  cost {told['cost'][way]:.1%}" if way in told["cost"] else ""
        print(f"  {way:<16} {told['frames_a_cpu_second'][way]:6.1f}  [{low}, {high}]{cost}")
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
