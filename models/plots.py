"""The report card as pictures: ROC, calibration, and each video's score against time. One quiet style."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.faces_seen import by_face
from models.metrics import auc
from models.reliability import Reliability, even_odds
from models.roc import roc_curve
from models.watched import Watched, pairs_of

if TYPE_CHECKING:  # matplotlib takes a second to load, and figures do not need it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL, FAKE, GREY = "#2f6f9f", "#c8642b", "#8a8a8a"
FOLDERS = ("#2f6f9f", "#c8642b", "#4c8c5b", "#8b5a9f", "#a08a2c", "#5f5f5f")  # one colour a folder
STYLE: dict[Any, Any] = {  # matplotlib's own type lists every key there is
    "figure.dpi": 110,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "lines.linewidth": 1.3,
}
COLUMNS, ROWS = 4, 6  # panels on one page of scores against time
SHOWN = 34  # characters of a video's name


def draw_all(folders: Mapping[str, Sequence[Watched]], threshold: float, out: Path) -> list[Path]:
    """Write roc.png, calibration.png, faces.png and scores_FOLDER_N.png; returns what was written.

    Folders without a score on both sides have no ROC and no calibration.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    out.mkdir(parents=True, exist_ok=True)
    written = []
    with plt.rc_context(STYLE):
        sides = {name: _sides(watched) for name, watched in folders.items()}
        whole = {name: (real, fake) for name, (real, fake) in sides.items() if real and fake}
        pages = []
        if whole:
            pages += [("roc", roc_figure(whole)), ("calibration", calibration_figure(whole, threshold))]
            pages.append(("faces", faces_figure(folders)))
        for name, watched in folders.items():
            for number, page in enumerate(score_figures(watched, threshold, name), 1):
                pages.append((f"scores_{name}_{number}", page))
        for name, figure in pages:
            path = out / f"{name}.png"
            figure.savefig(path)
            plt.close(figure)
            written.append(path)
    return written


def _sides(watched: Sequence[Watched]) -> tuple[list[float], list[float]]:
    """Scores of the real and of the fake videos."""
    scored = [(w.item.fake, w.score) for w in watched if w.score is not None]
    return [s for fake, s in scored if not fake], [s for fake, s in scored if fake]


def roc_figure(sides: Mapping[str, tuple[list[float], list[float]]]) -> "Figure":
    """A curve for each folder."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, (name, (real, fake)) in enumerate(sides.items()):
        fpr, tpr, _ = roc_curve(real, fake)
        label = f"{name}  {auc(real, fake):.2f}  ({len(real)} real, {len(fake)} fake)"
        axis.plot(fpr, tpr, color=FOLDERS[index % len(FOLDERS)], label=label)
    axis.set(
        xlabel="real videos called fake", ylabel="fake videos found", title="ROC by video, with its area"
    )
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.legend(loc="lower right")
    return figure


def calibration_figure(sides: Mapping[str, tuple[list[float], list[float]]], threshold: float) -> "Figure":
    """Above: share of fakes against predicted probability, at even odds. Below: where the scores lie."""
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(4.2, 5.2), layout="constrained", sharex=True, height_ratios=(3, 1)
    )
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, (name, (real, fake)) in enumerate(sides.items()):
        labels = np.r_[np.zeros(len(real)), np.ones(len(fake))]
        found = Reliability.of([*real, *fake], labels, even_odds(labels))
        colour = FOLDERS[index % len(FOLDERS)]
        above.plot(found.predicted, found.observed, color=colour, label=f"{name}  error {found.error:.2f}")
        above.scatter(found.predicted, found.observed, s=6 + 120 * found.weight, color=colour, linewidths=0)
    above.set(
        ylabel="share of fakes", title="Calibration by video, both sides weighed alike", ylim=(-0.04, 1.04)
    )
    bins = np.linspace(0, 1, 21)
    both = [[s for real, _ in sides.values() for s in real], [s for _, fake in sides.values() for s in fake]]
    below.hist(both, bins=bins, color=[REAL, FAKE])
    _mark(below, threshold, across=False)
    below.set(xlabel="probability that the face is fake", ylabel="videos", xlim=(0, 1))
    below.set_title("Scores: blue real, orange fake, dashed the alert threshold")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def faces_figure(folders: Mapping[str, Sequence[Watched]]) -> "Figure":
    """The frame AUC of all folders together against the face's size, sharpness and turn."""
    from matplotlib import pyplot as plt

    everything = [w for watched in folders.values() for w in watched]
    found = by_face([w for w in everything if not w.item.fake], [w for w in everything if w.item.fake])
    figure, axes = plt.subplots(1, len(found), figsize=(8.4, 2.6), layout="constrained", sharey=True)
    for axis, (name, bins) in zip(axes, found.items(), strict=True):
        known = [(x, e) for x, e in enumerate(bins) if e["frame_auc"] is not None]
        at, values = [x for x, _ in known], [e["frame_auc"] for _, e in known]
        low, high = ([e["frame_auc_ci"][side] for _, e in known] for side in (0, 1))
        axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axis.vlines(at, low, high, color=REAL, alpha=0.35)
        axis.scatter(at, values, s=14, color=REAL, zorder=3)
        labels = [
            f"{e['from']:g}–{e['to']:g}" if e["to"] is not None else f"from {e['from']:g}" for e in bins
        ]
        axis.set_xticks(range(len(bins)), labels)
        axis.set(title=f"face: {name}", ylim=(-0.02, 1.02), xlim=(-0.5, len(bins) - 0.5))
        axis.set_xlabel({"size": "px", "sharpness": "variance of the Laplacian", "yaw": "degrees"}[name])
    axes[0].set_ylabel("frame AUC, 95 %")
    return figure


