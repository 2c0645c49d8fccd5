"""The judge of single pictures: fitted, written into a detector's card, and read again."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.card import Card  # noqa: E402
from export.convert import convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.errors import ModelError  # noqa: E402
from export.still import PENALTIES, calibrated, choose_penalty, fit_frame, write  # noqa: E402
from models.crop import CropSpec  # noqa: E402
from models.efficientnet_lite import FaceEncoder  # noqa: E402
from models.metrics import auc  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402

SIZE, WIDTH = 64, 12


def some(count: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features whose third number tells the label, mostly."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.float32)
    features = rng.standard_normal((count, width)).astype(np.float32)
    features[:, 2] = 5 + 2 * (labels + 0.5 * rng.standard_normal(count))
    return features, labels


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector without such a judge."""
    torch.manual_seed(0)
    state = {
        "encoder": FaceEncoder(WIDTH).state_dict(),
        "head": TemporalHead(WIDTH).state_dict(),
        "features": WIDTH,
        "spec": asdict(CropSpec(SIZE, 1.3)),
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "version": "0.0.1",
        "temperature": 1.0,
        "bias": 0.0,
        "thresholds": dict.fromkeys(("suspicious_on", "suspicious_off", "alert_on", "alert_off"), 0.5),
        "training": {},
        "held_apart": {},
    }
    folder = tmp_path_factory.mktemp("run")
    torch.save(state, folder / "detector.pt")
    convert(folder / "detector.pt", folder / "detector.onnx")
    return folder / "detector.onnx"


def test_the_fit_finds_what_tells_and_ends_where_nothing_can_be_gained():
    features, labels = some(400, 6, 0)
    theta = fit_frame(features, labels, 1e-3)
    assert np.abs(theta[:-1] * features.std(0)).argmax() == 2
    gap = 1 / (1 + np.exp(-(features @ theta[:-1] + theta[-1]))) - labels
    standard = (features - features.mean(0)) / features.std(0)
    assert np.abs(standard.T @ gap / 400 + 1e-3 * theta[:-1] * features.std(0)).max() < 1e-5
    strange, truth = some(400, 6, 1)
    said = strange @ theta[:-1]
    assert auc(said[truth == 0], said[truth == 1]) > 0.9


def test_the_penalty_is_as_strong_as_the_features_are_noisy():
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 2).astype(np.float32)
    noisy = (rng.standard_normal((600, 80)) + 0.15 * labels[:, None]).astype(np.float32)
    assert choose_penalty(noisy, labels) == max(PENALTIES)
    common = 10 * rng.standard_normal((600, 1))  # tells nothing, and hides a small difference that does
    hidden = np.hstack([common + labels[:, None], common]) + 0.1 * rng.standard_normal((600, 2))
    assert choose_penalty(hidden.astype(np.float32), labels) < 1e-2


def test_a_detector_gets_a_judge_of_pictures(blind: Path, tmp_path: Path):
    before = open_detector(blind)
    with pytest.raises(ModelError, match="no judge of single pictures"):
        before.score_still(np.zeros((1, WIDTH), np.float32))
    features, labels = some(600, WIDTH, 0)
    real, fake = features[labels == 0], features[labels == 1]
    theta = fit_frame(*some(400, WIDTH, 1), 1e-2)
    still, figures = calibrated(theta, [(real, 0, "stills"), (fake, 1, "stills")])
    assert figures["auc_stills"] > 0.9
    assert figures["alert_on_true_rate"] > figures["alert_on_false_rate"]
    out = tmp_path / "with.onnx"
    write(blind, out, still, figures)

    after = open_detector(out)
    assert after.card.still == still
    assert Card.from_json(after.card.to_json()) == after.card
    assert replace(after.card, still=None, validation=before.card.validation) == before.card
    scores = after.score_still(features)
    assert abs(np.mean(scores[labels == 0]) + np.mean(scores[labels == 1]) - 1) < 0.05  # for even odds
    assert (scores[labels == 0] > still.thresholds.alert_on).mean() <= 0.02
    assert after.score_still(features[:0]).shape == (0,)
    with pytest.raises(ValueError, match="wanted features"):
        after.score_still(features[None])
    crops = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(after.encode(crops), before.encode(crops))  # nothing else has changed


def test_a_judge_that_falls_with_the_label_is_refused():
    features, labels = some(200, 6, 0)
    theta = -fit_frame(features, labels, 1e-2)
    with pytest.raises(ValueError, match="rise"):
        calibrated(theta, [(features[labels == 0], 0, "stills"), (features[labels == 1], 1, "stills")])


def test_a_second_eye_takes_no_part(blind: Path, tmp_path: Path):
    still, figures = calibrated(
        fit_frame(*some(200, WIDTH, 1), 1e-2), [(some(50, WIDTH, k)[0] + k, k, "stills") for k in (0, 1)]
    )
    write(blind, tmp_path / "with.onnx", still, figures)
    one = open_detector(tmp_path / "with.onnx")
    features = some(5, WIDTH, 3)[0]
    one.card = replace(one.card, features=WIDTH + 3)
    assert np.array_equal(
        one.score_still(np.hstack([features, np.ones((5, 3), np.float32)])),
        one.score_still(np.hstack([features, np.zeros((5, 3), np.float32)])),
    )
