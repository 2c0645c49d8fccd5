"""Grad-CAM of a trained checkpoint: which places of a crop a single frame's score hangs on.

    python -m models.gradcam RUN/detector.pt CROP.png… --out DIR

Selvaraju et al., ICCV 2017 (https://arxiv.org/abs/1610.02391): each channel of the last feature map counts by
its mean gradient, and what is left below zero speaks against. It works on every encoder of the family, and
needs torch and the checkpoint; the live system uses what an exported file gives by itself (export.maps,
export.explain). Crops are squares as the live system cuts them: evidence has some, `python -m stream.crops`
makes more.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from models.crop import CropSpec, to_input
from models.family import Networks, restore

STRONGEST = 0.5  # how far the colours cover the crop


def grad_cam(networks: Networks, crops: Tensor) -> Tensor:
    """(N, 3, S, S) to heat (N, h, w), 0 and more: what speaks for a fake, each frame judged by itself.

    Raises ValueError for an encoder without a feature map.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1 and output.requires_grad:
            seen.append(output)

    handles = [module.register_forward_hook(keep) for module in networks.encoder.modules()]
    try:
        features = networks.encoder(crops.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ValueError("this encoder has no feature map")
    rest = 0 if networks.second is None else networks.second(crops[:1]).shape[1]
    alone = torch.cat([features, features.new_zeros(len(features), rest)], 1)[:, None]  # windows of one crop
    logits = networks.head(alone, features.new_ones(len(features), 1))
    (gradient,) = torch.autograd.grad(logits.sum(), seen[-1])
    weights = gradient.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
    return (weights * seen[-1]).sum(1).relu().detach()


def painted(crop: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A crop (S, S, 3) BGR with heat (h, w) over it, strongest where the heat is greatest."""
    size = crop.shape[:2][::-1]
    share = cv2.resize(heat / max(float(heat.max()), 1e-12), size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = share.astype(np.float32) * STRONGEST
    return cv2.blendLinear(crop, colours, 1 - alpha, alpha)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.gradcam",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="RUN/detector.pt")
    parser.add_argument("crops", type=Path, nargs="+", metavar="CROP.png")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    try:
        state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
        networks, spec = restore(state), CropSpec(**state["spec"])
        args.out.mkdir(parents=True, exist_ok=True)
        for path in args.crops:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f"{path}: not a picture")
            crop = np.asarray(
                cv2.resize(image, (spec.size, spec.size), interpolation=cv2.INTER_AREA), np.uint8
            )
            heat = grad_cam(networks, torch.from_numpy(to_input(crop[None], spec)))[0].numpy()
            cv2.imwrite(str(args.out / f"{path.stem}-gradcam.png"), painted(crop, heat))
            sys.stdout.write(f"{args.out / f'{path.stem}-gradcam.png'}\n")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        sys.stderr.write(f"gradcam: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
