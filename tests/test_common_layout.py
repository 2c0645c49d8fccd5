"""A checkpoint as student systems leave it, exported and run: it says what its own network said."""

import numpy as np
import pytest
import torch

from export.convert import convert
from export.detector import open_detector
from export.errors import ModelError
from models.common_layout import adopt
from models.inception_resnet_v1 import InceptionResnetV1Logit


@pytest.fixture(scope="module")
def network() -> InceptionResnetV1Logit:
    torch.manual_seed(0)
    return InceptionResnetV1Logit().eval()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_it_runs_and_agrees_with_its_own_network(tmp_path, network, prefix):
    checkpoint = tmp_path / "student.pth"
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch": 3}, checkpoint)
    card = convert(checkpoint, tmp_path / "student.onnx")
    assert card.name == "student"
    assert (card.crop.size, card.crop.mean, card.crop.std) == (256, (0, 0, 0), (1, 1, 1))
    detector = open_detector(tmp_path / "student.onnx")
    crops = np.random.default_rng(1).integers(0, 255, (3, 256, 256, 3), np.uint8)
    with torch.no_grad():
        faces = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
        wanted = torch.sigmoid(network(faces)).numpy()
    features = detector.encode(crops)
    got = detector.score(features[:, None], np.ones((3, 1), np.float32))
    assert got == pytest.approx(wanted, abs=1e-4)
    whole = detector.score(features[None], np.ones((1, 3), np.float32))
    logits = np.log(wanted / (1 - wanted))
    assert whole[0] == pytest.approx(1 / (1 + np.exp(-logits.mean())), abs=1e-4)


def test_two_logits_are_another_layout(network):
    state = dict(network.state_dict())
    state["logits.weight"] = torch.zeros(2, 512)
    with pytest.raises(KeyError):
        adopt({"model_state_dict": state}, "x")


def test_a_foreign_dictionary_is_refused_in_one_line(tmp_path):
    torch.save({"model_state_dict": {"conv.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no checkpoint"):
        convert(tmp_path / "other.pth", tmp_path / "other.onnx")


def test_code_in_a_pickle_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"model_state_dict": {"x": Evil()}}, tmp_path / "evil.pth")
    with pytest.raises(ModelError):
        convert(tmp_path / "evil.pth", tmp_path / "evil.onnx")
    assert not (tmp_path / "owned").exists()
