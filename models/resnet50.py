"""ResNet-50 as a crop encoder: one face crop in, 2048 numbers out.

He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, CVPR 2016
(https://arxiv.org/abs/1512.03385), table 1 and figure 5; the stride is in the first 1x1 convolution, as in
the paper and in Keras, whose ImageNet weights models.imagenet_resnet converts. The layers carry torchvision's
names.
"""

from torch import Tensor, nn

FEATURES = 2048
DEPTHS = (3, 4, 6, 3)  # bottlenecks in the four stages
EXPANSION = 4
BN_EPS = 1e-3  # Keras's


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, added to what came in."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=BN_EPS)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=BN_EPS)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION, eps=BN_EPS)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential()
        if stride != 1 or width_in != width * EXPANSION:
            self.downsample = nn.Sequential(
                nn.Conv2d(width_in, width * EXPANSION, 1, stride, bias=False),
                nn.BatchNorm2d(width * EXPANSION, eps=BN_EPS),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet50(nn.Module):
    """23.5 M parameters, stride 32."""

    def __init__(self, features: int = FEATURES) -> None:
        """features: must be 2048. Raises ValueError for any other width."""
        if features != FEATURES:
            raise ValueError(f"ResNet-50 gives {FEATURES} features, not {features}")
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=BN_EPS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = 64
        for i, depth in enumerate(DEPTHS):
            width, stride = 64 * 2**i, 1 if i == 0 else 2
            blocks = [Bottleneck(before, width, stride)]
            before = width * EXPANSION
            blocks += [Bottleneck(before, width, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB -> (N, 2048), averaged over the picture."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(crops))))
        for i in range(len(DEPTHS)):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return x.mean((2, 3))
