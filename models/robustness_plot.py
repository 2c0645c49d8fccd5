"""Draws what models.robustness found: AUC and interval against each kind's amounts."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.conditions import KINDS
from models.plots import FOLDERS, GREY, STYLE

if TYPE_CHECKING:  # matplotlib takes a second to load
    from matplotlib.axes import Axes

COLUMNS = 3
POOLED = "#222222"


def draw_curves(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], out: Path) -> Path:
    """Write robustness.png into a folder; returns its path. found: kind -> folder -> an entry an amount."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    out.mkdir(parents=True, exist_ok=True)
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    with plt.rc_context(STYLE):
        size = 2.9 * columns + 0.4, 2.5 * rows + 0.4
        figure, axes = plt.subplots(
            rows, columns, figsize=size, layout="constrained", sharey=True, squeeze=False
        )
        for axis, (kind, folders) in zip(axes.flat, found.items(), strict=False):
            _curves(axis, kind, folders)
        for axis in list(axes.flat)[len(found) :]:
            axis.set_axis_off()
        for axis in axes[:, 0]:
            axis.set_ylabel("video AUC, 95 %")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
        figure.savefig(out / "robustness.png")
        plt.close(figure)
    return out / "robustness.png"


def _curves(axis: "Axes", kind: str, folders: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """One kind of condition; amounts stand side by side, whatever their distance."""
    names = [name for name in folders if name != "pooled" or len(folders) > 2]
    axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, name in enumerate(names):
        known = [(x, e) for x, e in enumerate(folders[name]) if e["video_auc"] is not None]
        colour = POOLED if name == "pooled" else FOLDERS[index % len(FOLDERS)]
        at = [x for x, _ in known]
        axis.plot(at, [e["video_auc"] for _, e in known], color=colour, marker=".", label=name)
        low, high = ([e["video_auc_ci"][side] for _, e in known] for side in (0, 1))
        axis.fill_between(at, low, high, color=colour, alpha=0.08, linewidth=0)
    amounts = [f"{e['amount']:g}" for e in folders[names[0]]]
    axis.set_xticks(range(len(amounts)), amounts)
    axis.set(title=kind, xlabel=KINDS[kind].unit, ylim=(-0.02, 1.02))
