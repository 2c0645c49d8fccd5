"""Shows that the fast path says what the slow path says: `python -m stream.agreement FILES…`.

The fast path is the product's own stair: detection on key frames, ONet between, a frame's crops in one run,
the second eye on some of them. The slow path looks over every frame with the whole detector, and encodes each
crop alone, with both eyes. `--every-frame` samples a crop of every frame too, at which the temporal head is
another detector: it was trained at the card's rate. A second's state is the one that stood longest in it.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.card import Card
from stream.analysis import Analysis, Scorer
from stream.config import PROVIDERS
from stream.crops import VIDEOS
from stream.errors import ConfigError, FacewitnessError, Truncated
from stream.faces import FaceDetector
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.networks import Networks, open_networks
from stream.providers import choose
from stream.sources import SourceOptions, display_name, find
from stream.suppression import overlap
from stream.tracker import Intervals, Tracker
from stream.values import Face, Frame, Phase, State

WANTED = 0.99  # of the seconds
EVERY = 240.0  # crops a second that no source has: one of each frame
THERE = 0.3  # overlap from which a face found in the whole picture is the one expected in a box


class EveryFrame:
    """A looker that has only the whole detector: what is expected in a box is sought in all that it finds."""

    def __init__(self, faces: FaceDetector) -> None:
        self._faces = faces
        self._image: NDArray[np.uint8] | None = None
        self._found: Sequence[Face] = ()

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Face]:
        """All faces of a picture; the same picture is looked over once."""
        if image is not self._image:
            self._image, self._found = image, self._faces.detect(image)
        return self._found

    def refine(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Sequence[Face | None]:
        """For each box (N, 4) the face of the whole picture that overlaps it most, or None."""
        found = self.detect(image)
        if not found:
            return [None] * len(boxes)
        common = overlap(np.asarray(boxes, np.float32), np.stack([face.box for face in found]))
        best = common.argmax(axis=1)
        return [found[j] if common[i, j] > THERE else None for i, j in enumerate(best)]


class EveryCrop:
    """A detector that takes one crop at a time and looks at each with both eyes."""

    def __init__(self, detector: Scorer, rate: float | None) -> None:
        """rate: crops a second of each face; None: the card's."""
        card = detector.card
        if rate is not None:
            card = replace(card, window=replace(card.window, rate=rate))
        self._detector = detector
        self.card: Card = card

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """(N, S, S, 3) to (N, D), one run for each."""
        return np.concatenate([self._detector.encode(crop[None]) for crop in crops])

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows to probabilities, one run for each."""
        windows = zip(features, weights, strict=True)
        return np.concatenate([self._detector.score(f[None], w[None]) for f, w in windows])


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the two paths agree on one video, or on all."""

    name: str
    seconds: int
    same_seconds: int
    same_frames: float  # share of all frames with the same state
    fast_alerts: tuple[float, ...]  # s, when each alert opened
    slow_alerts: tuple[float, ...]


def fast(networks: Networks) -> Callable[[], Analysis]:
    """Makes the product's own stair."""
    return lambda: _stair(networks, networks.detector, Tracker(networks.faces))


def slow(networks: Networks, rate: float | None) -> Callable[[], Analysis]:
    """Makes the stair that leaves nothing out."""
    always = Intervals(0.0, 0.0, 0.0, 0.0)
    detector = EveryCrop(networks.detector, rate)
    return lambda: _stair(networks, detector, Tracker(EveryFrame(networks.faces), always))


def _stair(networks: Networks, detector: Scorer, tracker: Tracker) -> Analysis:
    judge = Judge(Policy(detector.card.thresholds), "agreement", networks.label, "agreement")
    return Analysis(detector, tracker, judge, Meter())