def score_figures(watched: Sequence[Watched], threshold: float, title: str) -> list["Figure"]:
    """Score against time: a panel for each video, or for each real with the fakes made of it."""
    from matplotlib import pyplot as plt

    panels, pages = _panels(watched), []
    for start in range(0, len(panels), COLUMNS * ROWS):
        part = panels[start : start + COLUMNS * ROWS]
        columns = min(COLUMNS, len(part))
        rows = math.ceil(len(part) / columns)
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(2.6 * columns, 1.35 * rows + 0.6),
            layout="constrained",
            sharey=True,
            squeeze=False,
        )
        for axis, panel in zip(axes.flat, part, strict=False):
            _scores(axis, panel, threshold)
        for axis in list(axes.flat)[len(part) :]:
            axis.set_axis_off()
        figure.suptitle(
            f"{title}: score against time in s; blue real, orange fake", x=0.01, ha="left", size=9
        )
        pages.append(figure)
    return pages


def _panels(watched: Sequence[Watched]) -> list[list[Watched]]:
    """A real and its fakes share a panel; who has no partner has one alone. Unscored files have none."""
    scored = [w for w in watched if w.samples]
    groups: dict[str, list[Watched]] = {w.item.name: [w] for w in scored if not w.item.fake}
    placed = set()
    for real, fake in pairs_of(scored):
        groups[real.item.name].append(fake)
        placed.add(fake.item.name)
    alone = [[w] for w in scored if w.item.fake and w.item.name not in placed]
    return [*groups.values(), *alone]


def _scores(axis: "Axes", panel: Sequence[Watched], threshold: float) -> None:
    _mark(axis, threshold, across=True)
    for index, w in enumerate(panel):
        times, values = [s.time for s in w.samples], [s.value for s in w.samples]
        colour, alpha = (FAKE, max(1 - 0.18 * max(index - 1, 0), 0.3)) if w.item.fake else (REAL, 1.0)
        axis.plot(times, values, color=colour, alpha=alpha, marker="." if len(times) == 1 else None)
    name = panel[0].item.name.removeprefix("real/")
    axis.set_xlim(left=0)
    axis.set(
        title=name if len(name) <= SHOWN else "…" + name[1 - SHOWN :], ylim=(-0.04, 1.04), yticks=(0, 0.5, 1)
    )


def _mark(axis: "Axes", threshold: float, across: bool) -> None:
    """A dashed line at the alert threshold."""
    draw = axis.axhline if across else axis.axvline
    draw(threshold, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
