"""Train the temporal head on the windows' encoded crops, then calibrate on held-apart people.

    python -m models.train_head --data DIR --prepared PREPARED --run RUN

Reads RUN/checkpoint.pt (the encoder), writes RUN/detector.pt: all that `python -m export` needs.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.calibrate import RATES, fit_platt, probability, thresholds
from models.clips import Window, labelled_window, still_windows, video_windows
from models.dataset import Pairs, held_stills
from models.metrics import auc
from models.splits import folder_of, is_fake, is_training
from models.temporal_head import TemporalHead
from models.train import Trainer, to_tensor

SECONDS, RATE, STRIDE = 2.0, 8.0, 0.25  # s of a window, crops a second, s between two verdicts
LEAST, LENGTH = 4, round(SECONDS * RATE)  # crops in the shortest window that is scored, and in a full one


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """Every number of the head's training."""

    stills: int = 300  # moving stills, each real and fake
    per_video: int = 4  # windows of each labelled video; half of them degraded once more
    made_per_video: int = 3  # pairs of real and made-fake windows of each real video
    epochs: int = 5  # more learn the training people: 40 cost 0.03 of held-apart window AUC
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    noise: float = 0.1  # sigma added to the features
    seed: int = 7


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A window once its crops went through the encoder."""

    features: NDArray[np.float32]  # (T, D)
    weights: NDArray[np.float32]  # (T,)
    label: float
    source: str


def training_windows(pairs: Pairs, recipe: HeadRecipe) -> Iterator[Window]:
    """Moving stills, real videos with made fakes, and labelled videos; none of the held-apart people."""
    rng = np.random.default_rng(recipe.seed)
    held = set(held_stills(pairs.stills, pairs.mix.held_stills).tolist())
    usable = [i for i in range(len(pairs.stills)) if i not in held]
    for index in rng.choice(usable, min(recipe.stills, len(usable)), replace=False):
        yield from still_windows(pairs, int(index), _length(rng), rng)
    for clip in (c for c in pairs.clips if is_training(c.name)):
        for k in range(recipe.per_video):
            yield labelled_window(clip, float(is_fake(clip.name)), pairs.spec, _length(rng), rng, k % 2 == 0)
        if not is_fake(clip.name):
            for _ in range(recipe.made_per_video):
                yield from video_windows(pairs, clip, _length(rng), rng)


def held_windows(pairs: Pairs, stills: int, seed: int = 11) -> Iterator[Window]:
    """Windows of people never trained on: each second of the labelled videos as it is, and moving stills."""
    rng = np.random.default_rng(seed)
    for index in held_stills(pairs.stills, pairs.mix.held_stills)[:stills]:
        yield from still_windows(pairs, int(index), LENGTH, rng)
    for clip in (c for c in pairs.clips if not is_training(c.name)):
        for start in range(0, max(1, len(clip.crops) - LENGTH + 1), round(RATE)):
            part = type(clip)(clip.name, *(getattr(clip, n)[start : start + LENGTH] for n in _ARRAYS))
            yield labelled_window(part, float(is_fake(clip.name)), pairs.spec, LENGTH, rng, True)


_ARRAYS = ("crops", "times", "points", "weights")


def _length(rng: np.random.Generator) -> int:
    return int(rng.integers(LEAST, LENGTH + 1))


@torch.no_grad()
def encode(trainer: Trainer, windows: Iterator[Window]) -> list[Encoded]:
    """Run the averaged encoder over all crops of all windows."""
    encoder, begun = trainer.averaged(), time.monotonic()
    done: list[Encoded] = []
    for window in windows:
        features = encoder(to_tensor(window.crops, trainer.spec)).numpy()
        done.append(Encoded(features, window.weights, window.label, window.source))
        if len(done) % 50 == 0:
            sys.stderr.write(f"\r{len(done)} windows encoded, {time.monotonic() - begun:.0f} s ")
    return done


def padded(windows: list[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of unequal lengths as one batch: features (B, T, D), weights (B, T), labels (B,)."""
    longest, width = max(len(w.weights) for w in windows), windows[0].features.shape[1]
    features = torch.zeros(len(windows), longest, width)
    weights = torch.zeros(len(windows), longest)
    for i, w in enumerate(windows):
        features[i, : len(w.weights)] = torch.from_numpy(w.features)
        weights[i, : len(w.weights)] = torch.from_numpy(w.weights)
    return features, weights, torch.tensor([w.label for w in windows])


