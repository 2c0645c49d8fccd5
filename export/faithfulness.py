"""Are the heat maps true? Deletion and insertion curves on clips, against a random and a centred map.

    python -m export.faithfulness DETECTOR.onnx --prepared PREPARED [--frames 4] [--json FILE] [--plot FILE]

RISE's measure (Petsiuk et al., BMVC 2018, https://arxiv.org/abs/1806.07421): the places of a fake face's crop
get its mean colour one after the other, those first that the map calls most suspect, and the score is
watched; the faster it falls, the truer the map (deletion, lower is better). Likewise they appear one after
the other in a crop that was blurred altogether (insertion, higher is better). The figures are the means of
those curves, 0..1, over the fakes of people held apart and of the folders that are never trained on. A random
order and one from the middle outwards say what no map at all is worth: faces are in the middle, so the second
is the harder rival. Nothing is chosen by these figures.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.detector import Detector, open_detector
from export.errors import ModelError
from export.explain import GRID, Crop, blurred, hide, occlusion, scale_of, still_logits, unusual
from models.crop import cut_again
from models.splits import folder_of, is_fake, is_training, prepared_videos

STEPS = 12  # points of a curve beside its beginning
SEED, DRAWS = 20261127, 500  # of random maps, and of the bootstrap
Map = NDArray[np.float64]  # (h, w), the higher the more suspect
Curves = NDArray[np.float64]  # (N, STEPS + 1) probabilities


def makers(detector: Detector) -> dict[str, Callable[[Crop], Map]]:
    """What gives maps, by name."""
    scale, rng = scale_of(detector), np.random.default_rng(SEED)
    y, x = np.mgrid[: GRID[0], : GRID[1]] - (np.array(GRID)[:, None, None] - 1) / 2

    def activation(crop: Crop) -> Map:
        raw = detector.encode_with_map(crop[None], np.zeros(1, bool))[1]
        return unusual(raw, scale)[0].astype(np.float64)

    return {
        "class-activation map": activation,
        "occlusion": lambda crop: occlusion(detector, crop).astype(np.float64),
        "random": lambda crop: rng.random(GRID),
        "from the middle": lambda crop: np.exp(-(x**2 + y**2) / 8) + 1e-9 * rng.random(GRID),
    }


def curves(detector: Detector, crop: Crop, order: Map) -> tuple[NDArray, NDArray]:
    """Deletion and insertion, (STEPS + 1,) probabilities each."""
    rank = np.argsort(np.argsort(-order, axis=None)).reshape(order.shape)  # 0 is the most suspect place
    counts = np.round(np.linspace(0, order.size, STEPS + 1)).astype(int)
    plain = np.broadcast_to(crop.reshape(-1, 3).mean(0).round().astype(np.uint8), crop.shape)
    deleted = [hide(crop, rank < count, plain) for count in counts]
    inserted = [hide(crop, rank >= count, blurred(crop)) for count in counts]
    said = 1 / (1 + np.exp(-still_logits(detector, np.stack(deleted + inserted))))
    return said[: STEPS + 1], said[STEPS + 1 :]


def fakes(detector: Detector, prepared: Path, frames: int) -> dict[str, list[Crop]]:
    """Crops of the fake clips that nothing was trained on, by folder."""
    found: dict[str, list[Crop]] = {}
    for path in prepared_videos(prepared):
        if is_fake(path.stem) and not is_training(path.stem):
            with np.load(path) as saved:
                crops = saved["crops"]
                picked = crops[np.linspace(0, len(crops) - 1, frames).astype(int)]
            found.setdefault(folder_of(path.stem), []).extend(cut_again(picked, detector.card.crop))
    return found


def measure(detector: Detector, crops: list[Crop]) -> dict[str, tuple[Curves, Curves]]:
    """The curves of all crops, by map: deletion and insertion."""
    found: dict[str, tuple[list[NDArray], list[NDArray]]] = {}
    known = makers(detector)
    for number, crop in enumerate(crops, 1):
        for name, make in known.items():
            deletion, insertion = curves(detector, crop, make(crop))
            sides = found.setdefault(name, ([], []))
            sides[0].append(deletion)
            sides[1].append(insertion)
        sys.stderr.write(f"\r{number} of {len(crops)} crops ")
    sys.stderr.write("\n")
    return {name: (np.stack(a), np.stack(b)) for name, (a, b) in found.items()}


def figures(measured: dict[str, tuple[Curves, Curves]]) -> dict[str, Any]:
    """Means of the curves, and how far the map is ahead of each rival on the same crops, with intervals."""
    rng, own = np.random.default_rng(SEED), measured["class-activation map"]
    told: dict[str, Any] = {}
    for name, (deletion, insertion) in measured.items():
        told[name] = {
            "deletion": round(float(deletion.mean()), 3),
            "insertion": round(float(insertion.mean()), 3),
            "map_ahead_in_deletion": _ahead(deletion.mean(1) - own[0].mean(1), rng),
            "map_ahead_in_insertion": _ahead(own[1].mean(1) - insertion.mean(1), rng),
        }
    return told


def _ahead(gaps: NDArray, rng: np.random.Generator) -> list[float]:
    """Mean, and the 95 % bootstrap interval over crops."""
    drawn = rng.choice(gaps, (DRAWS, len(gaps))).mean(1)
    return [round(float(v), 3) for v in (gaps.mean(), *np.quantile(drawn, [0.025, 0.975]))]


def table(told: dict[str, Any]) -> str:
    """The figures for a person."""
    lines = [
        "| map | deletion (low) | insertion (high) | ahead in deletion | in insertion |",
        "| --- " * 5 + "|",
    ]
    for name, each in told.items():
        gaps = [each[f"map_ahead_in_{way}"] for way in ("deletion", "insertion")]
        more = [f"{g[0]:+.3f} [{g[1]:+.3f}, {g[2]:+.3f}]" if any(g) else "–" for g in gaps]
        lines.append(f"| {name} | {each['deletion']:.3f} | {each['insertion']:.3f} | {more[0]} | {more[1]} |")
    return "\n".join(lines)


def draw(measured: dict[str, tuple[Curves, Curves]], out: Path) -> None:
    """Both kinds of curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for k, (axis, title) in enumerate(zip(axes, ("deletion", "insertion"), strict=True)):
        for name, sides in measured.items():
            axis.plot(np.linspace(0, 1, STEPS + 1), sides[k].mean(0), label=name)
        axis.set(title=title, xlabel=f"share of places {'hidden' if k == 0 else 'shown'}", ylim=(0, 1))
    axes[0].set_ylabel("score of the fake face")
    axes[1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.faithfulness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DETECTOR.onnx")
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=4, help="of each clip (default 4)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    try:
        detector = open_detector(args.model)
        by_folder = fakes(detector, args.prepared, args.frames)
        if not by_folder:
            raise ValueError(f"no fake clips that nothing was trained on in {args.prepared}")
        measured = {folder: measure(detector, crops) for folder, crops in by_folder.items()}
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"faithfulness: {error}\n")
        return 1
    sides = {n: list(zip(*(m[n] for m in measured.values()), strict=True)) for n in makers(detector)}
    pooled = {name: (np.concatenate(a), np.concatenate(b)) for name, (a, b) in sides.items()}
    told = {folder: figures(each) for folder, each in measured.items()} | {"pooled": figures(pooled)}
    for folder, each in told.items():
        count = len((measured.get(folder) or pooled)["random"][0])
        sys.stdout.write(f"{folder}, {count} crops\n{table(each)}\n\n")
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")
    if args.plot:
        draw(pooled, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
