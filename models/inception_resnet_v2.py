"""Inception-ResNet-v2 as a crop encoder: one face crop in, 1536 numbers out.

Szegedy, Ioffe, Vanhoucke & Alemi, Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning, 2016 (https://arxiv.org/abs/1602.07261), figures 15 to 19 and table 1; the stem, the depths 10, 20,
10 and the residual scales as in TensorFlow's slim and its usual PyTorch ports (Cadene's, timm), whose widths
these are. Trained from scratch here: no weights of it could be had.
"""

import torch
from torch import Tensor, nn

from models.inception_resnet_v1 import BasicConv2d, Reduction, Residual

SIZE = 299  # px, of the paper; it takes any from 75 up
FEATURES = 1536
SCALE_35, SCALE_17, SCALE_8 = 0.17, 0.10, 0.20  # what a residual branch counts


class Mixed5b(nn.Module):
    """The stem's end, Inception-A without a residual: 192 to 320 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = BasicConv2d(192, 96, 1)
        self.branch1 = nn.Sequential(BasicConv2d(192, 48, 1), BasicConv2d(48, 64, 5, padding=2))
        self.branch2 = nn.Sequential(
            BasicConv2d(192, 64, 1), BasicConv2d(64, 96, 3, padding=1), BasicConv2d(96, 96, 3, padding=1)
        )
        self.branch3 = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), BasicConv2d(192, 64, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 192, H, W) -> (N, 320, H, W)."""
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


def block35() -> Residual:
    """Inception-ResNet-A (figure 16): 320 channels, 35x35 for pictures of 299 px."""
    three = nn.Sequential(BasicConv2d(320, 32, 1), BasicConv2d(32, 32, 3, padding=1))
    five = nn.Sequential(
        BasicConv2d(320, 32, 1), BasicConv2d(32, 48, 3, padding=1), BasicConv2d(48, 64, 3, padding=1)
    )
    return Residual(320, [BasicConv2d(320, 32, 1), three, five], 128, SCALE_35, last=False)


def block17() -> Residual:
    """Inception-ResNet-B (figure 17): 1088 channels, 17x17."""
    seven = nn.Sequential(
        BasicConv2d(1088, 128, 1),
        BasicConv2d(128, 160, (1, 7), padding=(0, 3)),
        BasicConv2d(160, 192, (7, 1), padding=(3, 0)),
    )
    return Residual(1088, [BasicConv2d(1088, 192, 1), seven], 384, SCALE_17, last=False)


def block8(scale: float = SCALE_8, last: bool = False) -> Residual:
    """Inception-ResNet-C (figure 19): 2080 channels, 8x8."""
    three = nn.Sequential(
        BasicConv2d(2080, 192, 1),
        BasicConv2d(192, 224, (1, 3), padding=(0, 1)),
        BasicConv2d(224, 256, (3, 1), padding=(1, 0)),
    )
    return Residual(2080, [BasicConv2d(2080, 192, 1), three], 448, scale, last)


def mixed_6a() -> Reduction:
    """Reduction-A (table 1: 256, 256, 384, 384): 320 to 1088 channels."""
    deep = nn.Sequential(
        BasicConv2d(320, 256, 1), BasicConv2d(256, 256, 3, padding=1), BasicConv2d(256, 384, 3, 2)
    )
    return Reduction([BasicConv2d(320, 384, 3, 2), deep])


def mixed_7a() -> Reduction:
    """Reduction-B (figure 18): 1088 to 2080 channels."""
    wide = nn.Sequential(BasicConv2d(1088, 256, 1), BasicConv2d(256, 384, 3, 2))
    slim = nn.Sequential(BasicConv2d(1088, 256, 1), BasicConv2d(256, 288, 3, 2))
    deep = nn.Sequential(
        BasicConv2d(1088, 256, 1), BasicConv2d(256, 288, 3, padding=1), BasicConv2d(288, 320, 3, 2)
    )
    return Reduction([wide, slim, deep])


class InceptionResnetV2(nn.Module):
    """54.3 M parameters."""

    def __init__(self, features: int = FEATURES) -> None:
        """features: must be 1536. Raises ValueError for any other width."""
        if features != FEATURES:
            raise ValueError(f"Inception-ResNet-v2 gives {FEATURES} features, not {features}")
        super().__init__()
        self.conv2d_1a = BasicConv2d(3, 32, 3, 2)
        self.conv2d_2a = BasicConv2d(32, 32, 3)
        self.conv2d_2b = BasicConv2d(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = BasicConv2d(64, 80, 1)
        self.conv2d_4a = BasicConv2d(80, 192, 3)
        self.maxpool_5a = nn.MaxPool2d(3, 2)
        self.mixed_5b = Mixed5b()
        self.repeat = nn.Sequential(*(block35() for _ in range(10)))
        self.mixed_6a = mixed_6a()
        self.repeat_1 = nn.Sequential(*(block17() for _ in range(20)))
        self.mixed_7a = mixed_7a()
        self.repeat_2 = nn.Sequential(*(block8() for _ in range(9)))
        self.block8 = block8(scale=1.0, last=True)
        self.conv2d_7b = BasicConv2d(2080, FEATURES, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in about [-1, 1] -> (N, 1536), averaged over the picture."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(crops)))
        x = self.maxpool_5a(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x))))
        x = self.repeat_1(self.mixed_6a(self.repeat(self.mixed_5b(x))))
        x = self.block8(self.repeat_2(self.mixed_7a(x)))
        return self.conv2d_7b(x).mean((2, 3))
