"""MTCNN's three networks in PyTorch, filled with facenet-pytorch's weights.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016, https://arxiv.org/abs/1604.02878,
figure 2. The layers carry facenet-pytorch's names, so that its state dicts load key by key. They are
read straight from the installed package's files: importing it would drag in torchvision.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn


class PReLU(nn.Module):
    """nn.PReLU, written so that onnxruntime runs it in half the time; same values, same keys."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.full((channels,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, …) float32; returns the same shape."""
        slope = self.weight.view(1, -1, *[1] * (x.dim() - 2))
        return torch.relu(x) + slope * torch.clamp(x, max=0)


class BlockedPReLU(PReLU):
    """The same values once more, of operations for which onnxruntime's CPU provider keeps its blocked layout.

    It runs convolutions on channels in blocks of 8 or 16 (NCHWc), and knows ReLU, sums and depthwise
    convolutions there, but no product with a number for each channel: the plain form is carried to NCHW and
    back between two layers. RNet and ONet take two thirds of the time like this, PNet gains nothing.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) float32; returns the same shape."""
        slope = self.weight.view(-1, 1, 1, 1)
        below = torch.relu(nn.functional.conv2d(x, -torch.ones_like(slope), groups=self.channels))
        return torch.relu(x) + nn.functional.conv2d(below, -slope, groups=self.channels)


class PNet(nn.Module):
    """The proposal network: fully convolutional, a window of 12 px, stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image: (N, 3, H, W) RGB in [-1, 1]. Returns offsets (N, 4, h, w), probabilities (N, 2, h, w)."""
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), torch.softmax(self.conv4_1(x), dim=1)


class RNet(nn.Module):
    """The refinement network: crops of 24 px."""

    def __init__(self, first: int = 28) -> None:
        """first: channels of the first layer."""
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, first, 3), BlockedPReLU(first)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(first, 48, 3), BlockedPReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), BlockedPReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """crops: (N, 3, 24, 24) RGB in [-1, 1]. Returns box offsets (N, 4), class probabilities (N, 2)."""
        x = self.pool1(self.prelu1(self.conv1(crops)))
        x = self.prelu3(self.conv3(self.pool2(self.prelu2(self.conv2(x)))))
        # The weights come from Caffe by way of MATLAB, where columns come first: (N, W, H, C).
        x = self.prelu4(self.dense4(x.permute(0, 3, 2, 1).flatten(1)))
        return self.dense5_2(x), torch.softmax(self.dense5_1(x), dim=1)


class ONet(nn.Module):
    """The output network: crops of 48 px, landmarks too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), BlockedPReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), BlockedPReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), BlockedPReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), BlockedPReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """crops: (N, 3, 48, 48) RGB in [-1, 1].

        Returns box offsets (N, 4), landmarks (N, 10) as five x then five y in parts of the box, class
        probabilities (N, 2).
        """
        x = self.pool1(self.prelu1(self.conv1(crops)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu4(self.conv4(self.pool3(self.prelu3(self.conv3(x)))))
        x = self.prelu5(self.dense5(x.permute(0, 3, 2, 1).flatten(1)))
        return self.dense6_2(x), self.dense6_3(x), torch.softmax(self.dense6_1(x), dim=1)


def load_mtcnn() -> tuple[PNet, RNet, ONet]:
    """The three networks with facenet-pytorch's weights, ready for inference.

    Raises FileNotFoundError where facenet-pytorch is not installed or holds no weights.
    """
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("facenet-pytorch is not installed: pip install 'facewitness[train]'")
    nets = PNet(), RNet(), ONet()
    for net, name in zip(nets, ("pnet", "rnet", "onet"), strict=True):
        state = torch.load(Path(spec.origin).parent / "data" / f"{name}.pt", weights_only=True)
        net.load_state_dict(state)
        net.eval()
    return nets
