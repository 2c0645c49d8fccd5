"""Draws a training run's log as a picture."""

import json
from pathlib import Path

KINDS = {
    "loss": "loss",
    "video_frame_auc": "AUC, held-apart video frames",
    "made_auc": "AUC, held-apart made pairs",
}


def draw(log: Path, picture: Path) -> None:
    """Loss and AUCs against steps, from log.jsonl to a small PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), dpi=80)
    for key, label in KINDS.items():
        axis = axes[0] if key == "loss" else axes[1]
        axis.plot([x["step"] for x in lines], [x[key] for x in lines], label=label)
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)
