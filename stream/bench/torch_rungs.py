"""The ladder's lower rungs, in PyTorch: `python -m stream.bench.torch_rungs CLIP CHECKPOINT RUNG`; JSON.

"torch" is the pipeline of student systems: facenet-pytorch's MTCNN.detect on every frame, each face cut to
256 px and scaled by 1/255, its InceptionResnetV1 with one logit, sigmoid. Kinder than they are: the smallest
face is ours, a frame's faces are one batch, no gradients are kept.
"mtcnn" is the same with our MTCNN before it.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, crop_face
from stream.bench.facenet import load_facenet
from stream.bench.rungs import Spent, Timing, timed
from stream.errors import ConfigError, FacewitnessError
from stream.faces import FaceDetector
from stream.sources import SourceOptions, find

ADDS = {
    "torch": "(a): facenet-pytorch on every frame, in PyTorch",
    "mtcnn": "our MTCNN: its networks in onnxruntime, the rest in numpy",
}
SPEC = CropSpec(256, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # as models.common_layout adopts such detectors
WARM = 2  # frames that are not timed

Detect = Callable[[NDArray[np.uint8]], Any]  # a picture (H, W, 3) BGR to boxes (N, 4), or None


def run(given: argparse.Namespace) -> Timing:
    """A rung over a clip, for about so many seconds. Raises FacewitnessError."""
    facenet = load_facenet(given.threads)
    import torch

    if given.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError("this torch has no CUDA, so that the rival cannot run where ours does")
    cv2.setNumThreads(given.threads)
    state = torch.load(given.checkpoint, map_location="cpu", weights_only=True)["model_state_dict"]
    network = facenet.InceptionResnetV1(classify=True, num_classes=1)
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    network.to(given.device).eval()
    detect = _detect(facenet, given)
    spent: Spent = defaultdict(float)

    def step(image: NDArray[np.uint8]) -> int:
        begin = time.process_time()
        boxes = detect(image)
        found = time.process_time()
        spent["detect"] += found - begin
        if boxes is None or not len(boxes):
            return 0
        crops = np.stack([crop_face(image, box, SPEC)[..., ::-1] for box in boxes])
        batch = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32)).to(given.device) / 255
        with torch.no_grad():
            torch.sigmoid(network(batch)).cpu().numpy()
        spent["encode"] += time.process_time() - found
        return len(boxes)

    pictures = (frame.image for frame in find(str(given.clip)).frames(str(given.clip), SourceOptions()))
    return timed(pictures, step, given.seconds, WARM, spent)


def _detect(facenet: Any, given: argparse.Namespace) -> Detect:
    if given.rung == "mtcnn":
        ours = FaceDetector(threads=given.threads, min_face=given.min_face)
        return lambda image: [face.box for face in ours.detect(image)]
    theirs = facenet.MTCNN(keep_all=True, min_face_size=given.min_face, device=given.device)
    return lambda image: theirs.detect(np.ascontiguousarray(image[..., ::-1]))[0]


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench.torch_rungs", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("checkpoint", type=Path, help="in the common layout")
    parser.add_argument("rung", choices=list(ADDS))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-face", type=int, default=60)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    try:
        timing = run(given)
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(timing.row()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
