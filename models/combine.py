"""Make one detector of several, or one that looks more than once, and calibrate it anew on held-apart people.

    python -m models.combine CHECKPOINT… --data DIR --prepared PREPARED --out FILE.pt [--augment flip,closer]

The checkpoints are detector.pt files of models.train. Several become an ensemble: the mean of their
calibrated logits. `--augment` lets the encoder look at changed copies of each crop too. FILE.pt is exported
as any other.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from models.augmented import AUGMENTS
from models.crop import CropSpec
from models.dataset import Pairs
from models.family import Networks, names_of, restore
from models.fuse import SEED, windows_of
from models.train_head import Encoded, calibrate
from models.trainer import to_tensor


def combined(members: Sequence[dict[str, Any]], augment: Sequence[str]) -> dict[str, Any]:
    """The checkpoint of all members, not calibrated yet.

    Raises ValueError where they cannot share a crop or a window.
    """
    if any("second" in member or "members" in member for member in members):
        raise ValueError("only plain detectors can be combined, without a second eye and no ensembles")
    windows = {json.dumps(member["window"]) for member in members}
    if len(windows) > 1 or len({member["spec"]["margin"] for member in members}) > 1:
        raise ValueError("the members were trained for other windows or margins")
    largest = max(members, key=lambda member: member["spec"]["size"])
    state = dict(largest)
    if len(members) > 1:
        state["members"] = list(members)
        state["features"] = sum(member["features"] for member in members)
        state.pop("encoder")
        state.pop("head")
    names = ["_".join(names_of(member)) for member in members]
    state["augment"] = list(augment)
    state["name"] = "+".join([*names, *augment])
    state["training"] = {"members": [member["training"] for member in members], "augment": list(augment)}
    return state


@torch.no_grad()
def seen_by(networks: Networks, pairs: Pairs, spec: CropSpec, stills: int) -> list[Encoded]:
    """The held-apart windows, encoded."""
    return [
        Encoded(networks.features(to_tensor(w.crops, spec)).numpy(), w.weights, w.label, w.source)
        for w in windows_of(pairs, stills)
    ]


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.combine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pt")
    parser.add_argument("--augment", default="", help=f"of {', '.join(AUGMENTS)}, with commas between")
    parser.add_argument("--stills", type=int, default=100, help="held-apart moving stills, real and fake")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        members = [torch.load(path, map_location="cpu", weights_only=True) for path in args.checkpoints]
        state = combined(members, [name for name in args.augment.split(",") if name])
        networks, spec = restore(state), CropSpec(**state["spec"])
        pairs = Pairs.open(args.data, args.prepared, spec, 1, SEED)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"combine: {error}\n")
        return 1
    found = calibrate(networks.head, seen_by(networks, pairs, spec, args.stills))
    state.update(found)
    torch.save(state, args.out.with_suffix(".part"))
    args.out.with_suffix(".part").replace(args.out)
    sys.stderr.write(f"{json.dumps(found, indent=1)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
