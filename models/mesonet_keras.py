"""MesoNet's weights as its authors publish them (Keras HDF5): read, run in numpy, turned into torch's.

The numpy pass follows the file's own layout (pictures N, H, W, C; kernels H, W, in, out) and shares no code
with models.mesonet, so that agreement of the two proves the conversion. Layers of one kind are numbered in
the order in which they were made, which is the order of the network's branches, not that of the file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from models.mean_head import MeanHead
from models.mesonet import BN_EPS, SLOPE, ConvBlock, InceptionBlock, MesoEncoder, meso4, mesoinception4

Array = NDArray[np.float64]
Layers = list[list[Array]]
NETWORKS = {4: "meso4", 16: "mesoinception4"}  # number of convolutions -> name


@dataclass(frozen=True, slots=True, eq=False)
class KerasWeights:
    """What a file holds, by kind of layer, in the order in which the layers were made."""

    conv: Layers  # kernel (H, W, in, out), bias
    norm: Layers  # gamma, beta, moving mean, moving variance
    dense: Layers  # kernel (in, out), bias

    @property
    def network(self) -> str:
        """Its name in models.family."""
        return NETWORKS[len(self.conv)]


def read(path: Path) -> KerasWeights:
    """Read a file of weights. Raises ValueError for anything but MesoNet's."""
    found: dict[str, list[tuple[int, list[Array]]]] = {"conv2d": [], "batch_normalization": [], "dense": []}
    try:
        with h5py.File(path) as file:
            for name in file:
                kind, _, number = name.rpartition("_")
                if kind in found and re.fullmatch(r"\d+", number):
                    group = file[name]
                    order = [str(np.asarray(w).astype(str)) for w in group.attrs["weight_names"]]
                    found[kind].append((int(number), [np.asarray(group[w], np.float64) for w in order]))
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no HDF5 file of Keras weights: {error}") from error
    conv, norm, dense = ([w for _, w in sorted(layers, key=lambda x: x[0])] for layers in found.values())
    if (len(conv), len(norm), len(dense)) not in ((4, 4, 2), (16, 4, 2)):
        raise ValueError(
            f"{path} holds {len(conv)} convolutions, {len(norm)} norms, {len(dense)} dense layers: no MesoNet"
        )
    return KerasWeights(conv, norm, dense)


def forward(weights: KerasWeights, pictures: Array) -> Array:
    """Run the network in numpy. pictures (N, 256, 256, 3) RGB in [0, 1] -> (N,) 0..1, near 1 = real."""
    x, convs = pictures, iter(weights.conv)
    inception = weights.network == "mesoinception4"
    for block, norm in enumerate(weights.norm):
        if inception and block < 2:
            branches = [_conv(x, next(convs))]
            for dilation in (1, 2, 3):
                branches.append(_conv(_conv(x, next(convs)), next(convs), dilation))
            x = np.concatenate(branches, -1)
        else:
            x = _conv(x, next(convs))
        gamma, beta, mean, variance = norm
        x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        x = _max_pool(x, 4 if block == 3 else 2)
    (kernel, bias), (last_kernel, last_bias) = weights.dense
    y = x.reshape(len(x), -1) @ kernel + bias
    y = np.where(y > 0, y, 0.1 * y)
    return 1 / (1 + np.exp(-(y @ last_kernel + last_bias)[:, 0]))


def _conv(x: Array, layer: list[Array], dilation: int = 1) -> Array:
    """Same padding, stride 1, then ReLU: one matrix product for each of the kernel's taps."""
    kernel, bias = layer
    taps, height, width = kernel.shape[0], x.shape[1], x.shape[2]
    pad = dilation * (taps - 1) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    total = np.zeros((*x.shape[:3], kernel.shape[3])) + bias
    for i in range(taps):
        for j in range(taps):
            top, left = i * dilation, j * dilation
            total += padded[:, top : top + height, left : left + width] @ kernel[i, j]
    return np.maximum(total, 0)


def _max_pool(x: Array, size: int) -> Array:
    n, height, width, channels = x.shape
    return x.reshape(n, height // size, size, width // size, size, channels).max((2, 4))


def to_torch(weights: KerasWeights) -> tuple[MesoEncoder, MeanHead]:
    """The same network in torch, in evaluation mode; the head's logit is turned round: positive = fake."""
    encoder = meso4() if weights.network == "meso4" else mesoinception4()
    head, convs = MeanHead(encoder.fully.out_features), iter(weights.conv)
    assert encoder.leaky.negative_slope == SLOPE
    with torch.no_grad():
        for block, norm in zip(encoder.blocks, weights.norm, strict=True):
            assert isinstance(block, ConvBlock | InceptionBlock)
            for conv in _in_order(block):
                kernel, bias = next(convs)
                conv.weight.copy_(_tensor(kernel.transpose(3, 2, 0, 1)))
                conv.bias.copy_(_tensor(bias)) if conv.bias is not None else None
            assert block.norm.eps == BN_EPS
            parts = block.norm.weight, block.norm.bias, block.norm.running_mean, block.norm.running_var
            for into, values in zip(parts, norm, strict=True):
                assert into is not None
                into.copy_(_tensor(values))
        (kernel, bias), (last_kernel, last_bias) = weights.dense
        rows = kernel.reshape(8, 8, 16, -1).transpose(3, 2, 0, 1).reshape(-1, 16 * 8 * 8)
        encoder.fully.weight.copy_(_tensor(rows))
        encoder.fully.bias.copy_(_tensor(bias))
        head.frame.weight.copy_(_tensor(-last_kernel.T))
        head.frame.bias.copy_(_tensor(-last_bias))
    return encoder.eval(), head.eval()


def _in_order(block: ConvBlock | InceptionBlock) -> list[torch.nn.Conv2d]:
    """A block's convolutions in the order in which Keras made them."""
    if isinstance(block, ConvBlock):
        return [block.conv]
    first, *others = block.reduce
    ordered = [first]
    for reduce, spread in zip(others, block.spread, strict=True):
        ordered += [reduce, spread]
    return [conv for conv in ordered if isinstance(conv, torch.nn.Conv2d)]


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def largest_gap(weights: KerasWeights, seed: int = 0, count: int = 4) -> float:
    """The largest difference of probability between torch and numpy, on noise and on smooth pictures."""
    rng = np.random.default_rng(seed)
    noise = rng.random((count, 256, 256, 3))
    ramp = np.linspace(0, 1, 256)
    smooth = np.clip(
        (
            ramp[:, None, None] * rng.random((count, 1, 1, 3))
            + ramp[None, :, None] * rng.random((count, 1, 1, 3))
        ),
        0,
        1,
    )
    encoder, head = to_torch(weights)
    worst = 0.0
    for pictures in (noise, smooth):
        with torch.no_grad():
            features = encoder(_tensor(pictures.transpose(0, 3, 1, 2)))
            fake = torch.sigmoid(head(features[:, None], torch.ones(count, 1))).numpy()
        worst = max(worst, float(np.abs(1 - fake - forward(weights, pictures)).max()))
    return worst
