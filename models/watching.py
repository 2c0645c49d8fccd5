"""Runs the live path over files: `facewitness watch` in a process of its own for each, its answers kept.

Pictures go through `facewitness check` where the detector has a judge of single pictures, else they are
watched as three seconds of themselves.

What has been watched is kept under a cache folder by the hashes of the model, of the file and of the live
path's own sources, so that a long run goes on where it was stopped, and never with stale scores.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import av

from models.conditions import Condition, write_under
from models.still_clip import write_still_clip
from models.watched import Item, Watched, main_track

NO_FACES, TRUNCATED = 16, 14  # exit codes of `facewitness watch`
BAD_FILES = frozenset({10, 11, 12, 13, TRUNCATED, 15, NO_FACES, 17})  # say something of the file, not of us
LIVE_SOURCES = (  # `stream/**` holds the check too
    "stream/**/*.py",
    "export/card.py",
    "export/detector.py",
    "export/session.py",
    "export/weights/mtcnn_*.onnx",
    "models/crop.py",
)
LOGGED = ("track", "time", "value", "reason", "size", "sharpness", "yaw")  # of a line of --scores
PATIENCE = 60.0  # times its own length that a file may take, and not less than 10 minutes


@dataclass(frozen=True, slots=True)
class Model:
    """A detector as `python -m export.describe` tells it."""

    path: Path
    sha256: str
    label: str  # name and version
    alert_on: float  # the shipped threshold
    still: bool = False  # whether it has a judge of single pictures

    @staticmethod
    def find(name: str) -> "Model":
        """By name or path. Raises RuntimeError where it cannot be opened."""
        # models imports nothing of export: its commands do the rest.
        run = subprocess.run([sys.executable, "-m", "export.describe", name], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(_last_line(run.stderr))
        told = json.loads(run.stdout)
        card = told["card"]
        label = f"{card['name']} {card['version']}"
        still = card.get("still") is not None
        return Model(Path(told["path"]), told["sha256"], label, card["thresholds"]["alert_on"], still)


@dataclass(frozen=True, slots=True)
class LivePath:
    """How files are watched."""

    model: Model
    seconds: float | None = None  # at most, of each file
    cache: Path | None = None
    condition: Condition | None = None  # what each file is put under first

    def watch(self, item: Item) -> Watched:
        """Watch one file, or remember it. Raises RuntimeError where the command fails for its own reasons."""
        kept = self.cache / f"{self._key(item)}.json" if self.cache else None
        told: dict[str, Any] | None = None
        if kept and kept.exists():
            told = json.loads(kept.read_text())
        if told is None:
            told = self._run(item)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                part = kept.with_suffix(".part")
                part.write_text(json.dumps(told))
                part.replace(kept)
        samples, why = main_track(told["lines"])
        seconds = 0.0 if item.picture else told["seconds"]
        return Watched(item, samples, told["opened"], seconds, told["note"] or why)

    def _key(self, item: Item) -> str:
        parts = self.model.sha256, _sha256(item.path), live_digest(), str(self.seconds), str(self.condition)
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]

    def _run(self, item: Item) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if item.picture and self.model.still and self.condition is None:
                return self._checked(item, folder)
            try:
                source = self._prepared(item, folder)
            except (ValueError, av.FFmpegError) as error:
                return {"lines": [], "opened": 0, "seconds": 0.0, "note": f"{item.path.name}: {error}"}
            length = min(_length(source), self.seconds or float("inf"))
            code, said = self._command(source, folder, length)
            lines, events = _json_lines(folder / "scores.jsonl"), _json_lines(folder / "alerts.jsonl")
        note = "no face found" if code == NO_FACES else said.replace(str(item.path), item.path.name)
        scores = [[x[key] for key in LOGGED] for x in lines if x["type"] == "score"]
        opened = sum(x["phase"] == "opened" for x in events)
        return {"lines": scores, "opened": opened, "seconds": length, "note": note if code else ""}

    def _checked(self, item: Item, folder: Path) -> dict[str, Any]:
        """What `facewitness check` says of a picture: a sample a face, the largest first."""
        out = folder / "check.json"
        command = [sys.executable, "-m", "stream.cli", "check", str(item.path), "--json", str(out), "--quiet"]
        run = subprocess.run([*command, "--model", str(self.model.path)], capture_output=True, text=True)
        if not out.exists() or not out.stat().st_size:
            raise RuntimeError(f"checking {item.path} ended with {run.returncode}: {_last_line(run.stderr)}")
        (told,) = json.loads(out.read_text())["files"]
        faces = [[f["face"], 0.0, f["fake"], f["reason"], f["size"], None, None] for f in told["faces"]]
        note = told["error"]["line"] if told["error"] else "" if faces else "no face found"
        return {"lines": faces, "opened": 0, "seconds": 0.0, "note": note}

    def _prepared(self, item: Item, folder: Path) -> Path:
        """The file itself, or what has been made of it in `folder`."""
        source = item.path
        if item.picture:
            source = folder / "still.mkv"
            write_still_clip(item.path, source)
        if self.condition:
            write_under(source, folder / "under.mkv", self.condition, self.seconds)
            source = folder / "under.mkv"
        return source

    def _command(self, source: Path, folder: Path, length: float) -> tuple[int, str]:
        """The exit code and the last line of `facewitness watch`, which writes its answers into `folder`."""
        command = [sys.executable, "-m", "stream.cli", "watch", str(source), "--model", str(self.model.path)]
        command += ["--quiet", "--scores", str(folder / "scores.jsonl")]
        command += ["--alert", f"jsonl:{folder / 'alerts.jsonl'}"]
        if self.seconds is not None:
            command += ["--duration", str(self.seconds)]
        limit = max(600.0, PATIENCE * length)
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"watching {source} took more than {limit:.0f} s") from None
        said = _last_line(run.stderr)
        if run.returncode and run.returncode not in BAD_FILES:
            raise RuntimeError(f"watching {source} ended with {run.returncode}: {said}")
        return run.returncode, said


def watch_all(live: LivePath, items: Iterable[Item], out: TextIO) -> Iterator[Watched]:
    """Watch files one after another; a line for each on `out`, with the time left."""
    listed, begin = list(items), time.monotonic()
    for number, item in enumerate(listed, 1):
        watched = live.watch(item)
        spent = time.monotonic() - begin
        left = spent / number * (len(listed) - number)
        said = watched.note if watched.score is None else f"{watched.score:.3f}"
        out.write(f"[{number}/{len(listed)}, {_words(left)} left] {item.name}: {said}\n")
        out.flush()
        yield watched


def live_digest() -> str:
    """A hash over the sources and face networks that decide what the live path says."""
    spec = find_spec("stream")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the live path, package stream, is not installed")
    root, digest = Path(spec.submodule_search_locations[0]).parent, hashlib.sha256()
    for pattern in LIVE_SOURCES:
        for path in sorted(root.glob(pattern)):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _length(path: Path) -> float:
    """The length of a video in s; 0 where it does not say."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError):
        return 0.0


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
