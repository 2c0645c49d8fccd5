"""Train a detector of the family: encoder, head, calibration. It may be stopped and run again to go on.

    python -m models.train NAME --data DIR --prepared PREPARED --out RUN (--steps N | --core-minutes M)

RUN gets detector.pt, which `python -m export RUN/detector.pt` takes, checkpoint.pt (the encoder, to go on or
to --start from), train_windows.pt and held_windows.pt (the head's), log.jsonl and curves.png.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from models.ahead import ahead, elsewhere
from models.budget import ENCODER_SHARE, Budget, Progress, Spent
from models.clips import Window
from models.curves import draw
from models.dataset import Mix, Pairs
from models.exam import Exam
from models.recipes import HEAD_RATES, HEADS, ROWS, Recipe, recipe_for
from models.save import about, save_detector
from models.train_head import Encoded, HeadRecipe, calibrate, encode_all, train_head
from models.trainer import Machine, Trainer
from models.windows import Job, all_jobs, nth

EXAMS = 12  # in a run
SAVE_EVERY = 100  # steps
HELD_SEED = 11  # of the held-apart windows: the same for every run
LEAST_HELD = 40  # held-apart stills in motion
FURTHER = "train on more people, or for longer in another --out (--start RUN/checkpoint.pt goes on from here)"


def open_pairs(data: Path, prepared: Path, recipe: Recipe) -> Pairs:
    """The data as the recipe wants it."""
    mix = Mix(families=recipe.families)
    return Pairs.open(data, prepared, recipe.spec, recipe.pairs, recipe.seed, mix)


def train_encoder(
    trainer: Trainer, opened: Callable[[], Pairs], exam: Exam, out: Path, workers: int = 1
) -> None:
    """Learn until the budget is used; examine, draw curves and keep a checkpoint now and then."""
    progress, losses, right = Progress(trainer.share), [], []
    last = trainer.recipe.steps or sys.maxsize
    if trainer.share >= 1:
        return
    for (crops, labels), seconds in ahead(opened, Pairs.batch, range(trainer.step, last), workers):
        before = int(trainer.share * EXAMS)
        trainer.spent.making += seconds
        lesson = trainer.learn(crops, labels)
        losses.append(lesson.loss)
        right.append(lesson.accuracy)
        if trainer.step % 20 == 0:
            of = "" if trainer.recipe.steps is None else f"/{trainer.recipe.steps}"
            sys.stderr.write(
                f"\rstep {trainer.step}{of}  loss {np.mean(losses[-50:]):.4f}  "
                f"{trainer.spent.total / 60:.1f} core-min  "
                f"{progress.minutes_left(trainer.share):.1f} min left "
            )
            sys.stderr.flush()
        if int(trainer.share * EXAMS) > before:
            line = {"step": trainer.step, "loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}
            trainer.history.append({**line, **exam.take(trainer.scores)})
            losses, right = [], []
            sys.stderr.write(f"\n{json.dumps(trainer.history[-1])}\n")
            write_log(trainer, out)
        if losses == [] or trainer.step % SAVE_EVERY == 0:
            trainer.save(out / "checkpoint.pt")
        if trainer.share >= 1:
            return


def write_log(trainer: Trainer, out: Path) -> None:
    """log.jsonl and curves.png from the examinations so far."""
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trainer.history))
    draw(trainer.history, out / "curves.png")


def encode_windows(
    trainer: Trainer, opened: Callable[[], Pairs], out: Path, workers: int = 1
) -> tuple[list[Encoded], list[Encoded], dict[str, float]]:
    """The head's windows and the held-apart ones, encoded, with the core-minutes that the former took."""
    recipe = trainer.recipe
    held_stills = max(LEAST_HELD, recipe.stills // 3)
    jobs, held = elsewhere(opened, partial(all_jobs, recipe.stills, held_stills, recipe.seed))
    minutes = recipe.core_minutes
    left = None if minutes is None else Budget(core_seconds=(1 - ENCODER_SHARE) * minutes * 60)

    def share(done: int, spent: Spent) -> float:
        return max(done / len(jobs), 0.0 if left is None else left.share(spent))

    def made(these: list[Job], seed: int, numbers: range) -> Iterator[tuple[list[Window], float]]:
        return ahead(opened, partial(nth, these, seed), numbers, workers)

    learnt, spent = encode_all(
        trainer, len(jobs), partial(made, jobs, recipe.seed), out / "train_windows.pt", share
    )
    apart, _ = encode_all(
        trainer,
        len(held),
        partial(made, held, HELD_SEED),
        out / "held_windows.pt",
        lambda done, _: done / len(held),
    )
    return learnt, apart, {"windows": len(learnt), "core_minutes": round(spent.total / 60, 2)}


def opened_run(out: Path, recipe: Recipe, start: Path | None, machine: Machine) -> Trainer:
    """The run in `out`, where it was stopped, or a new one.

    Raises ValueError where another recipe was begun there, or where `start` does not fit the network.
    """
    checkpoint = out / "checkpoint.pt"
    if not checkpoint.exists():
        return Trainer(recipe, machine, start)
    trainer = Trainer.load(checkpoint, machine)
    pairs = [(f.name, getattr(trainer.recipe, f.name), getattr(recipe, f.name)) for f in fields(recipe)]
    other = [f"{name} {old} (now {new})" for name, old, new in pairs if old != new]
    if other:
        raise ValueError(f"{checkpoint} was begun with {', '.join(other)}; repeat that or change --out")
    return trainer


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=sorted(ROWS), metavar="NAME", help=", ".join(sorted(ROWS)))
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="what models.prepare read: one's own real/ and fake/, or the unpacked archives",
    )
    parser.add_argument("--prepared", type=Path, required=True, help="what models.prepare wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--steps", type=int, help="of the encoder, 32 crops each")
    budget.add_argument("--core-minutes", type=float, help="CPU time for batches, encoder and windows")
    parser.add_argument("--start", type=Path, metavar="FILE", help="weights, or a run's checkpoint.pt")
    parser.add_argument("--size", type=int, help="px, the side of a crop")
    parser.add_argument("--head", choices=HEADS)
    parser.add_argument("--families", help="of made fakes, with commas between; default: all")
    parser.add_argument("--rate", type=float, help="the highest learning rate")
    parser.add_argument("--stills", type=int, default=300, help="moving stills for the head")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--version", default="0.1.0", help="for the card")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: a GPU where there is one")
    parser.add_argument(
        "--bfloat16", action="store_true", help="on a CPU too: twice as fast where it has AVX512-BF16 or AMX"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the training on a CPU")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that make batches; 0: this one alone"
    )
    return parser.parse_args(argv)


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The row of the network with what the command line says otherwise."""
    said = {name: getattr(args, name) for name in ("size", "head", "rate") if getattr(args, name) is not None}
    families = None if args.families is None else tuple(args.families.split(","))
    recipe = recipe_for(args.name, args.steps, args.core_minutes)
    return replace(recipe, families=families, stills=args.stills, seed=args.seed, **said)


def main(argv: list[str] | None = None) -> None:
    """Encoder, windows, head, calibration; each goes on where it was stopped."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    machine = Machine(device, args.bfloat16 or device.type == "cuda")
    try:
        recipe = recipe_of(args)
        opened = partial(open_pairs, args.data, args.prepared, recipe)
        opened()  # that what is wrong with the data is said before anything is begun
        args.out.mkdir(parents=True, exist_ok=True)
        trainer = opened_run(args.out, recipe, args.start, machine)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"models.train: {error}") from error
    if trainer.share < 1:
        train_encoder(trainer, opened, elsewhere(opened, Exam.make), args.out, args.workers)
    windows, held, cost = encode_windows(trainer, opened, args.out, args.workers)
    head_recipe = HeadRecipe(rate=HEAD_RATES[trainer.recipe.head])
    head = train_head(trainer, windows, head_recipe)
    found = calibrate(head, held)
    if not found["held_apart"]["rises"]:
        sys.stderr.write(f"\nwhat it learnt does not hold for other people: every face scores 0.5; {FURTHER}")
    sys.stderr.write(f"\n{json.dumps(found, indent=1)}\n")
    trained = {**asdict(head_recipe), **cost}
    save_detector(
        args.out / "detector.pt", trainer, head, trained, found, elsewhere(opened, about), args.version
    )


if __name__ == "__main__":
    main()
