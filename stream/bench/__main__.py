"""`python -m stream.bench`: what it costs to watch live streams, and how many of them this machine holds.

    python -m stream.bench                          # one stream by the real command, as a user runs it
    python -m stream.bench --streams 1,2,4,8        # several in one process, then the rivals in the same run
    python -m stream.bench --streams 1,2,4,8,16,32,64 --provider cuda --decoded --batches 1,2,4,8,16,32,64

Nothing is fetched: the clips are made on the spot from the portraits in stream/assets (H.264, a key frame
every 2 s) and served as MPEG-TS over TCP on loopback, at their own pace, by a process of its own. Age counts
from the arrival of a frame's packet to its overlay. A number of streams counts as held where 95 % of the
frames were decoded and analysed, p95 of the age is at most 150 ms and does not grow, and every swapped face
was an alert within 2 s; where the governor chooses the rates (--governed), four frames a second of each are
enough, the least that it leaves. The rivals, (a) in PyTorch and (b) naively in onnxruntime, stand on one
ladder with ours, which tells what each thing of ours gave. Needs psutil (the [dev] extra); the rivals need
[train].
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stream.bench.batches import curve
from stream.bench.clips import Clip
from stream.bench.gauges import machine
from stream.bench.report import batches_table, ladder_table, need_matplotlib, plot, streams_table
from stream.bench.rivals import compare, missing
from stream.bench.runner import Plan
from stream.bench.single import held, measure, tell
from stream.bench.streams import growth, held_at_most
from stream.bench.streams import measure as measure_streams
from stream.config import PROVIDERS
from stream.errors import ConfigError, FacewitnessError
from stream.networks import open_networks
from stream.providers import choose

SCHEMA = 1
LEAST = 5.0  # s that one stream must be watched for its figures to mean something


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 where all that was measured was held, 1 where not, else an error's code."""
    parser = _parser()
    given, extra = parser.parse_known_args(arguments)  # for one stream the rest goes to `facewitness watch`
    many = given.streams is not None or given.batches is not None or given.rivals is True
    if many and extra:
        parser.error(f"unrecognised: {' '.join(extra)}")
    if given.governed and given.sparing:
        parser.error("--sparing: the governor decides that")
    if given.seconds < LEAST and not many:
        parser.error(f"--seconds: at least {LEAST:g}")
    try:
        if find_spec("psutil") is None:
            raise ConfigError(
                "the benchmark needs psutil, which is not installed: pip install 'facewitness[dev]'"
            )
        if given.plot is not None:
            need_matplotlib()
        return _many(given) if many else _one(given, extra)
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code


def _one(given: argparse.Namespace, extra: list[str]) -> int:
    """One stream by the real command."""
    report = measure(given.seconds, ["--provider", given.provider, *extra])
    _write(report, given.json)
    print(tell(report))
    return 0 if held(report) else 1


def _many(given: argparse.Namespace) -> int:
    """The table of streams, the batch-size curve, the rivals: what was asked for, in one run."""
    choose(given.provider)  # what cannot be had is told before anything is measured
    # Decoded frames lie in memory: half as many of them.
    seconds = 8.0 if given.decoded else 16.0
    sizes = [(wide, high, faces) for wide, high in given.size for faces in given.faces]
    clips = [Clip(*size, seconds, b_frames=given.b_frames) for size in sizes]
    report: dict[str, Any] = {"schema": SCHEMA, "type": "bench", "machine": machine()}
    try:
        if given.batches is not None:
            _batches(given, clips[0], report)
        if given.streams is not None:
            for clip in clips:
                _streams(given, clip, report)
            if given.plot is not None:
                plot(report["streams"], given.plot, f"{report['machine'].split(',')[0]}, {given.provider}")
        if given.rivals or (given.rivals is None and given.streams is not None):
            _rivals(given, report)
    finally:  # what was measured is not lost where a later part fails
        _write(report, given.json)
    rows = report.get("streams", [])
    return 0 if all(row["held"] for row in rows) else 1


