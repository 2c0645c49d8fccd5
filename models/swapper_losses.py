"""How the swapper's pictures are judged: by a frozen recogniser (texture), by edges, by place."""

import torch
from torch import Tensor, nn

from models.fakes.swapper import SIZE
from models.inception_resnet_v1 import InceptionResnetV1


class Judge(nn.Module):
    """The frozen recogniser, of which the first convolutions see texture."""

    def __init__(self, recogniser: InceptionResnetV1) -> None:
        super().__init__()
        self.recogniser = recogniser.eval().requires_grad_(False)

    def texture(self, faces: Tensor) -> list[Tensor]:
        """The feature maps of the first two and the third convolution."""
        low = self.recogniser.conv2d_2a(self.recogniser.conv2d_1a(faces))
        return [low, self.recogniser.conv2d_2b(low)]


def texture_gap(judge: Judge, painted: Tensor, target: Tensor) -> Tensor:
    """How far the first features of two batches lie apart, relative to their own size: a scalar."""
    with torch.no_grad():
        wanted = judge.texture(target)
    gaps = [
        (a.float() - b.float()).abs().mean() / b.float().abs().mean()
        for a, b in zip(judge.texture(painted), wanted, strict=True)
    ]
    return torch.stack(gaps).mean()


def centre_weight() -> Tensor:
    """How much each pixel counts (1, 1, 96, 96): the face fully, the rim that is never blended a little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    inside = torch.sigmoid((0.85 - torch.hypot(x / 0.8, y - 0.1)) * 10)
    return (0.12 + 1.5 * inside)[None, None]


def edge_gap(a: Tensor, b: Tensor) -> Tensor:
    """How far two pictures' horizontal and vertical differences lie apart: (N, C, H, W) -> (…, H-1, W-1)."""
    gap = a - b
    return (gap[..., 1:, 1:] - gap[..., 1:, :-1]).abs() + (gap[..., 1:, 1:] - gap[..., :-1, 1:]).abs()
