"""Trains the temporal head on the windows' encoded crops, and calibrates it on held-apart people.

models.train calls it when the encoder is done.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.budget import Progress, Spent, Stopwatch
from models.calibrate import RATES, fit_platt, probability, thresholds
from models.clips import Window
from models.family import HEADS
from models.metrics import auc, balanced_accuracy, balanced_log_loss
from models.trainer import Trainer

SAVE_EVERY = 50  # jobs
ENOUGH = 50  # real windows of videos: with so many the thresholds are theirs alone, moving stills left out
FLAT = 1e4  # spreads of the logits in a temperature that lets every probability be 0.5


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """Every number of the head's training."""

    epochs: int = 5  # more learn the training people: 40 cost 0.03 of held-apart window AUC
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    noise: float = 0.1  # added to the features, in units of their spread
    seed: int = 7


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A window once its crops went through the encoder."""

    features: NDArray[np.float32]  # (T, D)
    weights: NDArray[np.float32]  # (T,)
    label: float
    source: str


def encode(trainer: Trainer, windows: list[Window]) -> list[Encoded]:
    """Run the averaged encoder over all crops of some windows."""
    return [Encoded(trainer.encode(w.crops), w.weights, w.label, w.source) for w in windows]


def encode_all(
    trainer: Trainer,
    jobs: int,
    source: Callable[[range], Iterator[tuple[list[Window], float]]],
    kept: Path,
    share: Callable[[int, Spent], float],
) -> tuple[list[Encoded], Spent]:
    """Encode the windows of the jobs in order until all are done or the share of the budget used is 1.

    source(numbers) makes the windows and tells the CPU seconds of each job. `kept` holds what is done, so
    that a stopped run goes on; what another encoder left there is not used. Returns windows and cost.
    """
    done, spent = _read(kept, trainer.step)
    progress = Progress(share(spent.steps, spent))
    for windows, seconds in source(range(spent.steps, jobs)):
        if share(spent.steps, spent) >= 1:
            break
        with Stopwatch(spent):
            done += encode(trainer, windows)
        spent.making += seconds
        spent.steps += 1
        if spent.steps % SAVE_EVERY == 0 or spent.steps == jobs:
            _write(kept, trainer.step, done, spent)
            left = progress.minutes_left(share(spent.steps, spent))
            sys.stderr.write(f"\r{kept.stem}: {len(done)} encoded, {left:.1f} min left ")
            sys.stderr.flush()
    _write(kept, trainer.step, done, spent)
    return done, spent


def _write(path: Path, step: int, windows: list[Encoded], spent: Spent) -> None:
    rows = [(torch.from_numpy(w.features), torch.from_numpy(w.weights), w.label, w.source) for w in windows]
    torch.save({"step": step, "spent": asdict(spent), "windows": rows}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _read(path: Path, step: int) -> tuple[list[Encoded], Spent]:
    if not path.exists():
        return [], Spent()
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["step"] != step:
        return [], Spent()
    windows = [Encoded(f.numpy(), w.numpy(), label, name) for f, w, label, name in state["windows"]]
    return windows, Spent(**state["spent"])


def padded(windows: list[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of unequal lengths as one batch: features (B, T, D), weights (B, T), labels (B,)."""
    longest, width = max(len(w.weights) for w in windows), windows[0].features.shape[1]
    features = torch.zeros(len(windows), longest, width)
    weights = torch.zeros(len(windows), longest)
    for i, w in enumerate(windows):
        features[i, : len(w.weights)] = torch.from_numpy(w.features)
        weights[i, : len(w.weights)] = torch.from_numpy(w.weights)
    return features, weights, torch.tensor([w.label for w in windows])


def train_head(trainer: Trainer, windows: list[Encoded], recipe: HeadRecipe) -> nn.Module:
    """Passes over the windows; both classes weigh the same, crops are left out at random."""
    torch.manual_seed(recipe.seed)
    head = HEADS[trainer.recipe.head](trainer.recipe.features)
    head.get_submodule("frame").load_state_dict(trainer.averaged().frame_logit.state_dict())
    features, weights, labels = padded(windows)
    spread = features[weights > 0].std(0)
    balance = (1 - labels).sum() / labels.sum().clamp(min=1)
    optimiser = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.decay)
    rounds = recipe.epochs * (1 + len(labels) // recipe.batch)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    for _ in range(rounds):
        chosen = torch.randint(len(labels), (recipe.batch,))
        x = features[chosen] + recipe.noise * spread * torch.randn_like(features[chosen])
        w = (
            weights[chosen]
            * (torch.rand_like(weights[chosen]) > 0.2)
            * (0.5 + 0.5 * torch.rand(len(chosen), 1))
        )
        target = labels[chosen] * 0.95 + 0.025
        loss = nn.functional.binary_cross_entropy_with_logits(head(x, w), target, pos_weight=balance)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimiser.step()
        plan.step()
    return head.eval()


@torch.no_grad()
def logits_of(head: nn.Module, windows: list[Encoded]) -> NDArray[np.float64]:
    """(B,) logits."""
    features, weights, _ = padded(windows)
    return head(features, weights).numpy().astype(np.float64)


def calibrate(head: nn.Module, held: list[Encoded]) -> dict[str, Any]:
    """Temperature, bias and thresholds on held-apart windows, with the figures that they give there.

    Accuracy and log-loss weigh both sides alike, at even odds. Where logits do not rise with the label the
    detector learnt nothing that holds for other people: its probabilities are then all but 0.5, which is the
    best that a rising curve can make of it, in the same order as before, and `rises` is false. Raises
    ValueError without a window of a real face. Figures that lack a side are left out.
    """
    logits, labels = logits_of(head, held), np.array([w.label for w in held])
    rises = True
    try:
        temperature, bias = fit_platt(logits, labels)
    except ValueError:
        rises, temperature, bias = False, FLAT * max(float(logits.std()), 1.0), 0.0
    scores = probability(logits, temperature, bias)
    made = np.array([w.source.startswith("still:") for w in held])
    counts = ~made if (~made & (labels == 0)).sum() >= ENOUGH else np.ones(len(held), bool)
    pairs = thresholds(scores[counts & (labels == 0)])
    figures = {
        "rises": rises,
        "window_auc": round(auc(scores[labels == 0], scores[labels == 1]), 4),
        "window_auc_videos": round(auc(scores[~made & (labels == 0)], scores[~made & (labels == 1)]), 4),
        "window_auc_made": round(auc(scores[made & (labels == 0)], scores[made & (labels == 1)]), 4),
        "accuracy": round(balanced_accuracy(scores, labels), 4),
        "log_loss": round(balanced_log_loss(scores, labels), 4),
        "thresholds_from": "videos" if not counts.all() else "all windows",
        "windows_real": int((labels == 0).sum()),
        "windows_fake": int((labels == 1).sum()),
        "false_positive_rates_aimed_at": RATES,
    }
    for name in ("suspicious_on", "alert_on"):
        for side, kind in ((0, "false"), (1, "true")):
            share = (scores[counts & (labels == side)] > pairs[name]).mean()
            figures[f"{name}_{kind}_rate"] = round(float(share), 4)
    known = {name: figure for name, figure in figures.items() if figure == figure}  # NaN: a side is empty
    return {"temperature": temperature, "bias": bias, "thresholds": pairs, "held_apart": known}
