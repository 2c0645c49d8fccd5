"""Join the cues into one verdict, fitted and calibrated on people that no training has seen.

    python -m models.fuse RUN/detector.pt --data DIR --prepared PREPARED --recogniser vggface2.pt \\
        --out RUN/fused.pt

RUN/detector.pt is what models.train wrote: the first eye and its temporal head. The recogniser comes from
models.vggface2, PREPARED/identity.npz from models.fit_agreement. `--only artefacts` or `--only identity`
writes a detector of one cue, to be measured alone. What the second eye saw is kept beside OUT, for the next
fit.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.agreement import Agreement
from models.calibrate import fit_platt
from models.clips import Window
from models.crop import CropSpec
from models.dataset import Pairs
from models.family import Networks, restore
from models.fused_head import IDENTITY, FusedHead
from models.identity_eye import IdentityEye
from models.inception_resnet_v1 import load_embedder
from models.train_head import Encoded, calibrate, padded
from models.trainer import to_tensor
from models.windows import held_jobs, nth

EVERY = 4  # crops of which the second eye sees one: twice a second
SEED = 11
# Fakes that carry another person's inner face. Reenactments and self-blends keep their owner's: the identity
# cue cannot see them, and its calibration must not be blamed for it.
SWAPS = frozenset({"Deepfakes", "FaceSwap", "two_person", "neural_swap"})
SILENT = -30.0  # the logit of a cue that is left out: the union is then the other


def encode(networks: Networks, windows: Iterable[Window], spec: CropSpec, kept: Path) -> list[Encoded]:
    """What both eyes see of the windows; the second's part is read from `kept` where it is there."""
    assert networks.second is not None
    known = dict(np.load(kept)) if kept.exists() else {}
    seen: dict[str, NDArray[np.float32]] = {}
    done: list[Encoded] = []
    for window in windows:
        key = hashlib.sha256(window.crops.tobytes()).hexdigest()
        x = to_tensor(window.crops, spec)
        with torch.no_grad():
            if key not in known:
                known[key] = networks.second(x[:: networks.every]).numpy()
            first = networks.encoder(x).numpy()
        seen[key] = known[key]
        features = np.zeros((len(first), first.shape[1] + IDENTITY), np.float32)
        features[:, : first.shape[1]] = first
        features[:: networks.every, first.shape[1] :] = known[key]
        done.append(Encoded(features, window.weights, window.label, window.source))
        if len(done) % 25 == 0:
            sys.stderr.write(f"\r{len(done)} windows seen ")
            sys.stderr.flush()
            _keep(kept, known)
    _keep(kept, seen)
    return done


def _keep(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    np.savez(path, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def is_swap(source: str) -> bool:
    """Whether a fake window's name says that it shows another person's inner face."""
    return not SWAPS.isdisjoint(source.replace(":", "__").split("__"))


@torch.no_grad()
def fit(head: FusedHead, held: list[Encoded], only: str) -> dict[str, Any]:
    """Set the head's scales and shifts: each cue's Platt fit, on the fakes that it can see."""
    features, weights, _ = padded(held)
    cues = head.cues(features, weights).numpy().astype(np.float64)  # (N, 2)
    labels = np.array([w.label for w in held])
    swaps = np.array([is_swap(w.source) for w in held])
    told: dict[str, Any] = {}
    for k, (name, counts) in enumerate((("artefacts", labels >= 0), ("identity", (labels == 0) | swaps))):
        temperature, bias = fit_platt(cues[counts, k], labels[counts])
        if only not in ("both", name):
            temperature, bias = np.inf, SILENT
        head.scales[k], head.shifts[k] = 1 / temperature, bias
        told[name] = {"scale": float(head.scales[k]), "shift": float(head.shifts[k])}
    return told


def windows_of(pairs: Pairs, stills: int) -> Iterator[Window]:
    """The held-apart windows, in order."""
    jobs = held_jobs(pairs, stills)
    for number in range(len(jobs)):
        yield from nth(jobs, SEED, pairs, number)


def fused(
    state: dict[str, Any], recogniser: Path, agreement: Path
) -> tuple[dict[str, Any], Networks, FusedHead]:
    """The checkpoint with a second eye and a fused head, not yet fitted.

    Raises KeyError or RuntimeError for files that are none of ours.
    """
    networks, spec = restore(state), CropSpec(**state["spec"])
    head = FusedHead(state["features"] + IDENTITY)
    head.artefacts.load_state_dict(networks.head.state_dict())
    head.identity.load_state_dict(Agreement.load(agreement).state_dict())
    embedder = load_embedder(recogniser)
    second = IdentityEye(embedder, spec).eval()
    more = {
        "temporal": "fused",
        "features": state["features"] + IDENTITY,
        "second": {"name": "identity", "features": IDENTITY, "every": EVERY},
        "recogniser": embedder.state_dict(),
    }
    return {**state, **more}, replace(networks, second=second, every=EVERY), head.eval()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.fuse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="RUN/detector.pt")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--recogniser", type=Path, required=True, help="what models.vggface2 wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("both", "artefacts", "identity"), default="both")
    parser.add_argument("--stills", type=int, default=150, help="held-apart moving stills, real and fake")
    parser.add_argument("--version", help="default: the checkpoint's")
    return parser


def main() -> int:
    """The command line; returns the exit code."""
    args = _parser().parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        given = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
        state, networks, head = fused(given, args.recogniser, args.prepared / "identity.npz")
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"fuse: {error}\n")
        return 1
    spec = CropSpec(**state["spec"])
    pairs = Pairs.open(args.data, args.prepared, spec, 1, SEED)
    held = encode(networks, windows_of(pairs, args.stills), spec, args.out.with_suffix(".seen.npz"))
    cues = fit(head, held, args.only)
    found = calibrate(head, held)
    sys.stderr.write(f"\n{json.dumps({**found, 'cues': cues}, indent=1)}\n")
    state.update(found, head=head.state_dict())
    state["training"] = {**state["training"], "cues": cues, "cues_used": args.only}
    if args.version:
        state["version"] = args.version
    torch.save(state, args.out.with_suffix(".part"))
    args.out.with_suffix(".part").replace(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
