"""The pipeline of student systems in PyTorch, timed: `python -m stream.bench_rival CLIP CHECKPOINT`; JSON.

facenet-pytorch's MTCNN.detect on every frame, each face cut to 256 px and scaled by 1/255, its
InceptionResnetV1 with one logit, sigmoid. Kinder than they are: the smallest face is ours, a frame's faces
are one batch, no gradients are kept.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.crop import CropSpec, crop_face
from stream.bench_facenet import load_facenet
from stream.bench_offline import Spent, Timing, timed
from stream.errors import ConfigError, FacewitnessError
from stream.sources import SourceOptions, find

SPEC = CropSpec(256, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # as models.common_layout adopts such detectors
WARM = 2  # frames that are not timed


def run(
    clip: Path, checkpoint: Path, seconds: float, threads: int, min_face: int, device: str = "cpu"
) -> Timing:
    """The pipeline over a clip, for about so many seconds; device: torch's. Raises FacewitnessError."""
    facenet = load_facenet(threads)
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise ConfigError("this torch has no CUDA, so that the rival cannot run where ours does")
    cv2.setNumThreads(threads)
    mtcnn = facenet.MTCNN(keep_all=True, min_face_size=min_face, device=device)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model_state_dict"]
    network = facenet.InceptionResnetV1(classify=True, num_classes=1)
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    network.to(device).eval()
    spent: Spent = defaultdict(float)

    def step(image: Any) -> int:
        begin = time.process_time()
        boxes, _ = mtcnn.detect(np.ascontiguousarray(image[..., ::-1]))
        found = time.process_time()
        spent["detect"] += found - begin
        if boxes is None:
            return 0
        crops = np.stack([crop_face(image, box, SPEC)[..., ::-1] for box in boxes])
        batch = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32)).to(device) / 255
        with torch.no_grad():
            torch.sigmoid(network(batch)).cpu().numpy()
        spent["encode"] += time.process_time() - found
        return len(boxes)

    pictures = (frame.image for frame in find(str(clip)).frames(str(clip), SourceOptions()))
    return timed(pictures, step, seconds, WARM, spent)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench_rival", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("checkpoint", type=Path, help="in the common layout")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-face", type=int, default=60)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    try:
        timing = run(given.clip, given.checkpoint, given.seconds, given.threads, given.min_face, given.device)
    except FacewitnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(timing.row()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
