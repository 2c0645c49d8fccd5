"""A compact one-shot face swapper: a narrow code says how a face looks, another picture says whose it is.

The encoder squeezes an aligned face into a code too narrow for an identity (pose, expression, light). The
decoder paints the face anew, steered by a VGGFace2 embedding through adaptive instance normalisation (Huang &
Belongie, ICCV 2017, https://arxiv.org/abs/1703.06868, section 5; SimSwap, Chen et al., ACM MM 2020,
https://arxiv.org/abs/2106.06340, section 3.1), and by the look: a picture of the wanted person with its
landmarks moved onto the face's. The look's feature maps enter where a U-Net has its skips, so that the
painting is sharp after minutes of training instead of days. With its own look the face is re-synthesised,
with another's it is swapped. The network is small on purpose: it makes training fakes by the thousand.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 96  # px, the side of the aligned face
CODE = 64  # numbers for pose, expression, lighting
EMBEDDING = 512
STYLE = 256
FIRST = 6  # px, the side of the smallest feature map
COARSE, FINE = 48, 24  # channels of the look's maps


class Encoder(nn.Module):
    """(N, 3, 96, 96) RGB in [-1, 1] -> the code (N, 64)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 160)
        blocks: list[nn.Module] = []
        for below, above in pairwise(widths):
            kernel = 5 if below == 3 else 3
            blocks += [nn.Conv2d(below, above, kernel, 2, kernel // 2), nn.LeakyReLU(0.1)]
        self.convolutions = nn.Sequential(*blocks)
        self.code = nn.Linear(widths[-1] * FIRST * FIRST, CODE)

    def forward(self, faces: Tensor) -> Tensor:
        """See the class; the code has unit variance over its own numbers, so that noise has a scale."""
        code: Tensor = self.code(self.convolutions(faces).flatten(1))
        return functional.layer_norm(code, (CODE,))


class Adaptive(nn.Module):
    """A convolution, instance normalisation, and the condition's own scale and shift for each channel."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(below, above, 3, 1, 1, bias=False)
        self.affine = nn.Linear(STYLE + CODE, 2 * above)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, below, H, W), (N, STYLE + CODE) -> (N, above, H, W)."""
        x = functional.instance_norm(self.conv(x))
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, 1)
        return functional.leaky_relu(x * (1 + scale) + shift, 0.1)


class Look(nn.Module):
    """(N, 3, 96, 96), the wanted person in the face's pose -> maps of 24 px (48 channels) and 48 px (36)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, FINE, 5, 2, 2)
        self.coarse = nn.Conv2d(FINE, COARSE, 3, 2, 1)

    def forward(self, looks: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; the larger map also holds the pixels themselves, four to a place."""
        fine = functional.leaky_relu(self.fine(looks), 0.1)
        coarse = functional.leaky_relu(self.coarse(fine), 0.1)
        return coarse, torch.cat([fine, functional.pixel_unshuffle(looks, 2)], 1)


class Decoder(nn.Module):
    """A code (N, 64), an embedding (N, 512), a look -> the face (N, 3, 96, 96) RGB in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Sequential(
            nn.Linear(EMBEDDING, STYLE), nn.LeakyReLU(0.1), nn.Linear(STYLE, STYLE), nn.LeakyReLU(0.1)
        )
        self.first = nn.Linear(STYLE + CODE, 160 * FIRST * FIRST)
        self.look = Look()
        self.deep = Adaptive(160, 160)  # 6 px
        self.broad = Adaptive(160, 112)  # 12 px
        self.coarse = nn.ModuleList([Adaptive(112 + COARSE, 64), Adaptive(64, 64)])  # 24 px
        self.fine = nn.ModuleList([Adaptive(64 + FINE + 12, 48), Adaptive(48, 48)])  # 48 px
        self.last = nn.Conv2d(48 + FINE + 12, 3 * 4, 3, 1, 1)

    def forward(self, code: Tensor, embedding: Tensor, looks: Tensor) -> Tensor:
        """See the class."""
        # A unit vector's numbers are about 1 / sqrt(512): brought to unit variance.
        style = self.style(embedding * EMBEDDING**0.5)
        condition = torch.cat([style, code], 1)
        coarse, fine = self.look(looks)
        x = self.first(condition).view(-1, 160, FIRST, FIRST)
        x = _doubled(self.deep(x, condition))
        x = torch.cat([_doubled(self.broad(x, condition)), coarse], 1)
        for block in self.coarse:
            x = block(x, condition)
        x = torch.cat([_doubled(x), fine], 1)
        for block in self.fine:
            x = block(x, condition)
        return torch.tanh(functional.pixel_shuffle(self.last(torch.cat([x, fine], 1)), 2))


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Swapper(nn.Module):
    """The whole network; 3.4 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self._initialise()

    def _initialise(self) -> None:
        """He et al.'s variances, and a decoder that begins near grey: several times fewer steps to a face."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, 0.1)
            if isinstance(module, Adaptive):
                nn.init.normal_(module.affine.weight, 0, 0.02)
                nn.init.zeros_(module.affine.bias)
        nn.init.normal_(self.decoder.last.weight, 0, 0.02)
        nn.init.normal_(self.decoder.first.weight, 0, (STYLE + CODE) ** -0.5)

    def forward(self, faces: Tensor, embedding: Tensor, looks: Tensor) -> Tensor:
        """Faces, looks (N, 3, 96, 96) RGB in [-1, 1], unit vectors (N, 512) -> the faces as those people."""
        painted: Tensor = self.decoder(self.encoder(faces), embedding, looks)
        return painted
