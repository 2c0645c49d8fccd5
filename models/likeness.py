"""Who looks like whom: VGGFace2 embeddings of the prepared stills and videos, so that swaps can be hard.

    python -m models.likeness --data DIR --prepared PREPARED --weights vggface2.pt

writes PREPARED/likeness.npz (name, embedding). Neighbours in this space are mostly of one sex, age and skin.
The weights come from models.vggface2. Without the file, donors are chosen by pose alone.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.crop import crop_face, to_input
from models.dataset import VIDEO_BOX, Clip
from models.fakes import Stills
from models.identity import SPEC
from models.inception_resnet_v1 import InceptionResnetV1, load_embedder
from models.splits import NEVER_TRAINED, folder_of, prepared_videos

BATCH, FRAMES = 32, 4  # FRAMES of each video, spread over it


@torch.inference_mode()
def embed(crops: list[NDArray[np.uint8]], network: InceptionResnetV1) -> NDArray[np.float16]:
    """Crops as models.identity.SPEC cuts them to unit embeddings (N, 512)."""
    return network(torch.from_numpy(to_input(np.stack(crops), SPEC))).numpy().astype(np.float16)


def write_likeness(data: Path, prepared: Path, network: InceptionResnetV1) -> int:
    """Write PREPARED/likeness.npz; returns how many stills and videos are in it."""
    stills = Stills(data, prepared)
    names, parts = [str(n) for n in stills.names], []
    for first in range(0, len(stills), BATCH):
        faces = [stills.face(i) for i in range(first, min(first + BATCH, len(stills)))]
        parts.append(embed([crop_face(f.image, f.box, SPEC) for f in faces], network))
        sys.stderr.write(f"\r{first + len(faces)} of {len(stills)} stills ")
        sys.stderr.flush()
    for path in prepared_videos(prepared):
        if folder_of(path.stem) in NEVER_TRAINED:
            continue
        clip = Clip.load(path)
        chosen = np.linspace(0, len(clip.crops) - 1, FRAMES).astype(int)
        found = embed([crop_face(clip.crops[i], VIDEO_BOX, SPEC) for i in chosen], network)
        names.append(clip.name)
        parts.append(found.mean(0, keepdims=True, dtype=np.float32).astype(np.float16))
    np.savez(prepared / "likeness.npz", name=np.array(names), embedding=np.concatenate(parts))
    sys.stderr.write("\n")
    return len(names)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the unpacked archives")
    parser.add_argument("--prepared", type=Path, required=True, help="what models.prepare wrote")
    parser.add_argument("--weights", type=Path, required=True, help="what models.vggface2 wrote")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    print(write_likeness(args.data, args.prepared, load_embedder(args.weights).eval()), "faces embedded")


if __name__ == "__main__":
    main()
