"""Keras's ResNet-50 becomes ours: each weight in its place, pixels, biases and norms folded exactly."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from torch.nn import functional  # noqa: E402

from models.crop import to_input  # noqa: E402
from models.family import ENCODERS  # noqa: E402
from models.frame_judge import FrameJudge  # noqa: E402
from models.imagenet_resnet import convert, look, read  # noqa: E402
from models.recipes import recipe_for  # noqa: E402
from models.resnet50 import BN_EPS, DEPTHS, EXPANSION, FEATURES, ResNet50  # noqa: E402
from models.start import start  # noqa: E402

CLASSES = 7


@pytest.fixture(scope="module")
def keras() -> dict[str, np.ndarray]:
    """Random weights under Keras's names."""
    rng, found = np.random.default_rng(0), {}

    def layer(conv: str, norm: str, kernel: int, width_in: int, width: int) -> None:
        shape = (kernel, kernel, width_in, width)
        found[f"{conv}/kernel"] = rng.standard_normal(shape, np.float32) * np.float32(
            (kernel**2 * width_in) ** -0.5
        )
        for name, low, high in (
            (f"{conv}/bias", -1, 1),
            (f"{norm}/gamma", 0.5, 1),
            (f"{norm}/beta", -1, 1),
            (f"{norm}/moving_mean", -1, 1),
            (f"{norm}/moving_variance", 0.5, 2),
        ):
            found[name] = rng.uniform(low, high, width).astype(np.float32)

    layer("conv1", "bn_conv1", 7, 3, 64)
    width_in = 64
    for stage, depth in enumerate(DEPTHS, 2):
        width = 64 * 2 ** (stage - 2)
        for block in "abcdef"[:depth]:
            at = f"{stage}{block}_branch"
            layer(f"res{at}2a", f"bn{at}2a", 1, width_in, width)
            layer(f"res{at}2b", f"bn{at}2b", 3, width, width)
            layer(f"res{at}2c", f"bn{at}2c", 1, width, width * EXPANSION)
            if block == "a":
                layer(f"res{at}1", f"bn{at}1", 1, width_in, width * EXPANSION)
            width_in = width * EXPANSION
    found["fc1000/kernel"] = rng.standard_normal((FEATURES, CLASSES), np.float32)
    found["fc1000/bias"] = rng.standard_normal(CLASSES, np.float32)
    return found


def as_keras(
    weights: dict[str, np.ndarray], conv: str, norm: str, x: torch.Tensor, stride: int
) -> torch.Tensor:
    """Convolution with bias and norm, as Keras computes them."""
    t = {k: torch.from_numpy(v) for k, v in weights.items() if k.split("/")[0] in (conv, norm)}
    kernel = t[f"{conv}/kernel"].permute(3, 2, 0, 1)
    y = functional.conv2d(x, kernel, t[f"{conv}/bias"], stride, kernel.shape[2] // 2)
    four = (t[f"{norm}/{name}"] for name in ("moving_mean", "moving_variance", "gamma", "beta"))
    return functional.batch_norm(y, *four, eps=BN_EPS)


def test_layers_give_what_keras_gives(keras: dict[str, np.ndarray]) -> None:
    network = ResNet50().eval()
    network.load_state_dict({k: v for k, v in convert(keras).items() if not k.startswith("fc.")})
    pixels = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)  # BGR
    theirs = torch.from_numpy(pixels.astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32))
    ours = torch.from_numpy(to_input(pixels, recipe_for("resnet50", steps=1).spec))
    with torch.no_grad():
        x = as_keras(keras, "conv1", "bn_conv1", theirs.permute(0, 3, 1, 2), 2)
        assert torch.allclose(network.bn1(network.conv1(ours)), x, atol=1e-3)
        x = functional.max_pool2d(torch.relu(x), 3, 2, 1)
        for stage in (2, 3):  # the second one strides
            for block in "abcd"[: DEPTHS[stage - 2]]:
                at, stride = f"{stage}{block}_branch", 2 if (stage, block) == (3, "a") else 1
                y = torch.relu(as_keras(keras, f"res{at}2a", f"bn{at}2a", x, stride))
                y = torch.relu(as_keras(keras, f"res{at}2b", f"bn{at}2b", y, 1))
                y = as_keras(keras, f"res{at}2c", f"bn{at}2c", y, 1)
                if block == "a":
                    x = as_keras(keras, f"res{at}1", f"bn{at}1", x, stride)
                x = torch.relu(x + y)
        first = network.maxpool(torch.relu(network.bn1(network.conv1(ours))))
        got = network.layer2(network.layer1(first))
    assert float((got - x).abs().max() / x.std()) < 1e-4


def test_it_is_a_start_and_says_what_it_sees(keras: dict[str, np.ndarray], tmp_path: Path) -> None:
    import cv2

    state, file = convert(keras), tmp_path / "resnet50.pt"
    torch.save(state, file)
    judge = FrameJudge(ENCODERS["resnet50"](FEATURES), FEATURES)
    assert start(judge, "resnet50", file).startswith("resnet50.pt, sha256 ")
    assert torch.equal(judge.encoder.state_dict()["layer4.2.conv3.weight"], state["layer4.2.conv3.weight"])
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 60, 3), 90, np.uint8))
    seen = look(state, tmp_path / "a.png")
    assert len(seen) == 5
    assert sorted((c for _, c in seen), reverse=True) == [c for _, c in seen]
    with pytest.raises(OSError, match="no picture"):
        look(state, file)


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    np.arange(4, dtype="<f4").tofile(tmp_path / "a.bin")
    np.arange(4, 7, dtype="<f4").tofile(tmp_path / "b.bin")
    weights = [
        {"name": "x", "shape": [2, 3], "dtype": "float32"},
        {"name": "y", "shape": [], "dtype": "float32"},
    ]
    model = tmp_path / "model.json"
    model.write_text(json.dumps({"weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": weights}]}))
    found = read(model)
    assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["y"] == 6
    weights[0]["quantization"] = {"dtype": "uint8"}
    model.write_text(json.dumps({"weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": weights}]}))
    with pytest.raises(ValueError, match="x is not plain float32"):
        read(model)
