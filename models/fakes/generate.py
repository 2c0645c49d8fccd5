"""Draw faces of nobody: the generator inside the PyPI package random-face, run once, fills a folder.

    pip download --no-deps random-face==2021.7.21.1 && unzip random_face-*.whl -d WHEEL
    python -m models.fakes.generate --networks WHEEL/random_face/data --out PICTURES --count 600
    python -m models.prepare --data DIR --out PREPARED --generated PICTURES

It wants openvino, which nothing else here does: give it an environment of its own (openvino, numpy, av,
opencv-python-headless). The generator is MobileStyleGAN (Belousov 2021, https://arxiv.org/abs/2104.04767),
trained on FFHQ; 1024 px, about a second a face on one core; Apache-2.0.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

STYLE = 512  # numbers in a style
SIDE = 512  # px, what is kept of 1024: a face of about 300 px, more than any still is used at
TRUNCATION = (0.45, 0.9)  # how far a style may be from the mean one; 1 = as far as it was drawn


class Generator:
    """The two networks: noise to style, style to picture."""

    def __init__(self, networks: Path, threads: int = 1) -> None:
        core = import_module("openvino").Core()  # only an environment of its own has it
        options = {"INFERENCE_NUM_THREADS": threads}
        self._mapping = core.compile_model(str(networks / "MappingNetwork.xml"), "CPU", options)
        self._synthesis = core.compile_model(str(networks / "SynthesisNetwork.xml"), "CPU", options)
        rng = np.random.default_rng(0)
        self._mean = np.mean([self._style(rng) for _ in range(500)], axis=0)

    def _style(self, rng: np.random.Generator) -> Any:
        return self._mapping(rng.standard_normal((1, STYLE), dtype=np.float32))["style"]

    def face(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """One face: (SIDE, SIDE, 3) uint8 BGR."""
        style = self._mean + rng.uniform(*TRUNCATION) * (self._style(rng) - self._mean)
        drawn = self._synthesis(style.astype(np.float32))["img"][0]  # (3, 1024, 1024) RGB, -1..1
        levels = np.clip((drawn + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
        bgr = np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])
        return cv2.resize(bgr, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def main() -> None:
    """The command line. Faces that are there already are not drawn again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=Path, required=True, help="the wheel's folder random_face/data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=600)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    generator = Generator(args.networks)
    for seed in range(args.count):
        path = args.out / f"face{seed:05d}.png"
        if not path.exists():
            cv2.imwrite(str(path), generator.face(np.random.default_rng(seed)))
        sys.stderr.write(f"\r{seed + 1} of {args.count} faces ")
        sys.stderr.flush()
    sys.stderr.write("\n")


if __name__ == "__main__":
    main()
