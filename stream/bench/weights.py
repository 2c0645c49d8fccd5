"""Makes the networks that the rivals share: `python -m stream.bench.weights CLIP FOLDER`; needs [train].

One InceptionResnetV1 with one logit three times: as a checkpoint in the common layout for PyTorch, as ONNX in
float32, as ONNX in int8. Without `--weights` its numbers are random, seeded: time does not depend on them.
"""

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face, to_input
from stream.errors import FacewitnessError
from stream.faces import FaceDetector
from stream.sources import SourceOptions, find

CHECKPOINT, FLOAT, INT8 = "rival.pth", "rival.onnx", "rival_int8.onnx"
CROPS, EVERY = 16, 20  # crops of the clip that int8's ranges are watched on; of each so many-th frame


def make(clip: Path, folder: Path, weights: Path | None, min_face: int) -> None:
    """Write CHECKPOINT, FLOAT and INT8 into a folder. Raises FacewitnessError, ModelError, OSError."""
    from export.convert import convert

    checkpoint = folder / CHECKPOINT
    if weights is None:
        random_checkpoint(checkpoint)
    else:
        checkpoint.write_bytes(weights.read_bytes())
    card = convert(checkpoint, folder / FLOAT)
    to_small(folder / FLOAT, folder / INT8, to_input(crops_of(clip, card.crop, min_face), card.crop))


def crops_of(clip: Path, spec: CropSpec, min_face: int) -> NDArray[np.uint8]:
    """(N, S, S, 3) faces of a clip, spread over it. Raises ValueError where there are none."""
    faces = FaceDetector(min_face=min_face)
    frames = islice(find(str(clip)).frames(str(clip), SourceOptions()), 0, None, EVERY)
    found = [crop_face(f.image, face.box, spec) for f in frames for face in faces.detect(f.image)]
    if not found:
        raise ValueError(f"{clip} shows no face")
    return np.stack(found[:CROPS])


def to_small(given: Path, out: Path, inputs: NDArray[np.float32]) -> None:
    """The int8 twin of a detector of one eye; it keeps card and head."""
    import onnx

    from export.join import part
    from export.quantise import to_int8

    model = onnx.load(given)
    (eye,) = part(model)
    small = onnx.load_from_string(to_int8(eye, inputs))
    onnx.helper.set_model_props(small, {p.key: p.value for p in model.metadata_props})
    onnx.save(small, str(out))


def random_checkpoint(path: Path) -> None:
    """Write an InceptionResnetV1 of seeded random numbers in the common layout. Raises ConfigError."""
    from stream.bench.facenet import load_facenet

    facenet: Any = load_facenet(1)
    import torch

    torch.manual_seed(0)
    network = facenet.InceptionResnetV1(classify=True, num_classes=1)
    torch.save({"model_state_dict": network.state_dict()}, path)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench.weights", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="a checkpoint in the common layout")
    parser.add_argument("--min-face", type=int, default=60)
    given = parser.parse_args()
    try:
        from export.errors import ModelError

        make(given.clip, given.folder, given.weights, given.min_face)
        print(json.dumps([CHECKPOINT, FLOAT, INT8]))
    except ImportError as error:
        print(f"bench: {error}: pip install 'facewitness[train]'", file=sys.stderr)
        return 2
    except (FacewitnessError, ModelError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
