"""MesoNet's two networks as crop encoders: Meso4 and MesoInception4, 28,000 parameters each.

Afchar, Nozick, Yamagishi & Echizen, MesoNet: a compact facial video forgery detection network, WIFS 2018
(https://arxiv.org/abs/1809.00888), figures 4 and 5. An encoder ends with the 16 numbers before the last
layer; that layer, one logit, is models.mean_head's.
"""

import torch
from torch import Tensor, nn

SIZE = 256  # px: the layer that is fully connected knows no other
FEATURES = 16
BN_EPS = 1e-3  # Keras's, with which the authors trained
SLOPE = 0.1  # of the leaky ReLU
DROPOUT = 0.5


class ConvBlock(nn.Module):
    """k x k convolution, ReLU, batch norm, max pooling."""

    def __init__(self, width_in: int, width: int, kernel: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(width, eps=BN_EPS)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / pool, W / pool)."""
        return self.pool(self.norm(torch.relu(self.conv(x))))


class InceptionBlock(nn.Module):
    """Figure 5: 1x1 beside three 3x3 convolutions with dilation 1, 2 and 3, each behind a 1x1."""

    def __init__(self, width_in: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(width_in, width, 1) for width in widths)
        self.spread = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            for dilation, width in enumerate(widths[1:], 1)
        )
        self.norm = nn.BatchNorm2d(sum(widths), eps=BN_EPS)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, sum of widths, H / 2, W / 2)."""
        first, *others = [torch.relu(conv(x)) for conv in self.reduce]
        spread = [torch.relu(conv(y)) for conv, y in zip(self.spread, others, strict=True)]
        return self.pool(self.norm(torch.cat([first, *spread], 1)))


class MesoEncoder(nn.Module):
    """Four blocks, then one fully connected layer."""

    def __init__(self, blocks: nn.Sequential) -> None:
        super().__init__()
        self.blocks = blocks
        self.drop = nn.Dropout(DROPOUT)
        self.fully = nn.Linear(16 * 8 * 8, FEATURES)
        self.leaky = nn.LeakyReLU(SLOPE)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, 256, 256) RGB in [0, 1] -> (N, 16)."""
        return self.leaky(self.fully(self.drop(self.blocks(crops).flatten(1))))


def meso4() -> MesoEncoder:
    """Figure 4: 256 -> 128 -> 64 -> 32 -> 8 px."""
    return MesoEncoder(
        nn.Sequential(
            ConvBlock(3, 8, 3, 2), ConvBlock(8, 8, 5, 2), ConvBlock(8, 16, 5, 2), ConvBlock(16, 16, 5, 4)
        )
    )


def mesoinception4() -> MesoEncoder:
    """Meso4 with its first two blocks replaced by inception modules."""
    return MesoEncoder(
        nn.Sequential(
            InceptionBlock(3, (1, 4, 4, 2)),
            InceptionBlock(11, (2, 4, 4, 2)),
            ConvBlock(12, 16, 5, 2),
            ConvBlock(16, 16, 5, 4),
        )
    )
