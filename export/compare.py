"""One table of several exported detectors: what they are worth, what they weigh, what a crop costs.

    python -m export.compare FILE.onnx… [--out TABLE.md]

Beside each FILE.onnx stands FILE.json, which `python -m models.evaluate … --json FILE.json` wrote of it.
The cost is the CPU time of one crop on one thread, measured here and now, the detectors in turn, so that
other work on the machine meets all of them alike.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

from export.detector import Detector, open_detector
from export.errors import ModelError

ROUNDS = 15
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Row:
    """One detector."""

    name: str
    figures: dict[str, Any]  # as models.evaluate writes them, by folder
    parameters: int
    crop: int  # px
    milliseconds: float  # CPU time a crop, the second eye's share included
    megabytes: float


def parameters(path: Path) -> int:
    """How many numbers the encoder's graph holds, those of its second eye included."""
    return _held(onnx.load(str(path)).graph)


def _held(graph: onnx.GraphProto) -> int:
    scalars = {"scale", "zero_point"}  # of quantised tensors: no weights
    own = sum(
        int(np.prod(t.dims)) for t in graph.initializer if t.dims and t.name.rsplit("_", 1)[-1] not in scalars
    )
    inner = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return own + sum(_held(g) for g in inner)


def cost(detectors: Sequence[Detector], rounds: int = ROUNDS) -> list[float]:
    """ms of CPU time that each takes for a crop, the median over rounds in turn."""
    crops, spent = [], [[] for _ in detectors]  # type: tuple[list[np.ndarray], list[list[float]]]
    for detector in detectors:
        every = detector.card.second.every if detector.card.second else 1
        crops.append(np.zeros((every, *(2 * (detector.card.crop.size,)), 3), np.uint8))
        detector.encode(crops[-1])  # the first run allocates
    for _ in range(rounds):
        for detector, some, times in zip(detectors, crops, spent, strict=True):
            begin = time.process_time()
            for k in range(len(some)):
                detector.encode(some[k : k + 1], np.array([k == 0]))
            times.append(1e3 * (time.process_time() - begin) / len(some))
    return [median(times) for times in spent]


def rows(files: Sequence[Path]) -> list[Row]:
    """Open, measure, read the figures.

    Raises ModelError, OSError, ValueError for what is missing or damaged.
    """
    detectors = [open_detector(file) for file in files]
    return [
        Row(
            file.stem,
            json.loads(file.with_suffix(".json").read_text()),
            parameters(file),
            detector.card.crop.size,
            spent,
            file.stat().st_size / 1e6,
        )
        for file, detector, spent in zip(files, detectors, cost(detectors), strict=True)
    ]


def table(found: Sequence[Row]) -> str:
    """Markdown: a column for each folder that all rows have, then accuracy, log-loss, size and cost."""
    folders = [name for name in found[0].figures if all(name in row.figures for row in found)]
    folders = [name for name in folders if found[0].figures[name].get("video_auc") is not None]
    heads = ["detector", *(f"{name} AUC" for name in folders), "pairs", "accuracy", "log-loss", "parameters"]
    heads += ["crop", "ms a crop", "MB"]
    lines = [heads, ["---"] * len(heads)]
    for row in found:
        pooled = row.figures[POOLED]
        pairs = f"{pooled['pairs_right']} of {pooled['pairs']}" if pooled.get("pairs") else "–"
        lines.append(
            [
                f"`{row.name}`",
                *(_auc(row.figures[name]) for name in folders),
                pairs,
                f"{pooled['balanced_accuracy']:.2f}",
                f"{pooled['log_loss_even_odds']:.2f}",
                f"{row.parameters / 1e6:.2f} M",
                f"{row.crop} px",
                f"{row.milliseconds:.1f}",
                f"{row.megabytes:.1f}",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _auc(figures: dict[str, Any]) -> str:
    interval = figures.get("video_auc_ci")
    tail = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval and interval[0] is not None else ""
    return f"{figures['video_auc']:.2f}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    parser.add_argument("--out", type=Path, help="write the table there too")
    args = parser.parse_args(arguments)
    try:
        told = table(rows(args.files))
    except (ModelError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 1
    sys.stdout.write(told)
    if args.out:
        args.out.write_text(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
