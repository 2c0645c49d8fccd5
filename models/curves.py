"""Draws a training run's examinations as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

PANELS = {
    "loss": {"loss": "training", "made_log_loss": "held-apart made pairs"},
    "accuracy": {
        "accuracy": "training",
        "video_frame_accuracy": "held-apart video frames",
        "made_accuracy": "held-apart made pairs",
    },
    "AUC": {"video_frame_auc": "held-apart video frames", "made_auc": "held-apart made pairs"},
}


def draw(history: Sequence[Mapping[str, float]], picture: Path) -> None:
    """Loss, accuracy and AUC against steps, from models.trainer's history to a small PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 2.8), dpi=80)
    for axis, (title, lines) in zip(axes, PANELS.items(), strict=True):
        for key, label in lines.items():
            axis.plot([x["step"] for x in history], [x[key] for x in history], marker=".", label=label)
        axis.set_xlabel("step")
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)
