"""Writes detector.pt: the two networks with all that their card will say."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.dataset import Pairs
from models.splits import folder_of, is_own, is_training
from models.trainer import Trainer
from models.windows import LEAST, RATE, SECONDS, STRIDE

OWN_TERMS = "videos that are not ours: ask who trained it; weights that it began with: see encoder.start"
TERMS = (
    "LFW: research; UTKFace: non-commercial research; portraits, GRID: CC BY 4.0; signers: none stated; "
    "FaceForensics++: its research terms; weights that it began with: see encoder.start"
)


def save_detector(
    path: Path,
    trainer: Trainer,
    head: nn.Module,
    head_training: dict[str, Any],
    found: dict[str, Any],
    learnt_from: dict[str, Any],
    version: str,
) -> None:
    """Write all that `python -m export` needs.

    head_training: the head's recipe and cost; found: what models.train_head.calibrate gave; learnt_from: what
    `about` says of the data.
    """
    recipe, encoder = trainer.recipe, trainer.averaged().encoder
    state: dict[str, Any] = {
        "network": recipe.network,
        "temporal": recipe.head,
        "encoder": {k: v.cpu() for k, v in encoder.state_dict().items()},
        "head": head.state_dict(),
        "features": recipe.features,
        "spec": asdict(recipe.spec),
        "window": {"seconds": SECONDS, "rate": RATE, "stride": STRIDE, "min_samples": LEAST},
        "version": version,
        **{k: found[k] for k in ("temperature", "bias", "thresholds", "held_apart")},
        "training": {
            "network": recipe.network,
            "parameters": {"encoder": parameters(encoder), "head": parameters(head)},
            "encoder": {
                **asdict(recipe),
                "start": trainer.start,
                "steps_done": trainer.step,
                "crops_seen": 2 * recipe.pairs * trainer.step,
                "core_minutes_used": round(trainer.spent.total / 60, 2),
                "core_minutes_of_learning": round(trainer.spent.core_seconds / 60, 2),
                "mix": learnt_from["mix"],
                "families": learnt_from["families"],
                "bfloat16": trainer.machine.bfloat16,
            },
            "head": head_training,
            "data": learnt_from["data"],
            "terms": OWN_TERMS if learnt_from["own"] else TERMS,
        },
    }
    if learnt_from["own"]:
        state["license"] = "as who trained it says"
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def about(pairs: Pairs) -> dict[str, Any]:
    """What the card says of the data: its mix, the odds of the families of fakes, and where it comes from."""
    folders = sorted({folder_of(c.name) for c in pairs.clips if is_training(c.name)})
    own = all(is_own(name) for name in folders) and all("/" in str(name) for name in pairs.stills.names)
    return {
        "mix": asdict(pairs.mix),
        "families": dict(pairs.fakes.odds),
        "data": folders if own else ["LFW", "UTKFace", "portraits", *folders],
        "own": own,
    }


def parameters(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(p.numel() for p in network.parameters())
