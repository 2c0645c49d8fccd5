"""The report card: an exported detector, run through the live path over folders of real/ and fake/ files.

    python -m models.evaluate FOLDER… [--model NAME] [--json [FILE]] [--plots DIR] [--cache DIR]

Each video is watched by `facewitness watch` in a process of its own: the same reader, faces, tracks, windows,
head and judge as live; a picture is judged as `facewitness check` does, or watched as three seconds of itself
where the detector has no judge of pictures. A table goes to standard output,
or with --json alone one JSON object keyed by the folders' names. With --cache a run that was stopped goes on
where it was.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.own_videos import held_apart
from models.report import POOLED, report_card
from models.report_table import markdown
from models.splits import KNOWN, is_training
from models.watched import Item, Watched, items_of, real_items_of
from models.watching import LivePath, Model, watch_all

STDOUT = Path("-")
REAL_HELP = "a folder in which everything is real, for false alarms; may be given again"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the files are watched."""

    held_apart: bool = False  # leave out those that models.splits trains on
    each: int | None = None  # at most so many of every side and kind, spread evenly over the names

    def of(self, items: list[Item]) -> list[Item]:
        """Raises ValueError where a side that was there is left without a file."""
        left = items
        if self.held_apart:
            apart = never_trained(items)
            left = [item for item in left if item in apart]
        if self.each is not None:
            kinds: dict[tuple[bool, str], list[Item]] = {}
            for item in left:
                kinds.setdefault((item.fake, item.kind), []).append(item)
            left = [item for group in kinds.values() for item in spread(group, self.each)]
        if {item.fake for item in left} != {item.fake for item in items}:
            raise ValueError(
                f"{items[0].path.parent}: of one side no file is left; leave out --held-apart or --each"
            )
        return left


def never_trained(items: list[Item]) -> set[Item]:
    """Those that models.splits holds apart, and of one's own videos those that models.prepare does."""
    names = {item: split_name(item.path) for item in items}
    apart = {item for item, name in names.items() if name is not None and not is_training(name)}
    own = [item for item, name in names.items() if name is None]
    for base in {item.base for item in own}:
        apart |= held_apart([item for item in own if item.base == base])
    return apart


def split_name(path: Path) -> str | None:
    """What models.splits calls a file: its path from its data set's folder on, joined by two underscores.

    None for a file of no data set that it knows.
    """
    parts = path.resolve().with_suffix("").parts
    starts = [i for i, part in enumerate(parts[:-1]) if part in KNOWN]
    return "__".join(parts[starts[-1] :]) if starts else None


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of them, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def plan_of(folders: Sequence[Path], reals: Sequence[Path], choice: Choice) -> dict[str, list[Item]]:
    """The files to watch, by folder name. reals: folders in which everything is real.

    Raises ValueError for folders that cannot be told apart or used.
    """
    names = [folder.resolve().name for folder in (*folders, *reals)]
    if len(set(names)) != len(names) or POOLED in names:
        raise ValueError(f"folders need names of their own, none of them {POOLED!r}: {', '.join(names)}")
    items = [*map(items_of, folders), *map(real_items_of, reals)]
    return {name: choice.of(found) for name, found in zip(names, items, strict=True)}


def watch_plan(live: LivePath, plan: Mapping[str, Sequence[Item]]) -> dict[str, list[Watched]]:
    """Watch everything, by folder name; progress goes to standard error."""
    seen = watch_all(live, [item for items in plan.values() for item in items], sys.stderr)
    return {name: [next(seen) for _ in items] for name, items in plan.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--real", action="append", default=[], type=Path, metavar="DIR", help=REAL_HELP)
    parser.add_argument("--model", default="detector", help="a name that ships, or a file.onnx")
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=STDOUT,
        metavar="FILE",
        help="write the figures, by folder and pooled, as JSON; without FILE instead of the table",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="ROC, calibration, score against time")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep what was watched, to go on later")
    parser.add_argument("--held-apart", action="store_true", help="leave out what models.splits trains on")
    parser.add_argument("--seconds", type=float, metavar="S", help="watch only the beginning of each file")
    parser.add_argument("--each", type=int, metavar="N", help="at most N files of each side and kind")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    args = parser.parse_intermixed_args(arguments)
    if args.json and args.json.is_dir():  # `--json FOLDER`: the folder is none of its business
        args.folders, args.json = [args.json, *args.folders], STDOUT
    if not args.folders and not args.real:
        parser.error("which FOLDER?")
    try:
        model = Model.find(args.model)
        live = LivePath(model, args.seconds, args.cache)
        plan = plan_of(args.folders, args.real, Choice(args.held_apart, args.each))
        watched = watch_plan(live, plan)
        card = report_card(watched, model.alert_on)
        for found in card.values():
            found.update(model=model.label, model_sha256=model.sha256, seconds_each=args.seconds)
        told = json.dumps(card, indent=1, sort_keys=True) + "\n"
        if args.json == STDOUT:
            sys.stdout.write(told)
        else:
            sys.stdout.write(markdown(card, f"{model.label} (sha256 {model.sha256[:12]})"))
        if args.json and args.json != STDOUT:
            args.json.write_text(told)
        if args.plots:
            from models.plots import draw_all

            for path in draw_all(watched, model.alert_on, args.plots):
                sys.stderr.write(f"{path}\n")
    except (ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("evaluate: stopped; with --cache the next run goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
