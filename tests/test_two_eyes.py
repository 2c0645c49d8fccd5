"""A detector with two eyes in one file: the second looks where it is told, and both equal PyTorch."""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.convert import TOLERANCE, convert, load  # noqa: E402
from export.detector import Detector, open_detector  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402
from models.efficientnet_lite import FaceEncoder  # noqa: E402
from models.fused_head import IDENTITY, FusedHead, union  # noqa: E402
from models.identity import views  # noqa: E402
from models.identity_eye import IdentityEye  # noqa: E402
from models.inception_resnet_v1 import InceptionResnetV1  # noqa: E402

SIZE, FIRST = 64, 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = {
        "temporal": "fused",
        "encoder": FaceEncoder(FIRST).state_dict(),
        "head": FusedHead(FIRST + IDENTITY).state_dict(),
        "recogniser": InceptionResnetV1().state_dict(),
        "second": {"name": "identity", "features": IDENTITY, "every": 4},
        "features": FIRST + IDENTITY,
        "spec": asdict(CropSpec(SIZE, 1.3)),
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "version": "0.0.1",
        "temperature": 1.0,
        "bias": 0.0,
        "thresholds": dict.fromkeys(("suspicious_on", "suspicious_off", "alert_on", "alert_off"), 0.5),
        "training": {},
        "held_apart": {},
    }
    path = tmp_path_factory.mktemp("run") / "detector.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def detector(checkpoint: Path) -> Detector:
    out = checkpoint.with_name("detector.onnx")
    convert(checkpoint, out)
    return open_detector(out)


def test_it_looks_where_it_is_told_and_equals_pytorch(checkpoint: Path, detector: Detector) -> None:
    networks, card = load(checkpoint, {})
    assert networks.second is not None
    assert card.second is not None
    crops = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    closely = np.array([True, False, False, False, True, False, False])
    got = detector.encode(crops, closely)
    with torch.no_grad():
        wanted = networks.features(torch.from_numpy(to_input(crops, card.crop))).numpy()
    assert np.abs(got - wanted).max() <= TOLERANCE
    assert not got[~closely, FIRST:].any()
    assert np.allclose(np.linalg.norm(got[closely, FIRST:].reshape(2, 3, -1), axis=-1), 1, atol=1e-5)
    assert (
        np.abs(detector.encode(crops)[closely] - got[closely]).max() <= TOLERANCE
    )  # untold, it looks at all
    assert detector.encode(crops[:0], closely[:0]).shape == (0, FIRST + IDENTITY)


def test_where_it_does_not_look_it_costs_nothing(detector: Detector) -> None:
    crops = np.zeros((4, SIZE, SIZE, 3), np.uint8)

    def cost(look: bool) -> float:
        times = []
        for _ in range(5):
            begin = time.process_time()
            detector.encode(crops, np.full(4, look))
            times.append(time.process_time() - begin)
        return min(times)

    assert cost(False) < cost(True) / 5  # measured: about a hundredth


def test_the_head_counts_only_crops_that_were_looked_at() -> None:
    torch.manual_seed(1)
    head = FusedHead(FIRST + IDENTITY).eval()
    features, weights = torch.randn(2, 6, FIRST + IDENTITY), torch.rand(2, 6)
    features[:, 2:, FIRST:] = 0
    with torch.no_grad():
        whole = head.cues(features, weights)
        shorter = head.cues(features[:, :2], weights[:, :2])
    assert torch.allclose(whole[:, 1], shorter[:, 1], atol=1e-6)
    assert not torch.allclose(whole[:, 0], shorter[:, 0], atol=1e-3)


def test_the_union_is_a_noisy_or() -> None:
    logits = torch.randn(50, 2, dtype=torch.float64) * 3
    p = torch.sigmoid(logits)
    assert torch.allclose(torch.sigmoid(union(logits)), 1 - (1 - p[:, 0]) * (1 - p[:, 1]), atol=1e-12)


def test_the_network_sees_the_views_that_are_documented() -> None:
    """At the recogniser's own size its views are those of models.identity."""
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            seen.append(faces)
            return faces.flatten(1)[:, :512]

    spec = CropSpec(160, 1.3)
    crops = np.random.default_rng(3).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    IdentityEye(Spy(), spec)(torch.from_numpy(to_input(crops, spec)))
    assert np.abs(seen[0].numpy() - views(crops, scales=(1.0,)).reshape(6, 3, 160, 160)).max() < 1e-5
    with pytest.raises(ValueError, match="margin"):
        IdentityEye(Spy(), CropSpec(160, 1.0))
