"""Inception-ResNet-v1 as FaceNet uses it: one aligned face in, one unit vector of 512 numbers out.

Szegedy, Ioffe, Vanhoucke & Alemi, Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning, 2016 (https://arxiv.org/abs/1602.07261), figures 10 to 14; the stem, the residual scales and the
bottleneck of 512 as in David Sandberg's facenet (https://github.com/davidsandberg/facenet). The layers carry
facenet-pytorch's names, so that its state dicts and those of detectors built on it load key by key.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]

SIZE = 160  # px, the side it was trained at; it takes any from 75 up
EMBEDDING = 512
BN_EPS = 1e-3  # as in TensorFlow's slim
SCALE_35, SCALE_17, SCALE_8 = 0.17, 0.10, 0.20  # what a residual branch counts
DROPOUT = 0.6


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, width_in: int, width: int, kernel: int | Pair, stride: int = 1, padding: int | Pair = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return torch.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    """Parallel branches, joined by a 1x1 convolution, scaled and added to what came in (figures 10 to 13)."""

    def __init__(self, width: int, branches: list[nn.Module], joined: int, scale: float, last: bool) -> None:
        super().__init__()
        self.branches = len(branches)
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)
        self.conv2d = nn.Conv2d(joined, width, 1)
        self.scale = scale
        self.last = last  # the block before the pooling has no ReLU

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        joined = torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.branches)], 1)
        y = x + self.scale * self.conv2d(joined)
        return y if self.last else torch.relu(y)


def block35() -> Residual:
    """Inception-ResNet-A (figure 10): 256 channels, 17x17 for faces of 160 px."""
    one = BasicConv2d(256, 32, 1)
    three = nn.Sequential(BasicConv2d(256, 32, 1), BasicConv2d(32, 32, 3, padding=1))
    five = nn.Sequential(
        BasicConv2d(256, 32, 1), BasicConv2d(32, 32, 3, padding=1), BasicConv2d(32, 32, 3, padding=1)
    )
    return Residual(256, [one, three, five], 96, SCALE_35, last=False)


def block17() -> Residual:
    """Inception-ResNet-B (figure 11): 896 channels, 8x8."""
    seven = nn.Sequential(
        BasicConv2d(896, 128, 1),
        BasicConv2d(128, 128, (1, 7), padding=(0, 3)),
        BasicConv2d(128, 128, (7, 1), padding=(3, 0)),
    )
    return Residual(896, [BasicConv2d(896, 128, 1), seven], 256, SCALE_17, last=False)


def block8(scale: float = SCALE_8, last: bool = False) -> Residual:
    """Inception-ResNet-C (figure 13): 1792 channels, 3x3."""
    three = nn.Sequential(
        BasicConv2d(1792, 192, 1),
        BasicConv2d(192, 192, (1, 3), padding=(0, 1)),
        BasicConv2d(192, 192, (3, 1), padding=(1, 0)),
    )
    return Residual(1792, [BasicConv2d(1792, 192, 1), three], 384, scale, last)


class Reduction(nn.Module):
    """Parallel branches of stride 2 beside a pooling, stacked (figures 7 and 12)."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = len(branches) + 1
        for i, branch in enumerate([*branches, nn.MaxPool2d(3, 2)]):
            self.add_module(f"branch{i}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', (H - 1) // 2, (W - 1) // 2)."""
        return torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.branches)], 1)


def mixed_6a() -> Reduction:
    """Reduction-A: 256 to 896 channels."""
    deep = nn.Sequential(
        BasicConv2d(256, 192, 1), BasicConv2d(192, 192, 3, padding=1), BasicConv2d(192, 256, 3, 2)
    )
    return Reduction([BasicConv2d(256, 384, 3, 2), deep])


def mixed_7a() -> Reduction:
    """Reduction-B: 896 to 1792 channels."""
    wide = nn.Sequential(BasicConv2d(896, 256, 1), BasicConv2d(256, 384, 3, 2))
    slim = nn.Sequential(BasicConv2d(896, 256, 1), BasicConv2d(256, 256, 3, 2))
    deep = nn.Sequential(
        BasicConv2d(896, 256, 1), BasicConv2d(256, 256, 3, padding=1), BasicConv2d(256, 256, 3, 2)
    )
    return Reduction([wide, slim, deep])


class InceptionResnetV1(nn.Module):
    """The embedder: 23.5 M parameters; two pictures of one person lie close in angle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = BasicConv2d(3, 32, 3, 2)
        self.conv2d_2a = BasicConv2d(32, 32, 3)
        self.conv2d_2b = BasicConv2d(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = BasicConv2d(64, 80, 1)
        self.conv2d_4a = BasicConv2d(80, 192, 3)
        self.conv2d_4b = BasicConv2d(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = mixed_6a()
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = mixed_7a()
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, last=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.last_linear = nn.Linear(1792, EMBEDDING, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING, eps=BN_EPS)

    def features(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in about [-1, 1] -> (N, 512), before the scaling to unit length."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x))))
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        return self.last_bn(self.last_linear(self.dropout(x.mean((2, 3)))))

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in about [-1, 1] -> unit vectors (N, 512)."""
        return functional.normalize(self.features(faces), dim=1)


class InceptionResnetV1Logit(InceptionResnetV1):
    """The same trunk as a detector of single crops: facenet-pytorch's `classify=True, num_classes=1`."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Linear(EMBEDDING, 1)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB, scaled as in its training -> logit (N,), positive = fake."""
        return self.logits(self.features(faces))[:, 0]


def load_embedder(path: Path) -> InceptionResnetV1:
    """The embedder from a facenet-pytorch state dict, in evaluation mode; its classifier is left out.

    Raises FileNotFoundError, or RuntimeError with the keys that do not fit.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = InceptionResnetV1()
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("logits.")})
    return network.eval()


def load_detector(path: Path) -> InceptionResnetV1Logit:
    """A detector in the common layout, in evaluation mode: a dictionary with `model_state_dict`, one logit.

    Such detectors were trained on faces of 256 px scaled by 1/255. Names may carry DataParallel's "module.".
    Raises FileNotFoundError, ValueError where the dictionary is another one, RuntimeError with the keys that
    do not fit.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state_dict"), dict):
        raise ValueError(f"{path} holds no model_state_dict")
    network = InceptionResnetV1Logit()
    state = checkpoint["model_state_dict"]
    network.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    return network.eval()
