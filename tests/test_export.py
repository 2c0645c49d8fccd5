"""From a checkpoint to a detector's file and back: equal to PyTorch, and clear about files that are none."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.card import CARD_KEY, HEAD_KEY  # noqa: E402
from export.convert import TOLERANCE, convert, load  # noqa: E402
from export.detector import BUCKETS, Detector, open_detector  # noqa: E402
from export.errors import ModelError, ProviderError  # noqa: E402
from export.session import open_session  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402
from models.efficientnet_lite import FaceEncoder  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402

SIZE, FEATURES = 64, 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    encoder = FaceEncoder(FEATURES)
    encoder.train()
    with torch.no_grad():  # some running statistics, or every feature would be the same
        for _ in range(3):
            encoder(torch.randn(8, 3, SIZE, SIZE))
    path = tmp_path_factory.mktemp("run") / "detector.pt"
    state = {
        "encoder": encoder.state_dict(),
        "head": TemporalHead(FEATURES).state_dict(),
        "features": FEATURES,
        "spec": asdict(CropSpec(SIZE, 1.3)),
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "version": "0.0.1",
        "temperature": 0.7,
        "bias": 0.1,
        "thresholds": {
            "suspicious_on": 0.6, "suspicious_off": 0.5, "alert_on": 0.8, "alert_off": 0.7,
        },
        "training": {"folders": []},
        "held_apart": {},
    }  # fmt: skip
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    out = checkpoint.with_name("detector.onnx")
    convert(checkpoint, out, {"dfdc": {"video_auc": 0.5}})
    return out


@pytest.fixture(scope="module")
def detector(exported: Path) -> Detector:
    return open_detector(exported)


@pytest.mark.parametrize("n", [0, 1, 3, 7, 33])
def test_features_equal_pytorch_at_any_batch(checkpoint: Path, detector: Detector, n: int) -> None:
    networks, card = load(checkpoint, {})
    crops = np.random.default_rng(n).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    got = detector.encode(crops)
    with torch.no_grad():
        wanted = networks.encoder(torch.from_numpy(to_input(crops, card.crop))).numpy() if n else got
    assert got.shape == (n, FEATURES)
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max(initial=0) <= TOLERANCE


@pytest.mark.parametrize(("b", "t"), [(1, 1), (1, 16), (5, 3), (2, 100)])
def test_scores_equal_pytorch_at_any_window(checkpoint: Path, detector: Detector, b: int, t: int) -> None:
    networks, card = load(checkpoint, {})
    rng = np.random.default_rng(b * t)
    features = rng.standard_normal((b, t, FEATURES), dtype=np.float32)
    weights = rng.random((b, t), dtype=np.float32)
    with torch.no_grad():
        logit = networks.head(torch.from_numpy(features), torch.from_numpy(weights)).numpy()
    wanted = 1 / (1 + np.exp(-(logit / card.temperature + card.bias)))
    got = detector.score(features, weights)
    assert got.shape == (b,)
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() <= TOLERANCE


@pytest.mark.parametrize("where", ["before", "after", "between"])
def test_padding_changes_nothing(detector: Detector, where: str) -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1, 6, FEATURES), dtype=np.float32)
    weights = rng.uniform(0.2, 1, (1, 6)).astype(np.float32)
    at = {"before": [0, 0, 0], "after": [6, 6, 6], "between": [2, 3, 5]}[where]
    longer = np.insert(features, at, 99.0, axis=1)
    assert np.allclose(
        detector.score(longer, np.insert(weights, at, 0.0, axis=1)),
        detector.score(features, weights),
        atol=1e-5,
    )
    assert np.isfinite(detector.score(features, np.zeros((1, 6), np.float32))).all()


def test_the_order_of_crops_matters(detector: Detector) -> None:
    features = np.random.default_rng(2).standard_normal((1, 8, FEATURES), dtype=np.float32)
    ones = np.ones((1, 8), np.float32)
    assert abs(float(detector.score(features, ones)[0] - detector.score(features[:, ::-1], ones)[0])) > 1e-6


def test_the_file_carries_card_and_hash(detector: Detector, exported: Path) -> None:
    import hashlib

    assert detector.card.validation["dfdc"] == {"video_auc": 0.5}
    assert detector.card.crop == CropSpec(SIZE, 1.3)
    assert detector.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert detector.provider == "CPUExecutionProvider"
    detector.warm_up()
    assert BUCKETS[-1] == 1


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE), (1, SIZE, SIZE + 1, 3), (1, 3, SIZE, SIZE)])
def test_wrong_crops_are_refused(detector: Detector, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="crops"):
        detector.encode(np.zeros(shape, np.uint8))


def test_wrong_windows_are_refused(detector: Detector) -> None:
    with pytest.raises(ValueError, match="fit together"):
        detector.score(np.zeros((1, 4, FEATURES), np.float32), np.zeros((1, 5), np.float32))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        open_detector(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 50])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"text\.onnx"):
        open_detector(path)


def test_a_truncated_detector(tmp_path: Path, exported: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(exported.read_bytes()[: exported.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"half\.onnx"):
        open_detector(path)


def test_an_onnx_file_without_a_card(tmp_path: Path, exported: Path) -> None:
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=rf"{CARD_KEY} and no {HEAD_KEY}"):
        open_detector(tmp_path / "bare.onnx")


@pytest.mark.parametrize(("key", "value"), [(CARD_KEY, "{}"), (HEAD_KEY, "?"), (HEAD_KEY, "aGVsbG8=")])
def test_a_damaged_card_or_head(tmp_path: Path, exported: Path, key: str, value: str) -> None:
    model = onnx.load(exported)
    properties = {p.key: p.value for p in model.metadata_props} | {key: value}
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(ModelError):
        open_detector(tmp_path / "damaged.onnx")


def test_an_unknown_provider(exported: Path) -> None:
    with pytest.raises(ProviderError, match="NoSuchExecutionProvider"):
        open_detector(exported, ("NoSuchExecutionProvider",))


def test_a_provider_that_falls_back_is_an_error(exported: Path) -> None:
    cuda = "CUDAExecutionProvider"
    if cuda not in ort.get_available_providers():
        pytest.skip("this onnxruntime was built without CUDA")
    if _has_nvidia():
        pytest.skip("there is an NVIDIA GPU: nothing falls back")
    with pytest.raises(ProviderError, match=cuda):
        open_session(exported, (cuda,))


def _has_nvidia() -> bool:
    return Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.pt"):
        convert(path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_network_that_differs_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.convert.TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="differs"):
        convert(checkpoint, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
