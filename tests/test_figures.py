"""Figures of a report card go into a detector's card, and nothing else of the file changes."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.convert import convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.errors import ModelError  # noqa: E402
from export.figures import put  # noqa: E402
from tests.test_ensemble import member  # noqa: E402


def test_the_card_gets_the_figures_and_the_networks_stay(tmp_path: Path) -> None:
    torch.save(member(8, 64, "mean", 1.0), tmp_path / "one.pt")
    convert(tmp_path / "one.pt", tmp_path / "one.onnx")
    before = onnx.load(tmp_path / "one.onnx").graph.SerializeToString(deterministic=True)
    (tmp_path / "figures.json").write_text(json.dumps({"clips": {"video_auc": 0.7}}))
    put(tmp_path / "one.onnx", tmp_path / "figures.json")
    assert onnx.load(tmp_path / "one.onnx").graph.SerializeToString(deterministic=True) == before
    card = open_detector(tmp_path / "one.onnx").card
    assert card.validation["clips"] == {"video_auc": 0.7}
    assert "held_apart_windows" in card.validation


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    onnx.save(empty, tmp_path / "other.onnx")
    (tmp_path / "figures.json").write_text("{}")
    with pytest.raises(ModelError, match="no card"):
        put(tmp_path / "other.onnx", tmp_path / "figures.json")
