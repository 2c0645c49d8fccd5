"""The comparison table: every figure comes from the files, and a missing one is a clear error."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.compare import main, parameters, rows, table  # noqa: E402
from export.convert import convert  # noqa: E402
from models.family import build  # noqa: E402
from tests.test_ensemble import member  # noqa: E402

FOLDER = {
    "video_auc": 0.75, "video_auc_ci": [0.5, 0.9], "pairs": 4, "pairs_right": 3, "balanced_accuracy": 0.7,
    "log_loss_even_odds": 0.6,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, made = tmp_path_factory.mktemp("table"), []
    for name, size in (("small", 64), ("large", 128)):
        torch.save(member(8, size, "mean", 1.0), folder / f"{name}.pt")
        convert(folder / f"{name}.pt", folder / f"{name}.onnx")
        figures = {"clips": {**FOLDER, "video_auc": 0.8 if name == "large" else 0.6}, "pooled": FOLDER}
        (folder / f"{name}.json").write_text(json.dumps(figures))
        made.append(folder / f"{name}.onnx")
    return made


def test_a_row_for_each_file_with_its_own_figures(files: list[Path]) -> None:
    found = rows(files)
    lines = table(found).splitlines()
    assert len(lines) == 4
    assert "| `small` | 0.60 [0.50, 0.90] | 0.75 [0.50, 0.90] | 3 of 4 | 0.70 | 0.60 |" in lines[2]
    assert "0.80 [0.50, 0.90]" in lines[3]
    assert found[1].milliseconds > 1.5 * found[0].milliseconds  # four times the pixels
    assert found[0].crop == 64


def test_parameters_are_the_networks_own(files: list[Path]) -> None:
    encoder, _ = build("efficientnet_lite0", "mean", 8)
    own = sum(p.numel() for p in encoder.parameters())
    assert abs(parameters(files[0]) - own) < 0.02 * own  # batch norms are folded into the convolutions


def test_missing_figures_are_one_clear_line(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    lonely = files[0].with_name("lonely.onnx")
    lonely.write_bytes(files[0].read_bytes())
    assert main([str(lonely)]) == 1
    assert "lonely.json" in capsys.readouterr().err
    assert main([str(f) for f in files]) == 0
