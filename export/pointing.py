"""Does the heat map point at what was changed? Faces with another mouth, or other eyes, and nothing else.

    python -m export.pointing DETECTOR.onnx --data DIR --prepared PREPARED [--faces 400] [--json FILE]

The pointing game (Zhang et al., ECCV 2016, https://arxiv.org/abs/1608.00507): the map's highest place is a
hit where the picture was changed. Chance is the share of changed places. Faces are stills of people held
apart, changed by the families of models.fakes.regions; the real face beside each shows how often the map
points there without a reason. "Found" are the fakes whose score lies above that of four in five real faces: a
detector that saw nothing can point at nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.detector import Detector, open_detector
from export.errors import ModelError
from export.explain import scale_of, unusual
from models.crop import crop_face
from models.dataset import Pairs, degraded_pair, held_stills
from models.fakes.face import FacePicture

FAMILIES = ("mouth", "eyes")
CHANGED, SOFT = 2.0, 3.0  # grey levels that count as a change, px of blur before they are counted
COVERED = 0.4  # of a place that must have changed
FOUND = 0.8  # quantile of the real faces' scores
SEED = 5
Crops = NDArray[np.uint8]


def changed(real: Crops, fake: Crops, grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Which places differ between two crops (S, S, 3): (h, w)."""
    gap = np.abs(real.astype(np.int16) - fake).max(-1).astype(np.float32)
    mask = (cv2.GaussianBlur(gap, (0, 0), SOFT) > CHANGED).astype(np.float32)
    return cv2.resize(mask, grid[::-1], interpolation=cv2.INTER_AREA) > COVERED


def hits(heat: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each map's (N, h, w) highest place is one of those that changed (N, h, w)."""
    top = heat.reshape(len(heat), -1).argmax(1)
    return where.reshape(len(where), -1)[np.arange(len(heat)), top]


def play(detector: Detector, real: Crops, fake: Crops, where: NDArray[np.bool_]) -> dict[str, Any]:
    """The game over crops (N, S, S, 3) and what changed (N, h, w). Faces that did not change are left out."""
    any_change = where.any((1, 2))
    real, fake, where = real[any_change], fake[any_change], where[any_change]
    scale, blind = scale_of(detector), np.zeros(len(real), bool)
    raw_real, raw_fake = (detector.encode_with_map(side, blind)[1] for side in (real, fake))
    found = raw_fake.mean((1, 2)) > np.quantile(raw_real.mean((1, 2)), FOUND)
    hit, hit_real = hits(unusual(raw_fake, scale), where), hits(unusual(raw_real, scale), where)
    chance = where.mean((1, 2))
    return {
        "faces": len(real),
        "hit": round(float(hit.mean()), 3),
        "chance": round(float(chance.mean()), 3),
        "found": int(found.sum()),
        "hit_found": round(float(hit[found].mean()), 3) if found.any() else None,
        "chance_found": round(float(chance[found].mean()), 3) if found.any() else None,
        "hit_on_the_real_face": round(float(hit_real.mean()), 3),
    }


def faces(pairs: Pairs, family: str, count: int, call: bool, grid: tuple[int, int]) -> Any:
    """Crops of real faces and of the same with one region changed, and where: as a call would have them, or
    as made.

    Returns ((N, S, S, 3), (N, S, S, 3), (N, h, w)).
    """
    assert pairs.held_fakes is not None
    rng, found = np.random.default_rng(SEED), []
    for index in held_stills(pairs.stills, pairs.mix.held_stills)[:count]:
        face = pairs.stills.face(int(index))
        fake = pairs.held_fakes.makers[family](
            face, pairs.donor(face, rng, str(pairs.stills.names[index])), rng
        )
        real_crop, fake_crop = (_crop(each, pairs) for each in (face, fake))
        where = changed(real_crop, fake_crop, grid)
        if call:
            real_crop, fake_crop = degraded_pair(face, fake, pairs.spec, np.random.default_rng(int(index)))
        found.append((real_crop, fake_crop, where))
    return tuple(np.stack(part) for part in zip(*found, strict=True))


def _crop(face: FacePicture, pairs: Pairs) -> Crops:
    return crop_face(face.image, face.box, pairs.spec)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.pointing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DETECTOR.onnx")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=400)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    told: dict[str, Any] = {}
    try:
        detector = open_detector(args.model)
        scale_of(detector)
        assert detector.grid is not None
        pairs = Pairs.open(args.data, args.prepared, detector.card.crop, 16, SEED)
        for family in FAMILIES:
            for call in (False, True):
                sides = faces(pairs, family, args.faces, call, detector.grid)
                told[f"{family}, {'as a call has it' if call else 'as made'}"] = play(detector, *sides)
    except (ModelError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"pointing: {error}\n")
        return 1
    print("| changed | faces | hit | chance | found | hit, found | chance, found | hit on the real face |")
    print("| --- " * 8 + "|")
    for name, each in told.items():
        print(f"| {name} | " + " | ".join("–" if v is None else str(v) for v in each.values()) + " |")
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
