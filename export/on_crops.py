"""The report card of several exported detectors at once, on crops that the live path has cut before.

    python -m stream.crops FOLDER --out CROPS/FOLDER          # reader, faces, tracks, quality: once for all
    python -m export.on_crops FILE.onnx… --crops CROPS/FOLDER… [--held-apart] [--seconds 10]

Windows are as live: the card's seconds, rate and stride, crops weighed by their quality. The judge is left
out, so nothing is said of alerts; `python -m models.evaluate` runs the whole live path. Beside each FILE.onnx
stands FILE.json afterwards, which export.compare reads.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.card import Card
from export.detector import Detector, open_detector
from export.errors import ModelError
from models.crop import cut_again
from models.identity_exam import items_of
from models.report import report_card
from models.splits import is_training
from models.watched import Item, Sample, Watched


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """The crops of a track that the quality gate lets through."""

    crops: NDArray[np.uint8]  # (N, 256, 256, 3) BGR
    times: NDArray[np.float64]  # (N,) s
    weights: NDArray[np.float32]  # (N,)

    @staticmethod
    def longest(paths: Sequence[Path], seconds: float) -> "Track | None":
        """The track with the most such crops, its first seconds; None where there is none."""
        tracks = []
        for path in paths:
            with np.load(path) as saved:
                kept = saved["weights"] > 0
                if kept.any():
                    kept &= saved["times"] <= saved["times"][kept][0] + seconds
                    arrays = saved["crops"][kept], saved["times"][kept], saved["weights"][kept]
                    tracks.append(
                        Track(arrays[0], arrays[1].astype(np.float64), arrays[2].astype(np.float32))
                    )
        return max(tracks, key=lambda track: len(track.times), default=None)


def scores(detector: Detector, track: Track) -> tuple[Sample, ...]:
    """What the head says of each window of a track."""
    card = detector.card
    every = card.second.every if card.second else 1
    features = detector.encode(cut_again(track.crops, card.crop), np.arange(len(track.times)) % every == 0)
    found = []
    for now, begin, end in windows(track.times, track.weights, card):
        said = detector.score(features[None, begin:end], track.weights[None, begin:end])
        found.append(Sample(now, float(said[0])))
    return tuple(found)


def windows(
    times: NDArray[np.float64], weights: NDArray[np.float32], card: Card
) -> list[tuple[float, int, int]]:
    """When the head runs, and the first and last crop (exclusive) that it then sees; too few give none."""
    found = []
    for now in np.arange(times[0], times[-1] + 1e-3, card.window.stride):
        begin, end = np.searchsorted(times, [now - card.window.seconds, now + 1e-3], "right")
        if card.window.enough(weights[begin:end].tolist()):
            found.append((float(now), int(begin), int(end)))
    return found


def watch(
    detectors: Sequence[Detector], folder: Path, held_apart: bool, seconds: float
) -> list[list[Watched]]:
    """For each detector what it said of the files of a folder. Raises ValueError where a side is missing."""
    said: list[list[Watched]] = [[] for _ in detectors]
    files = [x for x in items_of(folder).items() if not (held_apart and _trained(folder, x[0]))]
    begin = time.monotonic()
    for number, (item, paths) in enumerate(files, 1):
        track = Track.longest(paths, seconds)
        for detector, watched in zip(detectors, said, strict=True):
            samples = scores(detector, track) if track is not None else ()
            watched.append(Watched(item, samples, 0, 0.0, "" if samples else "too few crops"))
        left = (time.monotonic() - begin) / number * (len(files) - number)
        sys.stderr.write(f"\r{folder.name}: {number} of {len(files)}, {left:.0f} s left ")
    sys.stderr.write("\n")
    return said


def _trained(folder: Path, item: Item) -> bool:
    return is_training("__".join([folder.name, *item.name.split("/")]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.on_crops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    parser.add_argument("--crops", nargs="+", type=Path, required=True, metavar="CROPS/FOLDER")
    parser.add_argument("--held-apart", action="store_true", help="leave out what models.splits trains on")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each track")
    args = parser.parse_args(arguments)
    try:
        detectors = [open_detector(file) for file in args.files]
        folders = {f.name: watch(detectors, f, args.held_apart, args.seconds) for f in args.crops}
        for k, (file, detector) in enumerate(zip(args.files, detectors, strict=True)):
            seen = {name: said[k] for name, said in folders.items()}
            card = report_card(seen, detector.card.thresholds.alert_on)
            for found in card.values():
                found.update(
                    model_sha256=detector.sha256, seconds_each=args.seconds, on="crops of the live path"
                )
            file.with_suffix(".json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")
            told = {name: found["video_auc"] for name, found in card.items()}
            sys.stdout.write(f"{file.stem}: {json.dumps(told)}\n")
    except (ModelError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"on_crops: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