def _streams(given: argparse.Namespace, clip: Clip, report: dict[str, Any]) -> None:
    plan = Plan(
        clip,
        given.seconds,
        model=given.model,
        provider=given.provider,
        threads=given.threads,
        min_face=given.min_face,
        rate=given.rate,
        sparing=given.sparing,
        governed=given.governed,
        batching=given.batching,
        deadline=given.deadline / 1000,
    )
    rows = measure_streams(plan, given.streams, live=not given.decoded)
    most, grown = held_at_most(rows), growth(rows)
    report.setdefault("streams", []).extend(rows)
    report.setdefault("held", {})[clip.label], report.setdefault("growth", {})[clip.label] = most, grown
    print(
        f"{report['machine']}, {rows[0]['model']}, {rows[0]['provider']}; {clip.label}, {rows[0]['source']}"
        + (", governed" if given.governed else "")
    )
    print(streams_table(rows))
    told = "–" if grown is None else f"{grown:.0%} dearer"
    print(f"held at most: {most}; the dearest stream beside the cheapest: {told}\n", flush=True)


def _batches(given: argparse.Namespace, clip: Clip, report: dict[str, Any]) -> None:
    networks = open_networks(given.model, choose(given.provider), given.threads, given.min_face)
    report["batches"] = curve(networks, clip, given.batches)
    print(f"{report['machine']}, {networks.label}, {networks.provider}")
    print(batches_table(report["batches"]) + "\n", flush=True)


def _rivals(given: argparse.Namespace, report: dict[str, Any]) -> None:
    if why := missing():
        report["rivals"] = {"missing": why}
        print(why, file=sys.stderr)
        return
    found = compare(
        given.rival_seconds,
        weights=given.rival_weights,
        model=given.model,
        provider=given.provider,
        threads=given.threads,
        min_face=given.min_face,
    )
    ratios = {key: value for key, value in found.items() if "speedup" in key}
    report |= {"rivals": found, **ratios}
    print(
        f"{report['machine']}; {found['clip']}, from the file to the verdict, {given.threads} thread(s) each"
    )
    print(f"the encoder on all rungs: InceptionResnetV1 at 256 px, {found['weights']}")
    print(ladder_table(found))
    print("\n".join(f"{name}: {value:.2f}" for name, value in ratios.items()), flush=True)


def _write(report: dict[str, Any], where: str | None) -> None:
    if where == "-":
        print(json.dumps(report, indent=1))
    elif where is not None:
        Path(where).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _counts(word: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in word.split(","))
    if not numbers or min(numbers) < 1:
        raise ValueError(word)
    return numbers


def _sizes(words: str) -> list[tuple[int, int]]:
    return [_size(word) for word in words.split(",")]


def _size(word: str) -> tuple[int, int]:
    width, height = {"720p": "1280x720", "1080p": "1920x1080"}.get(word, word).split("x")
    if min(int(width), int(height)) < 240 or int(width) % 2 or int(height) % 2:
        raise ValueError(word)
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stream.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--streams", type=_counts, metavar="N,N,…", help="numbers of streams to hold, one after the other")
    add("--seconds", type=float, default=60, help="measured, of each number of streams (%(default)g)")
    add("--json", nargs="?", const="-", metavar="FILE", help="the report; - or nothing: on stdout")
    add("--plot", type=Path, metavar="FILE", help="the curve of streams against age, .png or .svg")
    add(
        "--size", type=_sizes, default="720p", help="of the clips: 720p, 1080p, WIDTHxHEIGHT, … (%(default)s)"
    )
    add("--faces", type=_counts, default="2", help="people in the clips, such as 1,2,5 (%(default)s)")
    add("--b-frames", type=int, default=0, metavar="N", help="in a row at most, as broadcasts have them")
    add("--rate", type=float, metavar="FPS", help="analyse no more frames a second of each stream")
    add("--sparing", action="store_true", help="key frames and second eye as rarely as on a full machine")
    add("--governed", action="store_true", help="the governor chooses the rates, as `watch` has it")
    add("--decoded", action="store_true", help="feed decoded frames: what is left without decoding")
    add("--batches", type=_counts, metavar="N,N,…", help="time every network at these batch sizes")
    add("--batching", choices=("auto", "on", "off"), default="auto", help="across streams (where it pays)")
    add("--deadline", type=float, default=0, metavar="MS", help="batching waits so long (%(default)g)")
    add(
        "--rivals",
        action=argparse.BooleanOptionalAction,
        help="compare with other pipelines (default: with --streams)",
    )
    add("--rival-weights", type=Path, metavar="FILE", help="InceptionResnetV1 in the common layout")
    add("--rival-seconds", type=float, default=20, help="of each pipeline, in all rounds (%(default)g)")
    add("--model", default="detector", help="ours (%(default)s)")
    add("--provider", choices=PROVIDERS, default="auto")
    add("--threads", type=int, default=1, help="of each network (%(default)s)")
    add("--min-face", type=int, default=60, help="px (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
