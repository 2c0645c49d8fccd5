"""Makes detectors of MesoNet's own weights, to be measured beside ours through the same live path.

    python -m models.peers --weights DIR --out DIR

DIR holds the authors' files (https://github.com/DariusAf/MesoNet, Apache-2.0): Meso4_DF.h5, Meso4_F2F.h5,
MesoInception_DF.h5, MesoInception_F2F.h5. Each is converted, proven equal to a pass in numpy, and exported;
`facewitness watch --model OUT/meso4_df.onnx` and `python -m models.evaluate --model …` run it.
"""

import argparse
import hashlib
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.crop import CropSpec
from models.mesonet import FEATURES, SIZE
from models.mesonet_keras import KerasWeights, largest_gap, read, to_torch

TOLERANCE = 1e-4  # largest difference of probability between torch and numpy
MARGIN = 1.3  # ours: the paper says only that faces are cut out and aligned


def checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint that `python -m export` takes, of one file of the authors.

    Raises ValueError where the file is none of theirs or torch does not agree with numpy.
    """
    weights = read(path)
    gap = largest_gap(weights)
    if not gap <= TOLERANCE:
        raise ValueError(f"{path}: torch differs from numpy by {gap:.2g}, more than {TOLERANCE:g}")
    encoder, head = to_torch(weights)
    return {
        "network": weights.network,
        "temporal": "mean",
        "name": f"mesonet_{path.stem.lower()}",
        "version": "2018",
        "license": "Apache-2.0",
        "encoder": encoder.state_dict(),
        "head": head.state_dict(),
        "features": FEATURES,
        "spec": asdict(CropSpec(SIZE, MARGIN, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "temperature": 1.0,
        "bias": 0.0,
        # Both states begin at the authors' decision, even odds; the gap below it is ours.
        "thresholds": {"suspicious_on": 0.5, "suspicious_off": 0.45, "alert_on": 0.5, "alert_off": 0.45},
        "training": _training(path, weights, gap),
        "held_apart": {},
    }


def _training(path: Path, weights: KerasWeights, gap: float) -> dict[str, Any]:
    return {
        "authors": "Afchar, Nozick, Yamagishi, Echizen (WIFS 2018), https://github.com/DariusAf/MesoNet",
        "data": "the authors' Deepfake set" if "DF" in path.stem else "Face2Face of FaceForensics",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "network": weights.network,
        "numpy_gap": gap,
        "thresholds": "the authors' decision at 0.5; not calibrated by us",
        "head": "weighted mean of the frames' logits over the window; ours",
        "crop": f"MTCNN's box with a margin of {MARGIN:g}; ours",
    }


def make(path: Path, out: Path) -> Path:
    """Convert and export one file; returns the detector's path. Raises ValueError, RuntimeError."""
    saved = out / f"{path.stem.lower()}.pt"
    torch.save(checkpoint(path), saved)
    exported = saved.with_suffix(".onnx")
    # models imports nothing of export: its command does the rest.
    command = [sys.executable, "-m", "export", str(saved), "-o", str(exported)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip() or f"export ended with {run.returncode}")
    return exported


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="the authors' .h5 files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the detectors")
    args = parser.parse_args()
    files = sorted(args.weights.glob("*.h5"))
    if not files:
        sys.stderr.write(f"peers: no .h5 files in {args.weights}\n")
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        for path in files:
            sys.stdout.write(f"{make(path, args.out)}\n")
    except (ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"peers: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