def compare(name: str, frames: Iterator[Frame], paths: Sequence[Callable[[], Analysis]]) -> Agreement:
    """Take a video through both paths, each frame decoded once. paths: the fast and the slow one."""
    stairs = [make() for make in paths]
    states: list[list[tuple[float, State]]] = [[], []]
    alerts: list[list[float]] = [[], []]
    for frame in frames:
        for stair, told, opened in zip(stairs, states, alerts, strict=True):
            result = stair.step(frame)
            told.append((frame.time, result.state))
            opened += [round(frame.time, 2) for alert in result.alerts if alert.phase is Phase.OPENED]
    ours, theirs = (by_second(told) for told in states)
    same = sum(a is b for (_, a), (_, b) in zip(*states, strict=True))
    return Agreement(
        name,
        len(ours),
        sum(ours[second] is theirs[second] for second in ours),
        same / max(len(states[0]), 1),
        tuple(alerts[0]),
        tuple(alerts[1]),
    )


def by_second(told: Sequence[tuple[float, State]]) -> dict[int, State]:
    """The state that stood in most of each second's frames; of two alike the earlier."""
    counts: dict[int, Counter[State]] = defaultdict(Counter)
    for time, state in told:
        counts[int(time)][state] += 1
    return {second: counted.most_common(1)[0][0] for second, counted in counts.items()}


def videos_of(words: Sequence[str]) -> Iterator[str]:
    """The videos that are named, and those in folders that are."""
    for word in words:
        if not Path(word).is_dir():
            yield word
            continue
        yield from (str(p) for p in sorted(Path(word).rglob("*")) if p.suffix.lower() in VIDEOS)


def frames_of(name: str, duration: float | None) -> Iterator[Frame]:
    """A video's frames, the first `duration` s of it; one that is cut off as far as it goes.

    Raises a SourceError, ConfigError for a live source.
    """
    source = find(name)
    if source.LIVE:
        raise ConfigError(f"{display_name(name)}: a live source is never twice the same; give files")
    try:
        for frame in source.frames(name, SourceOptions()):
            if duration is not None and frame.time >= duration:
                return
            yield frame
    except Truncated as error:
        print(f"agreement: {error}", file=sys.stderr)


def row(found: Agreement) -> str:
    """One video for people."""
    alerts = f"fast {list(found.fast_alerts)}, slow {list(found.slow_alerts)}"
    return (
        f"{found.name}: {found.same_seconds} of {found.seconds} seconds, "
        f"{found.same_frames:.2%} of the frames; alerts at s: {alerts}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where both agree in 99 % of all seconds, 1 where not, else an error's code."""
    given = _parser().parse_args(arguments)
    try:
        networks = open_networks(given.model, choose(given.provider), given.threads, given.min_face)
    except FacewitnessError as error:
        print(f"agreement: {error}", file=sys.stderr)
        return error.exit_code
    paths = fast(networks), slow(networks, EVERY if given.every_frame else None)
    found: list[Agreement] = []
    skipped: list[str] = []
    code = 0
    for name in videos_of(given.files):
        try:
            found.append(compare(display_name(name), frames_of(name, given.duration), paths))
        except FacewitnessError as error:
            print(f"agreement: {error}", file=sys.stderr)
            skipped, code = [*skipped, display_name(name)], error.exit_code
            continue
        print(row(found[-1]), flush=True)
    if not found:
        return code or ConfigError.exit_code
    seconds, same = sum(a.seconds for a in found), sum(a.same_seconds for a in found)
    share = same / seconds
    print(f"all: {same} of {seconds} seconds, {share:.1%}; wanted {WANTED:.0%}")
    if given.json:
        report = {
            "schema": 1,
            "type": "agreement",
            "model": networks.label,
            "share": share,
            "skipped": skipped,
        }
        Path(given.json).write_text(json.dumps({**report, "files": [asdict(a) for a in found]}, indent=1))
    return 0 if share >= WANTED else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stream.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="videos, folders of them, or `demo`")
    add("--every-frame", action="store_true", help="the slow path samples a crop of every frame")
    add("--duration", type=float, metavar="S", help="the first seconds of each")
    add("--json", metavar="FILE", help="the report")
    add("--model", default="detector")
    add("--provider", choices=PROVIDERS, default="cpu")
    add("--threads", type=int, default=1)
    add("--min-face", type=int, default=60, help="px (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