def train_head(trainer: Trainer, windows: list[Encoded], recipe: HeadRecipe) -> TemporalHead:
    """Full passes over the windows; both classes weigh the same, crops are left out at random."""
    torch.manual_seed(recipe.seed)
    head = TemporalHead(trainer.recipe.features)
    head.frame.load_state_dict(trainer.averaged().frame_logit.state_dict())
    features, weights, labels = padded(windows)
    balance = (1 - labels).sum() / labels.sum().clamp(min=1)
    optimiser = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.decay)
    rounds = recipe.epochs * (1 + len(labels) // recipe.batch)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    for _ in range(rounds):
        chosen = torch.randint(len(labels), (recipe.batch,))
        x = features[chosen] + recipe.noise * torch.randn_like(features[chosen])
        w = (
            weights[chosen]
            * (torch.rand_like(weights[chosen]) > 0.2)
            * (0.5 + 0.5 * torch.rand(len(chosen), 1))
        )
        target = labels[chosen] * 0.95 + 0.025
        loss = nn.functional.binary_cross_entropy_with_logits(head(x, w), target, pos_weight=balance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    return head.eval()


@torch.no_grad()
def logits_of(head: TemporalHead, windows: list[Encoded]) -> NDArray[np.float64]:
    """(B,) logits."""
    features, weights, _ = padded(windows)
    return head(features, weights).numpy().astype(np.float64)


def calibrate(head: TemporalHead, held: list[Encoded]) -> dict[str, Any]:
    """Temperature, bias and thresholds on held-apart windows, with the figures that they give there."""
    logits, labels = logits_of(head, held), np.array([w.label for w in held])
    temperature, bias = fit_platt(logits, labels)
    scores = probability(logits, temperature, bias)
    pairs = thresholds(scores[labels == 0])
    made = np.array([w.source.startswith("still:") for w in held])
    figures = {
        "window_auc": round(auc(scores[labels == 0], scores[labels == 1]), 4),
        "window_auc_videos": round(auc(scores[~made & (labels == 0)], scores[~made & (labels == 1)]), 4),
        "window_auc_made": round(auc(scores[made & (labels == 0)], scores[made & (labels == 1)]), 4),
        "windows_real": int((labels == 0).sum()),
        "windows_fake": int((labels == 1).sum()),
        "false_positive_rates_aimed_at": RATES,
    }
    for name in ("suspicious_on", "alert_on"):
        for side, kind in ((0, "false"), (1, "true")):
            figures[f"{name}_{kind}_rate"] = round(float((scores[labels == side] > pairs[name]).mean()), 4)
    return {"temperature": temperature, "bias": bias, "thresholds": pairs, "held_apart": figures}


def save(
    path: Path,
    trainer: Trainer,
    head: TemporalHead,
    recipe: HeadRecipe,
    found: dict[str, Any],
    pairs: Pairs,
    version: str,
) -> None:
    """Write the two networks with all that their card will say."""
    folders = sorted({folder_of(c.name) for c in pairs.clips if is_training(c.name)})
    state = {
        "encoder": trainer.averaged().state_dict(),
        "head": head.state_dict(),
        "features": trainer.recipe.features,
        "spec": asdict(trainer.spec),
        "window": {"seconds": SECONDS, "rate": RATE, "stride": STRIDE, "min_samples": LEAST},
        "version": version,
        **{k: found[k] for k in ("temperature", "bias", "thresholds", "held_apart")},
        "training": {
            "encoder": {**asdict(trainer.recipe), "steps_done": trainer.step, "mix": asdict(pairs.mix)},
            "head": asdict(recipe),
            "data": ["LFW", "UTKFace", "portraits", *folders],
            "terms": "LFW: research; UTKFace: non-commercial research; portraits, GRID: CC BY 4.0; signers: "
            "none stated; FaceForensics++: its research terms; ImageNet weights: Apache-2.0",
        },
    }
    torch.save(state, path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--stills", type=int, default=HeadRecipe().stills, help="moving stills to train on")
    parser.add_argument("--version", default="0.1.0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    trainer, recipe = Trainer.load(args.run / "checkpoint.pt"), HeadRecipe(stills=args.stills)
    pairs = Pairs.open(args.data, args.prepared, trainer.spec, trainer.recipe.pairs, trainer.recipe.seed)
    head = train_head(trainer, encode(trainer, training_windows(pairs, recipe)), recipe)
    found = calibrate(head, encode(trainer, held_windows(pairs, max(40, args.stills // 3))))
    sys.stderr.write(f"\n{json.dumps(found, indent=1)}\n")
    save(args.run / "detector.pt", trainer, head, recipe, found, pairs, args.version)


if __name__ == "__main__":
    main()
