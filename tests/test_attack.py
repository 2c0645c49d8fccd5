"""FGSM and PGD: within their bounds, against the gradient, and on crops as the live path cuts them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.attack import ATTACKS, LENGTH, Target, fgsm, main, pgd, windows  # noqa: E402
from models.crop import CropSpec  # noqa: E402
from models.mean_head import MeanHead  # noqa: E402
from models.mesonet import meso4  # noqa: E402

SPEC = CropSpec(256, 1.3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = {
        "network": "meso4", "temporal": "mean", "features": 16, "spec": asdict(SPEC),
        "encoder": meso4().state_dict(), "head": MeanHead(16).state_dict(),
        "temperature": 1.0, "bias": 0.0, "thresholds": {"alert_on": 0.5},
    }  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "detector.pt"
    torch.save(state, path)
    return path


def write_crops(folder: Path, files: int = 2, crops: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for side in ("real", "fake"):
        (folder / side).mkdir(parents=True)
        for number in range(files):
            pictures = rng.integers(0, 256, (crops, 256, 256, 3), dtype=np.uint8)
            weights = np.ones(crops, np.float32)
            weights[0] = 0  # gated
            np.savez(folder / side / f"{number}.track1.npz", crops=pictures, weights=weights)
            np.savez(folder / side / f"{number}.track2.npz", crops=pictures[:2], weights=weights[:2])
    return folder


@pytest.mark.parametrize("eps", [1 / 255, 4 / 255])
def test_changes_stay_small_and_lower_the_logit(checkpoint: Path, eps: float) -> None:
    target = Target.load(checkpoint)

    def logit(at: torch.Tensor) -> float:
        with torch.no_grad():
            return float(target.logit(at, weights))

    pixels, weights = torch.rand(2, 3, 256, 256), torch.tensor([1.0, 0.5])
    before = logit(pixels)
    after = {}
    for name, change in ATTACKS.items():
        changed = change(target, pixels, weights, eps)
        assert float((changed - pixels).abs().max()) <= eps + 1e-6
        assert float(changed.min()) >= 0
        assert float(changed.max()) <= 1
        after[name] = logit(changed)
    assert after["PGD"] <= after["FGSM"] + 1e-6 < before
    opposite = (2 * pixels - fgsm(target, pixels, weights, eps)).clamp(0, 1)
    assert logit(opposite) > before
    assert torch.equal(pgd(target, pixels, weights, 0.0), pixels)


def test_a_window_is_the_middle_of_the_longest_track(tmp_path: Path) -> None:
    found = windows(write_crops(tmp_path / "crops", files=1, crops=40), SPEC)
    assert [fake for fake, _, _ in found] == [True, False]
    _, pixels, weights = found[0]
    assert (pixels.shape, weights.shape) == ((LENGTH, 3, 256, 256), (LENGTH,))
    with np.load(tmp_path / "crops" / "fake" / "0.track1.npz") as saved:
        first = saved["crops"][1 + (39 - LENGTH) // 2]
    centre = first[24:232, 24:232, ::-1].mean((0, 1)) / 255  # 256 * 1.3 / 1.6 px of it
    assert pixels[0].mean((1, 2)).numpy() == pytest.approx(centre, abs=2e-3)


def test_the_table(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = write_crops(tmp_path / "crops")
    assert main([str(checkpoint), str(crops), "--json", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert list(found) == ["as they are", *(f"{a} {n}/255" for a in ATTACKS for n in (1, 2, 4))]
    assert found["PGD 4/255"]["auc"] <= found["PGD 1/255"]["auc"] <= found["as they are"]["auc"]
    assert capsys.readouterr().out.count("|\n") == 2 + len(found)


def test_what_cannot_be_attacked(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint")
    for words, says in (
        ([tmp_path / "none.pt", tmp_path], "no checkpoint at"),
        ([tmp_path / "text.pt", tmp_path], "no checkpoint of ours"),
        ([checkpoint, tmp_path], "under both real/ and fake/"),
    ):
        assert main([str(word) for word in words]) == 1
        error = capsys.readouterr().err
        assert error.startswith("attack: ")
        assert says in error
