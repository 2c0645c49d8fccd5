"""The report card under conditions: video AUC against bitrate, size, blur, noise and more, as curves.

    python -m models.robustness FOLDER… [--model NAME] [--kind bitrate …] [--json FILE] [--plots DIR]

Every file, real and fake alike, is put under each condition (models/conditions.py), encoded, and watched by
the live path as models.evaluate does.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.conditions import KINDS, Condition
from models.evaluate import Choice, plan_of, watch_plan
from models.report import report_card
from models.watched import Item
from models.watching import LivePath, Model

KEPT = ("video_auc", "video_auc_ci", "frame_auc", "videos_real", "videos_fake", "recall", "false_alarms")
Curves = dict[str, dict[str, list[dict[str, Any]]]]  # kind -> folder -> one entry for each amount


def curves(live: LivePath, plan: Mapping[str, Sequence[Item]], kinds: Sequence[str]) -> Curves:
    """Watch everything under each amount of each kind. plan: files by folder name."""
    found: Curves = {}
    for kind in kinds:
        of_kind: dict[str, list[dict[str, Any]]] = {}
        for amount in KINDS[kind].amounts:
            condition = Condition(kind, amount)
            sys.stderr.write(f"{condition.label}\n")
            watched = watch_plan(replace(live, condition=condition), plan)
            for name, told in report_card(watched, live.model.alert_on).items():
                kept = {key: told[key] for key in KEPT}
                of_kind.setdefault(name, []).append(
                    {"amount": amount, **kept, "not_scored": len(told["not_scored"])}
                )
        found[kind] = of_kind
    return found


def markdown(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], title: str) -> str:
    """A row for each condition, a column for each folder: AUC, interval, files scored."""
    names = list(next(iter(found.values())))
    names = names[:1] if len(names) == 2 else names  # one folder: pooled says the same
    lines = [title, "", f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for kind, folders in found.items():
        for index, amount in enumerate(entry["amount"] for entry in folders[names[0]]):
            cells = [_cell(folders[name][index]) for name in names]
            lines.append(f"| {Condition(kind, amount).label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(entry: Mapping[str, Any]) -> str:
    scored = entry["videos_real"] + entry["videos_fake"]
    of = f"{scored} of {scored + entry['not_scored']}"
    if entry["video_auc"] is None:
        return f"– ({of})"
    low, high = entry["video_auc_ci"]
    return f"{entry['video_auc']:.3f} [{low:.3f}, {high:.3f}] ({of})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.robustness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="detector", help="a name that ships, or a file.onnx")
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be given again; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them: robustness.png")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep what was watched, to go on later")
    parser.add_argument("--held-apart", action="store_true", help="leave out what models.splits trains on")
    parser.add_argument("--seconds", type=float, metavar="S", help="watch only the beginning of each file")
    parser.add_argument("--each", type=int, metavar="N", help="at most N files of each side and kind")
    args = parser.parse_intermixed_args(arguments)
    try:
        model = Model.find(args.model)
        live = LivePath(model, args.seconds, args.cache)
        plan = plan_of(args.folders, [], Choice(args.held_apart, args.each))
        found = curves(live, plan, args.kind or list(KINDS))
        sys.stdout.write(markdown(found, f"{model.label} (sha256 {model.sha256[:12]})"))
        if args.json:
            args.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        if args.plots:
            from models.robustness_plot import draw_curves

            sys.stderr.write(f"{draw_curves(found, args.plots)}\n")
    except (ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"robustness: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("robustness: stopped; with --cache the next run goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
