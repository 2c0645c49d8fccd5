"""Several detectors as one: each resizes the crop for itself, and their calibrated logits are averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.crop import CropSpec


class Resized(nn.Module):
    """A member's encoder, fed with crops that were cut and normalised for another."""

    scale: Tensor
    shift: Tensor

    def __init__(self, encoder: nn.Module, given: CropSpec, wanted: CropSpec) -> None:
        """Raises ValueError where the margins differ: then the crops show another part of the head."""
        super().__init__()
        if given.margin != wanted.margin:
            raise ValueError(
                f"members see margins of {given.margin} and {wanted.margin}; one crop cannot serve both"
            )
        self.encoder, self.size, self.same = encoder, wanted.size, given.size == wanted.size
        scale, shift = renormalised(given, wanted)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, D)."""
        if not self.same:
            crops = functional.interpolate(
                crops, (self.size, self.size), mode="bilinear", align_corners=False
            )
        return self.encoder(crops * self.scale + self.shift)


class Ensemble(nn.Module):
    """(N, 3, S, S) -> (N, D): the members' features side by side."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, crops: Tensor) -> Tensor:
        """Costs what the members cost together."""
        return torch.cat([member(crops) for member in self.members], 1)


class EnsembleHead(nn.Module):
    """The mean of what the members' heads say, each calibrated by its own temperature and bias."""

    def __init__(
        self, heads: Sequence[nn.Module], widths: Sequence[int], calibrations: Sequence[tuple[float, float]]
    ) -> None:
        """widths: of the members' features. calibrations: (temperature, bias) of each."""
        super().__init__()
        self.heads, self.widths = nn.ModuleList(heads), tuple(widths)
        self.calibrations = tuple(calibrations)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """features (B, T, D), weights (B, T) in 0..1, 0 = padding -> logit (B,), positive = fake."""
        parts = features.split(self.widths, dim=-1)
        said = [
            head(part, weights) / temperature + bias
            for head, part, (temperature, bias) in zip(self.heads, parts, self.calibrations, strict=True)
        ]
        return torch.stack(said).mean(0)


def renormalised(given: CropSpec, wanted: CropSpec) -> tuple[Tensor, Tensor]:
    """What turns one normalisation into another: x * scale + shift, each (1, 3, 1, 1)."""
    mean, std = torch.tensor(given.mean), torch.tensor(given.std)
    to_mean, to_std = torch.tensor(wanted.mean), torch.tensor(wanted.std)
    return (std / to_std)[None, :, None, None], ((mean - to_mean) / to_std)[None, :, None, None]
