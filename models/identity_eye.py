"""The second eye: three views of a crop through a frozen face recogniser, as one network for export.

It takes the very crop that the first eye takes, so a face is cut out once. What the views are stands in
models.identity; that the two agree is tested.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.crop import CropSpec
from models.ensemble import renormalised
from models.identity import SPEC, ellipse

VIEWS = 3  # whole, inner face, surroundings
SCALE = 1.0  # of the ellipse


class IdentityEye(nn.Module):
    """Embeddings of the whole crop, of the inner face and of its surroundings."""

    masks: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, recogniser: nn.Module, crop: CropSpec) -> None:
        """recogniser: (N, 3, 160, 160) to unit vectors (N, E). crop: how the crops were cut and normalised.

        Raises ValueError for crops with another margin than the recogniser's: they show another part of a
        head.
        """
        super().__init__()
        if crop.margin != SPEC.margin:
            raise ValueError(
                f"the recogniser's views are cut with a margin of {SPEC.margin}, not {crop.margin}"
            )
        self.recogniser = recogniser
        mask = torch.from_numpy(ellipse(SPEC, SCALE))[None, None]
        self.register_buffer("masks", torch.cat([torch.ones_like(mask), mask, 1 - mask]), persistent=False)
        scale, shift = renormalised(crop, SPEC)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB as the first eye takes them -> (N, 3 * E), embeddings at unit length."""
        size = (SPEC.size, SPEC.size)
        faces = functional.interpolate(crops, size, mode="bilinear", align_corners=False)
        faces = faces * self.scale + self.shift
        views = (faces[:, None] * self.masks).flatten(0, 1)  # (N * 3, 3, 160, 160); hidden is 0, the mean
        return self.recogniser(views).unflatten(0, (-1, VIEWS)).flatten(1)
