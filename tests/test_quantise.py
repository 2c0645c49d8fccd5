"""Smaller detectors: int8 and float16 weights stay near, carry the card, and say how far features moved."""

import base64
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from export.card import CARD_KEY, HEAD_KEY, Card, SecondEye, Thresholds, WindowSpec  # noqa: E402
from export.convert import eye_to_onnx  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.join import join, part  # noqa: E402
from export.quantise import CALIBRATION, CHECK, gap, main, quantise, some_crops, to_half, to_int8  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402

SIZE, FIRST, SECOND = 24, 6, 4
SPEC = CropSpec(SIZE, 1.3)


class Eye(nn.Module):
    """Two convolutions, a mean, a linear layer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        self.last = nn.Linear(32, features)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.last(self.deep(crops).flatten(1))


def eye(features: int, output: str) -> bytes:
    torch.manual_seed(features)
    return eye_to_onnx(Eye(features).eval(), SPEC, output)


def head(width: int) -> bytes:
    """The mean over all features, weighed."""
    rows = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", "t", width])
    weights = helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["b", "t"])
    out = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["b"])
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Mul", ["mean", "weights"], ["weighed"]),
        helper.make_node("ReduceMean", ["weighed"], ["logit"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "head", [rows, weights], [out])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def write_detector(path: Path, two: bool) -> Path:
    model = join(eye(FIRST, "features"), eye(SECOND, "identity"), SECOND) if two else eye(FIRST, "features")
    width = FIRST + SECOND * two
    card = Card(
        name="tiny",
        version="0",
        crop=SPEC,
        window=WindowSpec(2, 8, 0.25, 4),
        features=width,
        temperature=1,
        bias=0,
        thresholds=Thresholds(0.5, 0.4, 0.7, 0.6),
        second=SecondEye("more", SECOND, 4) if two else None,
        training={"steps": 7},
        validation={"dfdc": {"video_auc": 0.5}},
    )
    proto = onnx.load_from_string(model)
    properties = {CARD_KEY: card.to_json(), HEAD_KEY: base64.b64encode(head(width)).decode()}
    helper.set_model_props(proto, properties)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tracks of smooth pictures as stream.crops writes them, some of them gated."""
    folder, rng = tmp_path_factory.mktemp("crops"), np.random.default_rng(0)
    for side, count in (("real", 150), ("fake", 90)):
        coarse = rng.integers(0, 256, (count, 4, 4, 3)).astype(np.float32)
        pixels = coarse.repeat(10, 1).repeat(10, 2).astype(np.uint8)
        weights = np.ones(count, np.float32)
        weights[::10] = 0
        pixels[::10] = 0
        (folder / side).mkdir()
        np.savez(folder / side / "clip.track1.npz", crops=pixels, weights=weights)
    return folder


@pytest.fixture(scope="module")
def inputs(crops: Path) -> np.ndarray:
    return to_input(some_crops(crops, SPEC, 96), SPEC)


def test_int8_is_another_file_with_near_features(inputs: np.ndarray) -> None:
    whole = eye(FIRST, "features")
    small = to_int8(whole, inputs[:64])
    kinds = [node.op_type for node in onnx.load_from_string(small).graph.node]
    assert "QuantizeLinear" in kinds
    assert any(t.data_type == TensorProto.INT8 for t in onnx.load_from_string(small).graph.initializer)
    moved = gap(whole, small, inputs[64:])
    assert moved["cosine_min"] > 0.99
    assert 0 < moved["largest_gap"] < 0.5


def test_weights_per_channel_have_a_scale_each(inputs: np.ndarray) -> None:
    model = onnx.load_from_string(to_int8(eye(FIRST, "features"), inputs[:16]))
    of_weights = [t for t in model.graph.initializer if "weight" in t.name and t.name.endswith("_scale")]
    assert sorted(numpy_helper.to_array(t).size for t in of_weights)[-1] == 32


def test_half_halves_the_weights_and_keeps_the_output(inputs: np.ndarray) -> None:
    whole = eye(FIRST, "features")
    small = to_half(whole)
    sizes = [sum(len(t.raw_data) for t in onnx.load_from_string(m).graph.initializer) for m in (whole, small)]
    assert sizes[1] < 0.6 * sizes[0]
    assert gap(whole, small, inputs)["largest_gap"] < 2e-3


def test_a_gap_is_seen(inputs: np.ndarray) -> None:
    one, other = eye(FIRST, "features"), eye(FIRST + 1, "features")
    assert gap(one, one, inputs[:4]) == {"cosine_mean": 1.0, "cosine_min": 1.0, "largest_gap": 0.0}
    model = onnx.load_from_string(one)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("last.bias"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1, tensor.name))
    assert gap(one, model.SerializeToString(), inputs[:4])["largest_gap"] > 1
    assert len(other) > len(one)


def test_two_eyes_come_apart_as_they_were(inputs: np.ndarray) -> None:
    eyes = eye(FIRST, "features"), eye(SECOND, "identity")
    again = part(onnx.load_from_string(join(*eyes, SECOND)))
    assert len(again) == 2
    for before, after in zip(eyes, again, strict=True):
        assert gap(before, after, inputs[:4])["largest_gap"] == 0


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("how", ["int8", "float16"])
def test_a_detector_stays_one(tmp_path: Path, crops: Path, two: bool, how: str) -> None:
    given = write_detector(tmp_path / "given.onnx", two)
    quantise(given, crops, tmp_path / "out.onnx", how)
    old, new = open_detector(given), open_detector(tmp_path / "out.onnx")
    assert old.card.training == {"steps": 7}  # the given one is not touched
    assert new.card.training == {"steps": 7, "weights": how}
    assert new.card.validation["dfdc"] == {"video_auc": 0.5}
    assert len(new.card.validation[how]["eyes"]) == 1 + two
    assert all(0.98 < told["cosine_min"] <= 1 for told in new.card.validation[how]["eyes"])
    assert asdict(new.card)["thresholds"] == asdict(old.card)["thresholds"]
    pictures = some_crops(crops, SPEC, 9)
    look = np.arange(9) % 4 == 0
    was, now = old.encode(pictures, look), new.encode(pictures, look)
    assert 0 < np.abs(was - now).max() < 0.3 * was.std()
    if two:
        assert not now[~look, FIRST:].any()
    one = np.ones((1, 9), np.float32)
    assert np.abs(old.score(was[None], one) - new.score(now[None], one)).max() < 0.02


def test_only_crops_that_the_live_system_scores_are_taken(crops: Path) -> None:
    taken = some_crops(crops, SPEC, CALIBRATION + CHECK)
    assert taken.shape == (CALIBRATION + CHECK, SIZE, SIZE, 3)
    assert taken.reshape(len(taken), -1).any(1).all()  # the gated ones are black
    with pytest.raises(ValueError, match="fewer"):
        some_crops(crops, SPEC, 217)


def test_the_command_tells_and_refuses(
    tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = write_detector(tmp_path / "given.onnx", False), tmp_path / "small.onnx"
    words = ["quantise", str(given), "--crops", str(crops), "-o", str(out)]
    monkeypatch.setattr("sys.argv", [*words, "--half"])
    assert main() == 0
    assert "float16" in capsys.readouterr().out
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(eye(FIRST, "features"))
    out.unlink()
    monkeypatch.setattr("sys.argv", ["quantise", str(bare), *words[2:]])
    assert main() == 1
    assert "no detector" in capsys.readouterr().err
    assert not out.exists()
    properties = {p.key: p.value for p in onnx.load(given).metadata_props}
    assert json.loads(properties[CARD_KEY])["training"] == {"steps": 7}
