"""Fit what tells whether an inner face belongs to its head, on real stills alone.

    python -m models.fit_agreement --data DIR --prepared PREPARED --recogniser vggface2.pt \\
        --out PREPARED/identity.npz

DIR and PREPARED as for models.train; the recogniser is what models.vggface2 wrote. LFW is used, one picture a
person, the held-apart people left out; UTKFace is too tight to show a head. What the recogniser saw is kept
beside OUT, so that it may be stopped and run again.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.agreement import fit, fit_plain
from models.crop import CropSpec, crop_face
from models.dataset import Mix, Stills, degraded_pair, held_stills
from models.identity_eye import VIEWS, IdentityEye
from models.inception_resnet_v1 import EMBEDDING, load_embedder
from models.trainer import to_tensor

SPEC = CropSpec(192, 1.3)  # the crops that the live system gives to both eyes
VERSIONS = 3  # of each picture: as it is, and degraded twice
SEED = 21
SAVE_EVERY = 50  # people
FITS: dict[str, Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]] = {
    "across": fit,
    "plain": fit_plain,
}


def versions_of(stills: Stills, index: int) -> NDArray[np.uint8]:
    """A still as it is and through a degradation each, (VERSIONS, S, S, 3) uint8 BGR."""
    face, rng = stills.face(index), np.random.default_rng((SEED, index))
    made = [crop_face(face.image, face.box, SPEC)]
    made += [degraded_pair(face, face, SPEC, rng)[0] for _ in range(VERSIONS - 1)]
    return np.stack(made)


def people_of(stills: Stills, most: int) -> NDArray[np.intp]:
    """LFW's people that may be trained on, evenly chosen where there are more than `most`."""
    named = [i for i, n in enumerate(stills.names) if "/" not in n and not str(n)[0].isdigit()]
    lfw = np.setdiff1d(np.array(named, np.intp), held_stills(stills, Mix().held_stills))
    return lfw[np.linspace(0, len(lfw) - 1, min(most, len(lfw))).astype(int)] if len(lfw) else lfw


def embed(
    eye: IdentityEye, stills: Stills, people: NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each person's index and embeddings (VERSIONS, 3, 512)."""
    for index in people:
        with torch.no_grad():
            seen = eye(to_tensor(versions_of(stills, int(index)), SPEC))
        yield int(index), seen.numpy().reshape(VERSIONS, VIEWS, EMBEDDING)


def embedded(eye: IdentityEye, stills: Stills, people: NDArray[np.intp], kept: Path) -> NDArray[np.float32]:
    """The embeddings of all people, (VERSIONS, N, 3, 512); those in `kept` are not made again."""
    known: dict[str, NDArray[np.float32]] = {}
    if kept.exists():
        with np.load(kept) as saved:
            known = dict(saved)
    left = np.array([i for i in people if str(i) not in known], np.intp)
    begin = time.monotonic()
    for done, (index, seen) in enumerate(embed(eye, stills, left), 1):
        known[str(index)] = seen
        if done % SAVE_EVERY == 0 or done == len(left):
            np.savez(kept.with_suffix(".part.npz"), **known)  # type: ignore[arg-type]  # names, not options
            kept.with_suffix(".part.npz").replace(kept)
            seconds = (time.monotonic() - begin) / done * (len(left) - done)
            sys.stderr.write(f"\r{done} of {len(left)} people, {seconds:.0f} s left ")
            sys.stderr.flush()
    return np.stack([known[str(i)] for i in people], axis=1)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.fit_agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--recogniser", type=Path, required=True, help="what models.vggface2 wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--by", choices=sorted(FITS), default="across", help="which fit; see models.agreement"
    )
    parser.add_argument("--people", type=int, default=10_000, help="at most so many")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        eye = IdentityEye(load_embedder(args.recogniser), SPEC).eval()
        stills = Stills(args.data, args.prepared)
        people = people_of(stills, args.people)
        found = FITS[args.by](embedded(eye, stills, people, args.out.with_suffix(".seen.npz")))
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"fit_agreement: {error}\n")
        return 1
    np.savez(args.out, by=args.by, people=len(people), versions=VERSIONS, **found)  # type: ignore[arg-type]
    sys.stderr.write(f"\n{args.out}: {len(people)} people, usual figures {found['usual'].round(3)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
