"""Measure an exported detector through the live path, over folders that hold real/ and fake/ videos.

    python -m models.evaluate FOLDER… [--held-apart] [--model FILE] [--json FILE]

Each video is watched by `facewitness watch` in a process of its own: the same reader, faces, tracks, windows
and head as live. A video's score is the mean over the track with the most scores. Videos without a scored
face are listed, never hidden, and stay out of the AUC.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.metrics import auc, auc_interval, pairs_right
from models.splits import is_training

VIDEOS = frozenset({".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm"})
NO_FACES = 16  # the exit code of `facewitness watch` for a file in which no face was found


@dataclass(frozen=True, slots=True)
class Watched:
    """What the live path said of one video."""

    name: str  # its path below real/ or fake/, without the suffix
    fake: bool
    score: float | None  # 0..1, None where nothing was scored
    values: tuple[float, ...]  # of the longest track
    note: str = ""  # why there is no score


def videos_of(folder: Path) -> list[tuple[Path, bool]]:
    """The videos below a folder and whether they are fake. Raises ValueError where a side is missing."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS):
        sides = {"real", "fake"} & set(path.relative_to(folder).parts)
        if len(sides) == 1:
            found.append((path, sides == {"fake"}))
    if {fake for _, fake in found} != {True, False}:
        raise ValueError(f"{folder} holds no videos under both real/ and fake/")
    return found


def watch(path: Path, model: Path | None) -> tuple[list[dict[str, Any]], str]:
    """All score lines of `facewitness watch` on a file, and a note where there are none."""
    with tempfile.TemporaryDirectory() as folder:
        scores = Path(folder) / "scores.jsonl"
        command = [sys.executable, "-m", "stream.cli", "watch", str(path), "--scores", str(scores), "--quiet"]
        if model is not None:
            command += ["--model", str(model)]
        run = subprocess.run(command, capture_output=True, text=True)
        lines = scores.read_text().splitlines() if scores.exists() else []
    parsed = [line for line in map(json.loads, lines) if line["type"] == "score"]
    if run.returncode not in (0, NO_FACES):
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"facewitness watch {path} ended with {run.returncode}: {last}")
    return parsed, "no face found" if run.returncode == NO_FACES else ""


def summarise(name: str, fake: bool, lines: list[dict[str, Any]], note: str = "") -> Watched:
    """The mean over the track with the most scores."""
    tracks: dict[int, list[float]] = defaultdict(list)
    reasons: dict[str, int] = defaultdict(int)
    for line in lines:
        if line["value"] is None:
            reasons[line["reason"]] += 1
        else:
            tracks[line["track"]].append(line["value"])
    if not tracks:
        why = max(reasons, key=reasons.__getitem__) if reasons else "no face found"
        return Watched(name, fake, None, (), note or why)
    values = tuple(tracks[max(tracks, key=lambda t: len(tracks[t]))])
    return Watched(name, fake, statistics.fmean(values), values)


def figures(watched: list[Watched]) -> dict[str, Any]:
    """AUC with a bootstrap interval, pairs of the same name, and who was not scored."""
    real = {w.name: w.score for w in watched if not w.fake and w.score is not None}
    fake = {w.name: w.score for w in watched if w.fake and w.score is not None}
    low, high = auc_interval(list(real.values()), list(fake.values()))
    right, both = pairs_right(real, fake)
    windows: dict[bool, list[float]] = {
        side: [v for w in watched if w.fake == side for v in w.values] for side in (False, True)
    }
    result: dict[str, Any] = {
        "video_auc": _round(auc(list(real.values()), list(fake.values()))),
        "video_auc_ci": [_round(low), _round(high)],
        "window_auc": _round(auc(windows[False], windows[True])),
        "videos_real": len(real),
        "videos_fake": len(fake),
        "not_scored": {
            f"{'fake' if w.fake else 'real'}/{w.name}": w.note for w in watched if w.score is None
        },
        "scores": {f"{'fake' if w.fake else 'real'}/{w.name}": _round(w.score) for w in watched},
    }
    if both:
        result["pairs_right"], result["pairs"] = right, both
    return result


def _round(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)


def evaluate(folder: Path, model: Path | None, held_apart: bool = False) -> list[Watched]:
    """Watch all videos of a folder; `held_apart` leaves out those that models.splits trains on."""
    watched = []
    for path, fake in videos_of(folder):
        relative = path.relative_to(folder).with_suffix("")
        if held_apart and is_training("__".join((folder.name, *relative.parts))):
            continue
        name = relative.as_posix()
        name = name.removeprefix("fake/" if fake else "real/")
        watched.append(summarise(name, fake, *watch(path, model)))
        score = watched[-1].score
        said = watched[-1].note if score is None else f"{score:.3f}"
        sys.stderr.write(f"{'fake' if fake else 'real'}  {said}  {name}\n")
    return watched


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--model", type=Path, help="an exported file (default: the shipped one)")
    parser.add_argument("--json", type=Path, help="write the figures of all folders as one object")
    parser.add_argument("--held-apart", action="store_true", help="leave out what models.splits trains on")
    args = parser.parse_args()
    everything = {}
    for folder in args.folders:
        found = figures(evaluate(folder, args.model, args.held_apart))
        everything[folder.name] = found
        low, high = found["video_auc_ci"]
        pairs = (
            f", fake above its real in {found['pairs_right']} of {found['pairs']}" if "pairs" in found else ""
        )
        print(
            f"{folder.name}: video AUC {found['video_auc']} [{low}, {high}] over {found['videos_real']} real "
            f"and {found['videos_fake']} fake{pairs}; not scored: {len(found['not_scored'])}"
        )
    if args.json:
        args.json.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
