"""How far small changes of the crop's pixels carry: FGSM and PGD against an open detector.

    python -m stream.crops FOLDER --out CROPS                 # faces by the live path, once
    python -m models.attack CHECKPOINT CROPS [--json FILE]

The worst case: the attacker knows the network and changes the very pixels of every crop of a fake by at most
eps of 255 (FGSM, Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572; PGD, Madry et al. 2018,
https://arxiv.org/abs/1706.06083).
Reals are left alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import CropSpec, cut_again
from models.family import Networks, restore
from models.metrics import auc

LEVELS = (1, 2, 4)  # eps, of 255
STEPS, REACH = 10, 2.5  # PGD's steps, and their sum over eps
LENGTH = 16  # crops of a window


@dataclass(frozen=True, slots=True)
class Target:
    """The networks in evaluation mode, and what turns their logit into a verdict."""

    networks: Networks
    spec: CropSpec
    temperature: float
    bias: float
    alert_on: float

    @staticmethod
    def load(checkpoint: Path) -> "Target":
        """Read what models.train_head or models.peers saved. Raises ValueError for anything else."""
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            return Target(
                restore(state),
                CropSpec(**state["spec"]),
                state["temperature"],
                state["bias"],
                state["thresholds"]["alert_on"],
            )
        except FileNotFoundError:
            raise ValueError(f"no checkpoint at {checkpoint}") from None
        except Exception as error:  # torch.load raises whatever the bytes lead it to
            raise ValueError(f"{checkpoint} is no checkpoint of ours: {error}") from error

    def logit(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """pixels (T, 3, S, S) RGB in [0, 1], weights (T,) -> (), positive = fake."""
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.spec.mean, self.spec.std))
        features = self.networks.features((pixels - mean) / std)
        return self.networks.head(features[None], weights[None])[0]

    def probability(self, logit: float) -> float:
        """The calibrated score."""
        return float(1 / (1 + np.exp(-(logit / self.temperature + self.bias))))


def fgsm(target: Target, pixels: Tensor, weights: Tensor, eps: float) -> Tensor:
    """One step of `eps` (of 1) against the gradient of the logit: a fake that wants to look real."""
    return _step(target, pixels, pixels, weights, eps, eps)


def pgd(target: Target, pixels: Tensor, weights: Tensor, eps: float) -> Tensor:
    """STEPS smaller steps, each brought back to within `eps` of where it began."""
    changed = pixels
    for _ in range(STEPS):
        changed = _step(target, pixels, changed, weights, eps, REACH * eps / STEPS)
    return changed


def _step(target: Target, begin: Tensor, at: Tensor, weights: Tensor, eps: float, size: float) -> Tensor:
    at = at.detach().requires_grad_()
    (slope,) = torch.autograd.grad(target.logit(at, weights), at)
    moved = at.detach() - size * slope.sign()
    return (begin + (moved - begin).clamp(-eps, eps)).clamp(0, 1)


ATTACKS: dict[str, Callable[[Target, Tensor, Tensor, float], Tensor]] = {"FGSM": fgsm, "PGD": pgd}


def windows(folder: Path, spec: CropSpec) -> list[tuple[bool, Tensor, Tensor]]:
    """For each file the middle window of its longest track: is it fake, pixels (T, 3, S, S), weights (T,).

    Raises ValueError where a side is missing.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.track*.npz")):
        files.setdefault(str(path).rsplit(".track", 1)[0], []).append(path)
    found = []
    for name, tracks in files.items():
        sides = {"real", "fake"} & set(Path(name).relative_to(folder).parts)
        kept = max((_usable(track) for track in tracks), key=lambda crops: len(crops[1]))
        if len(sides) == 1 and len(kept[1]):
            start = max(0, (len(kept[1]) - LENGTH) // 2)
            crops, weights = kept[0][start : start + LENGTH], kept[1][start : start + LENGTH]
            found.append((sides == {"fake"}, _pixels(crops, spec), torch.from_numpy(weights)))
    if {fake for fake, _, _ in found} != {True, False}:
        raise ValueError(f"{folder} holds no crops under both real/ and fake/")
    return found


def _usable(track: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops and weights that the live path would score."""
    with np.load(track) as saved:
        scored = saved["weights"] > 0
        return saved["crops"][scored], saved["weights"][scored]


def _pixels(crops: NDArray[np.uint8], spec: CropSpec) -> Tensor:
    """Crops (T, M, M, 3) BGR of stream.crops's margin as the encoder's pixels (T, 3, S, S) RGB in [0, 1]."""
    cut = cut_again(crops, spec)[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(cut, np.float32) / 255)


def attack(target: Target, folder: Path) -> dict[str, Any]:
    """AUC and found share of fakes, as they are and under each attack; progress goes to standard error."""
    scores: dict[str, list[float]] = {"real": [], "as they are": []}
    given, begin = windows(folder, target.spec), time.monotonic()
    for number, (fake, pixels, weights) in enumerate(given, 1):
        with torch.no_grad():
            plain = float(target.logit(pixels, weights))
        scores["as they are" if fake else "real"].append(target.probability(plain))
        for name, change in ATTACKS.items() if fake else ():
            for level in LEVELS:
                changed = change(target, pixels, weights, level / 255)
                with torch.no_grad():
                    after = float(target.logit(changed, weights))
                scores.setdefault(f"{name} {level}/255", []).append(target.probability(after))
        left = (time.monotonic() - begin) / number * (len(given) - number)
        sys.stderr.write(f"\r{number} of {len(given)}, {left:.0f} s left ")
    sys.stderr.write("\n")
    real = scores.pop("real")
    return {
        name: {
            "auc": round(auc(real, fake), 4),
            "found": round(float(np.mean(np.array(fake) >= target.alert_on)), 4),
        }
        for name, fake in scores.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.attack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("crops", type=Path, help="written by stream.crops, with real/ and fake/ in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    args = parser.parse_args(arguments)
    try:
        found = attack(Target.load(args.checkpoint), args.crops)
        print("| fakes | AUC | called fake |\n| --- | --- | --- |")
        for name, figures in found.items():
            print(f"| {name} | {figures['auc']:.3f} | {figures['found']:.0%} |")
        if args.json:
            args.json.write_text(json.dumps(found, indent=1) + "\n")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"attack: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
