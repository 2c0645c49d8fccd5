"""Test-time augmentation and ensembles: what they compute, and that they export and run as one detector."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.convert import convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from models.augmented import Augmented, closer, flip  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402
from models.efficientnet_lite import FaceEncoder  # noqa: E402
from models.ensemble import EnsembleHead, Resized  # noqa: E402
from models.family import restore  # noqa: E402
from models.mean_head import MeanHead  # noqa: E402
from models.mesonet import meso4  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402

WINDOW = {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4}
THRESHOLDS = {"suspicious_on": 0.6, "suspicious_off": 0.5, "alert_on": 0.8, "alert_off": 0.7}


def member(width: int, size: int, head: str, temperature: float) -> dict[str, Any]:
    torch.manual_seed(width)
    heads = {"mean": MeanHead, "gated": TemporalHead}
    encoder = FaceEncoder(width).train()
    with torch.no_grad():  # some running statistics, or every feature would be the same
        for _ in range(3):
            encoder(torch.randn(8, 3, 64, 64))
    return {
        "network": "efficientnet_lite0", "temporal": head, "features": width, "version": "1",
        "encoder": encoder.state_dict(), "head": heads[head](width).state_dict(),
        "spec": asdict(CropSpec(size, 1.3)), "temperature": temperature, "bias": 0.1, "window": WINDOW,
        "thresholds": THRESHOLDS, "training": {}, "held_apart": {},
    }  # fmt: skip


def crops_of(size: int, count: int = 3) -> np.ndarray:
    crops = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    crops[:, : size // 2, : size // 3] = 0  # left and right differ
    return crops


def test_an_augmented_encoder_gives_the_mean_of_its_looks() -> None:
    encoder = FaceEncoder(8).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        got = Augmented(encoder, ["flip", "closer"])(x)
        wanted = (encoder(x) + encoder(flip(x)) + encoder(closer(x))) / 3
        mirrored = Augmented(encoder, ["flip"])
        assert torch.allclose(mirrored(x), mirrored(flip(x)), atol=1e-6)
    assert torch.allclose(got, wanted, atol=1e-6)
    assert closer(x).shape == x.shape
    with pytest.raises(ValueError, match="upside"):
        Augmented(encoder, ["upside"])


def test_augmentation_is_an_option_of_the_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    more = {"network": "meso4", "features": 16, "encoder": meso4().state_dict()}
    state = {**member(8, 256, "mean", 1.0), **more, "head": MeanHead(16).state_dict()}
    scores = {}
    for name, augment in (("plain", []), ("flip", ["flip"])):
        torch.save({**state, "augment": augment}, tmp_path / f"{name}.pt")
        convert(tmp_path / f"{name}.pt", tmp_path / f"{name}.onnx")
        detector = open_detector(tmp_path / f"{name}.onnx")
        crops = crops_of(256)
        scores[name] = detector.encode(crops), detector.encode(crops[:, :, ::-1])
    assert np.abs(scores["flip"][0] - scores["flip"][1]).max() < 1e-4
    assert np.abs(scores["plain"][0] - scores["plain"][1]).max() > 1e-3


def test_an_ensemble_says_the_mean_of_its_members_calibrated_logits(tmp_path: Path) -> None:
    members = [member(8, 64, "mean", 0.5), member(12, 64, "gated", 2.0)]
    state = {**member(20, 64, "mean", 1.0), "members": members, "bias": 0.0}
    torch.save(state, tmp_path / "both.pt")
    convert(tmp_path / "both.pt", tmp_path / "both.onnx")
    detector = open_detector(tmp_path / "both.onnx")
    crops, weights = crops_of(64), np.ones((1, 3), np.float32)
    got = detector.score(detector.encode(crops)[None], weights)
    said = []
    for one in members:
        torch.save(one, tmp_path / "one.pt")
        convert(tmp_path / "one.pt", tmp_path / "one.onnx")
        alone = open_detector(tmp_path / "one.onnx")
        p = float(alone.score(alone.encode(crops)[None], weights)[0])
        said.append(np.log(p / (1 - p)))
    assert got[0] == pytest.approx(1 / (1 + np.exp(-np.mean(said))), abs=1e-4)


def test_members_with_other_sizes_get_what_they_were_trained_on() -> None:
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((2, 3))

    given, wanted = CropSpec(96, 1.3), CropSpec(96, 1.3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    crops = crops_of(96)
    Resized(Spy(), given, wanted)(torch.from_numpy(to_input(crops, given)))
    assert np.abs(seen[0].numpy() - to_input(crops, wanted)).max() < 1e-5
    Resized(Spy(), given, CropSpec(64, 1.3))(torch.from_numpy(to_input(crops, given)))
    assert seen[1].shape == (3, 3, 64, 64)
    with pytest.raises(ValueError, match="margin"):
        Resized(Spy(), given, CropSpec(96, 1.0))


def test_a_member_of_weight_zero_crops_does_not_matter() -> None:
    head = EnsembleHead([MeanHead(3), MeanHead(2)], [3, 2], [(1.0, 0.0), (2.0, -1.0)])
    features, weights = torch.randn(1, 4, 5), torch.tensor([[1.0, 0.5, 0.0, 0.0]])
    assert torch.allclose(head(features, weights), head(features[:, :2], weights[:, :2]), atol=1e-6)


def test_restoring_an_ensemble_keeps_every_weight() -> None:
    members = [member(8, 64, "mean", 0.5), member(12, 64, "gated", 2.0)]
    networks = restore({**member(20, 64, "mean", 1.0), "members": members})
    with torch.no_grad():
        assert networks.features(torch.randn(2, 3, 64, 64)).shape == (2, 20)
