"""Average the weights of two encoders of one run's line: before and after it learnt the harder fakes.

    python -m models.soup EARLIER/checkpoint.pt RUN/checkpoint.pt --share 0.5 --data DATA --prepared P \
        --out SOUP

Fine-tuning forgets something of what held for other people; the point half-way between often keeps both
(Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, https://arxiv.org/abs/2109.01903). The
batch norms' statistics are gathered anew on training batches. SOUP/checkpoint.pt is a finished encoder:
`python -m models.train` with RUN's own arguments and `--out SOUP` goes on with the head. Several shares print
a table and write the last.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from models.dataset import Pairs
from models.exam import Exam
from models.frame_judge import FrameJudge
from models.train import open_pairs
from models.trainer import Trainer, to_tensor

BATCHES = 40  # of training crops, for the batch norms


def weights_of(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of a run, under the names of a FrameJudge. Raises KeyError for another file."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    plain = {k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"}
    own = ("encoder.", "frame_logit.")  # the first runs' encoder held the judge of single frames itself
    return {k if k.startswith(own) else f"encoder.{k}": v for k, v in plain.items()}


def mixed(earlier: dict[str, Tensor], later: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Each weight between the two, `share` of the way to the later; counters are the later's."""
    if set(earlier) != set(later):
        raise KeyError("the two checkpoints are of different networks")
    return {
        k: torch.lerp(earlier[k], v, share) if v.is_floating_point() else v.clone() for k, v in later.items()
    }


@torch.no_grad()
def gather_statistics(judge: FrameJudge, pairs: Pairs, batches: int = BATCHES) -> None:
    """Set all batch norms' running mean and variance to those of some training batches."""
    norms = [m for m in judge.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    judge.train()
    for step in range(batches):
        judge(to_tensor(pairs.batch(10_000_000 + step)[0], pairs.spec))  # batches that no run has seen
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    judge.eval()


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.soup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--share", type=float, nargs="+", default=[0.5], help="of the later; 0..1")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        trainer = Trainer.load(args.later)
        ends = weights_of(args.earlier), weights_of(args.later)
        pairs = open_pairs(args.data, args.prepared, trainer.recipe)
        exam = Exam.make(pairs)
        for share in args.share:
            judge = trainer.averaged()
            judge.load_state_dict(mixed(*ends, share))
            gather_statistics(judge, pairs)
            told = {k: round(v, 4) for k, v in exam.take(trainer.scores).items()}
            sys.stdout.write(f"{share:.2f} {json.dumps(told)}\n")
            sys.stdout.flush()
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"soup: {error}\n")
        return 1
    trainer.start = f"{args.share[-1]:g} of the way from: {trainer.start}"
    args.out.mkdir(parents=True, exist_ok=True)
    trainer.save(args.out / "checkpoint.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
