"""The baseline: a small plain convolutional network, nothing borrowed, nothing clever."""

from torch import Tensor, nn

WIDTHS = (24, 48, 96, 160, 256)  # of the five stages; each halves the picture


class PlainCnn(nn.Module):
    """Two 3x3 convolutions a stage, averaged over the picture at the end; 1.5 M parameters."""

    def __init__(self, features: int) -> None:
        super().__init__()
        stages, before = [], 3
        for width in WIDTHS:
            stages += [_block(before, width, 2), _block(width, width, 1)]
            before = width
        self.stages = nn.Sequential(*stages)
        self.project = nn.Linear(before, features)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB -> (N, D)."""
        return self.project(self.stages(crops).mean((2, 3)))


def _block(before: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
