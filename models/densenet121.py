"""DenseNet-121 as a crop encoder: one face crop in, 1024 numbers out.

Huang, Liu, van der Maaten & Weinberger, Densely Connected Convolutional Networks, CVPR 2017
(https://arxiv.org/abs/1608.06993), table 1: every layer of a block sees the outputs of all before it. The
layers carry torchvision's names, so that its state dicts load key by key.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

FEATURES = 1024
DEPTHS = (6, 12, 24, 16)  # layers in the four blocks
GROWTH = 32  # channels that a layer adds
INNER = 4 * GROWTH  # of the 1x1 convolution before each 3x3


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1, norm, ReLU, 3x3; its output is stacked onto its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, INNER, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(INNER)
        self.conv2 = nn.Conv2d(INNER, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + 32, H, W)."""
        y = self.conv1(torch.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)


def _block(width: int, depth: int) -> nn.Sequential:
    layers = ((f"denselayer{i + 1}", DenseLayer(width + i * GROWTH)) for i in range(depth))
    return nn.Sequential(OrderedDict(layers))


def _transition(width: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(width, width // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, 2),
        )
    )


class DenseNet121(nn.Module):
    """7.0 M parameters, stride 32."""

    def __init__(self, features: int = FEATURES) -> None:
        """features: must be 1024. Raises ValueError for any other width."""
        if features != FEATURES:
            raise ValueError(f"DenseNet-121 gives {FEATURES} features, not {features}")
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(64),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        width = 64
        for i, depth in enumerate(DEPTHS, 1):
            parts[f"denseblock{i}"] = _block(width, depth)
            width += depth * GROWTH
            if i < len(DEPTHS):
                parts[f"transition{i}"] = _transition(width)
                width //= 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB -> (N, 1024), averaged over the picture."""
        return torch.relu(self.features(crops)).mean((2, 3))
