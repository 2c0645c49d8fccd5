"""Test-time augmentation: an encoder that looks at each crop more than once, and gives the mean."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CLOSER = 0.9  # of the crop's side


def flip(crops: Tensor) -> Tensor:
    """Left and right exchanged."""
    return crops.flip(-1)


def closer(crops: Tensor) -> Tensor:
    """The middle of the crop, enlarged to its size."""
    size = crops.shape[-1]
    edge = round(size * (1 - CLOSER) / 2)
    middle = crops[..., edge : size - edge, edge : size - edge]
    return functional.interpolate(middle, (size, size), mode="bilinear", align_corners=False)


AUGMENTS: dict[str, Callable[[Tensor], Tensor]] = {"flip": flip, "closer": closer}


class Augmented(nn.Module):
    """(N, 3, S, S) -> (N, D): the mean of the features of the crop and of its changed copies."""

    def __init__(self, encoder: nn.Module, names: Sequence[str]) -> None:
        """names: of AUGMENTS. Raises ValueError for one that there is not."""
        super().__init__()
        unknown = set(names) - set(AUGMENTS)
        if unknown:
            raise ValueError(
                f"no augmentation is called {', '.join(sorted(unknown))}; there are {', '.join(AUGMENTS)}"
            )
        self.encoder, self.names = encoder, tuple(names)

    def forward(self, crops: Tensor) -> Tensor:
        """Costs 1 + len(names) times as much as the encoder alone."""
        seen = [self.encoder(crops)] + [self.encoder(AUGMENTS[name](crops)) for name in self.names]
        return torch.stack(seen).mean(0)
