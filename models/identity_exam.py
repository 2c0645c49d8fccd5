"""What the identity cue is worth alone, folder by folder: AUC with its interval, and pairs.

    python -m stream.crops FOLDER --out CROPS                 # faces by the live path, once
    python -m models.identity_exam CROPS… --recogniser vggface2.pt --agreement PREPARED/identity.npz

CROPS hold real/ and fake/. Two crops a second of each file's longest track are looked at, in windows of two
seconds as live, for the first SECONDS; a video's score is the mean over its windows. `--held-apart` leaves
out the people that are trained on, `--only NAME` keeps the fakes whose path has a folder of that name.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.agreement import Agreement
from models.crop import CropSpec, cut_again
from models.decisions import wilson_interval
from models.identity_eye import VIEWS, IdentityEye
from models.inception_resnet_v1 import EMBEDDING, load_embedder
from models.metrics import auc
from models.roc import auc_interval_by_video
from models.splits import is_training
from models.trainer import to_tensor
from models.watched import Item, Watched, pairs_of

SPEC = CropSpec(192, 1.3)  # the crops that the live system gives to both eyes
STEP, PER_WINDOW = 0.5, 4  # s between two looks, and looks in two seconds
Look = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # crops (T, S, S, 3) BGR -> (T, 3, E)


def items_of(crops: Path) -> dict[Item, list[Path]]:
    """The files below a folder that stream.crops wrote, each with its tracks.

    Raises ValueError where a side is missing.
    """
    found: dict[Item, list[Path]] = defaultdict(list)
    for path in sorted(crops.rglob("*.track*.npz")):
        name = path.relative_to(crops).as_posix().rsplit(".track", 1)[0]
        sides = [part for part in name.split("/")[:-1] if part in ("real", "fake")]
        if len(sides) == 1:
            found[Item(crops / name, name, sides == ["fake"])].append(path)
    if {item.fake for item in found} != {True, False}:
        raise ValueError(f"{crops} holds no crops under both real/ and fake/")
    return dict(found)


def looks_of(tracks: list[Path], seconds: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Two crops a second of the track with the most that count: (T, S, S, 3) uint8 BGR, weights (T,)."""
    best: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
    most = 0
    for path in tracks:
        with np.load(path) as saved:
            counts = np.flatnonzero(saved["weights"] > 0)
            if len(counts) <= most:
                continue
            most, times = len(counts), saved["times"][counts]
            wanted = np.arange(times[0], min(times[0] + seconds, times[-1] + STEP / 2), STEP)
            at = counts[np.unique([np.abs(times - t).argmin() for t in wanted])]
            best = saved["crops"][at], saved["weights"][at].astype(np.float32)
    if best is None:
        return np.zeros((0, SPEC.size, SPEC.size, 3), np.uint8), np.zeros(0, np.float32)
    return cut_again(best[0], SPEC), best[1]


@torch.no_grad()
def score(agreement: Agreement, embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """The mean over the windows of a track: (T, 3, E), (T,) -> logit; the last window may be shorter."""
    windows = [slice(i, i + PER_WINDOW) for i in range(0, len(weights), PER_WINDOW)]
    if len(windows) > 1 and len(weights[windows[-1]]) < PER_WINDOW / 2:
        windows.pop()
    said = [
        agreement(torch.from_numpy(embeddings[w])[None], torch.from_numpy(weights[w])[None]) for w in windows
    ]
    return float(torch.cat(said).mean())


def row(scores: Mapping[Item, float]) -> dict[str, Any]:
    """The figures of one folder. nan where a side is empty."""
    real, fake = ([s for item, s in scores.items() if item.fake == side] for side in (False, True))
    known = [Watched(item, (), 0, 0.0) for item in scores]
    pairs = [(scores[a.item], scores[b.item]) for a, b in pairs_of(known)]
    above = sum(b > a for a, b in pairs)
    return {
        "real": len(real),
        "fake": len(fake),
        "video_auc": auc(real, fake),
        "video_auc_ci": auc_interval_by_video([[s] for s in real], [[s] for s in fake]),
        "pairs": len(pairs),
        "pairs_right": above,
        "pairs_right_ci": wilson_interval(above, len(pairs)),
    }


def exam(
    look: Look, agreement: Agreement, crops: Path, seconds: float, wanted: Callable[[Item], bool]
) -> dict[Item, float]:
    """The score of each wanted file that has crops that count."""
    scores: dict[Item, float] = {}
    files = [(item, tracks) for item, tracks in items_of(crops).items() if wanted(item)]
    begin = time.monotonic()
    for number, (item, tracks) in enumerate(files, 1):
        pixels, weights = looks_of(tracks, seconds)
        if len(weights):
            scores[item] = score(agreement, look(pixels), weights)
        left = (time.monotonic() - begin) / number * (len(files) - number)
        sys.stderr.write(f"\r{crops.name}: {number} of {len(files)}, {left:.0f} s left ")
    sys.stderr.write("\n")
    return scores


def _wanted(crops: Path, args: argparse.Namespace) -> Callable[[Item], bool]:
    def is_wanted(item: Item) -> bool:
        known = "__".join([crops.name, *item.name.split("/")])
        kept = not item.fake or not args.only or not set(args.only).isdisjoint(item.name.split("/"))
        return kept and not (args.held_apart and is_training(known))

    return is_wanted


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.identity_exam",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("crops", type=Path, nargs="+")
    parser.add_argument("--recogniser", type=Path, required=True, help="what models.vggface2 wrote")
    parser.add_argument("--agreement", type=Path, required=True, help="what models.fit_agreement wrote")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--held-apart", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        eye, agreement = (
            IdentityEye(load_embedder(args.recogniser), SPEC).eval(),
            Agreement.load(args.agreement),
        )

        @torch.no_grad()
        def look(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return eye(to_tensor(pixels, SPEC)).numpy().reshape(len(pixels), VIEWS, EMBEDDING)

        for crops in args.crops:
            scores = exam(look, agreement, crops, args.seconds, _wanted(crops, args))
            told = {name: np.round(value, 4).tolist() for name, value in row(scores).items()}
            sys.stdout.write(json.dumps({crops.name: told}) + "\n")
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"identity_exam: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
