"""MesoNet: the paper's sizes, weights from Keras's files proven equal to numpy, detectors made of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
h5py = pytest.importorskip("h5py", reason="the [train] extra is not installed")

from export.describe import describe  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.errors import ModelError  # noqa: E402
from models import peers  # noqa: E402
from models.family import build  # noqa: E402
from models.mean_head import MeanHead  # noqa: E402
from models.mesonet import meso4, mesoinception4  # noqa: E402
from models.mesonet_keras import KerasWeights, forward, largest_gap, read, to_torch  # noqa: E402

ROOT = Path(__file__).parent.parent
PLAIN = ((3, 3, 8), (5, 8, 8), (5, 8, 16), (5, 16, 16))  # kernel, in, out
INCEPTION = (
    (1, 3, 1), (1, 3, 4), (3, 4, 4), (1, 3, 4), (3, 4, 4), (1, 3, 2), (3, 2, 2),
    (1, 11, 2), (1, 11, 4), (3, 4, 4), (1, 11, 4), (3, 4, 4), (1, 11, 2), (3, 2, 2),
    (5, 12, 16), (5, 16, 16),
)  # fmt: skip
NORMS = {PLAIN: (8, 8, 16, 16), INCEPTION: (11, 12, 16, 16)}


def write_weights(path: Path, convs: tuple[tuple[int, int, int], ...], first: int = 1, seed: int = 0) -> Path:
    """Random weights in the layout of Keras 2.1.5; layers are numbered from `first` on."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:

        def layer(name: str, **values: np.ndarray) -> None:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in values]
            for key, value in values.items():
                group.create_dataset(f"{name}/{key}:0", data=value.astype(np.float32))

        file.create_group("max_pooling2d_1").attrs["weight_names"] = np.zeros(0, "S1")
        for i, (k, n, m) in enumerate(convs):
            kernel = rng.normal(0, np.sqrt(2 / (k * k * n)), (k, k, n, m))
            layer(f"conv2d_{first + i}", kernel=kernel, bias=rng.normal(0, 0.1, m))
        for i, n in enumerate(NORMS[convs]):
            values = (
                rng.uniform(0.5, 1.5, n),
                rng.normal(0, 0.3, n),
                rng.normal(0.5, 0.1, n),
                rng.random(n) + 0.3,
            )
            names = "gamma", "beta", "moving_mean", "moving_variance"
            layer(f"batch_normalization_{first + i}", **dict(zip(names, values, strict=True)))
        for i, (n, m) in enumerate(((1024, 16), (16, 1))):
            kernel = rng.normal(0, 1 / np.sqrt(n), (n, m))
            layer(f"dense_{first + i}", kernel=kernel, bias=rng.normal(0, 0.1, m))
    return path


@pytest.fixture(
    scope="module", params=[(PLAIN, 5), (INCEPTION, 1), (INCEPTION, 8)], ids=["4", "i4", "i4-late"]
)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KerasWeights:
    convs, first = request.param
    return read(write_weights(tmp_path_factory.mktemp("h5") / "w.h5", convs, first))


def test_the_papers_numbers_of_parameters() -> None:
    for make, wanted in ((meso4, 27_977), (mesoinception4, 28_615)):
        networks = make(), MeanHead(16)
        assert sum(p.numel() for n in networks for p in n.parameters()) == wanted


def test_torch_equals_numpy(weights: KerasWeights) -> None:
    assert largest_gap(weights) < 2e-6
    answers = forward(weights, np.random.default_rng(1).random((6, 256, 256, 3)))
    assert np.std(answers) > 1e-4  # it looks at the picture
    assert ((answers > 0.02) & (answers < 0.98)).all()  # and a gap would show


@pytest.mark.parametrize("kind", ["conv", "norm", "dense"])
def test_weights_in_the_wrong_place_are_noticed(weights: KerasWeights, kind: str) -> None:
    encoder, head = to_torch(weights)
    picture = np.random.default_rng(2).random((1, 256, 256, 3))
    layers = getattr(weights, kind)
    spoilt = [[part * 1.05 if i == len(layers) - 1 else part for part in w] for i, w in enumerate(layers)]
    parts = {"conv": weights.conv, "norm": weights.norm, "dense": weights.dense, kind: spoilt}
    with torch.no_grad():
        features = encoder(torch.from_numpy(picture.transpose(0, 3, 1, 2).astype(np.float32)))
        fake = float(torch.sigmoid(head(features[:, None], torch.ones(1, 1))))
    assert abs(1 - fake - forward(weights, picture)[0]) < 1e-5
    assert abs(1 - fake - forward(KerasWeights(**parts), picture)[0]) > 1e-4


def test_the_mean_head_is_the_mean_of_the_frames() -> None:
    torch.manual_seed(0)
    head, features, weights = MeanHead(16), torch.randn(2, 5, 16), torch.rand(2, 5)
    with torch.no_grad():
        frames = head.frame(features)[..., 0]  # (2, 5)
        wanted = (frames * weights).sum(1) / weights.sum(1)
        assert torch.allclose(head(features, weights), wanted, atol=1e-5)
        padded = torch.cat([features, torch.full((2, 3, 16), 9.0)], 1)
        none = torch.cat([weights, torch.zeros(2, 3)], 1)
        assert torch.allclose(head(padded, none), wanted, atol=1e-5)
        assert torch.isfinite(head(features, torch.zeros(2, 5))).all()


@pytest.mark.parametrize("convs", [PLAIN, INCEPTION], ids=["4", "i4"])
def test_a_peers_detector_says_what_its_weights_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, convs: tuple[tuple[int, int, int], ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    source = write_weights(tmp_path / "Meso_DF.h5", convs)
    path = peers.make(source, tmp_path)
    detector = open_detector(path)
    crops = np.random.default_rng(3).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)  # BGR
    single = detector.score(detector.encode(crops)[:, None], np.ones((3, 1), np.float32))
    real = forward(read(source), crops[..., ::-1] / 255)
    assert np.abs(1 - real - single).max() < 1e-4
    card = detector.card
    assert (card.name, card.license, card.crop.size) == ("mesonet_meso_df", "Apache-2.0", 256)
    assert (card.temperature, card.bias, card.thresholds.alert_on) == (1, 0, 0.5)
    told = describe(str(path))
    assert (told["sha256"], told["bytes"]) == (detector.sha256, path.stat().st_size)
    assert told["card"]["training"]["file"] == "Meso_DF.h5"


def test_the_command_and_its_refusals(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "models.peers", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    empty = run("--weights", str(tmp_path), "--out", str(tmp_path / "out"))
    assert (empty.returncode, empty.stderr.count("\n")) == (1, 1)
    (tmp_path / "not.h5").write_text("no weights")
    done = run("--weights", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "not.h5 is no HDF5 file" in done.stderr
    assert not list((tmp_path / "out").glob("*.onnx"))


def test_what_is_no_mesonet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("dense_1").attrs["weight_names"] = []
    with pytest.raises(ValueError, match="no MesoNet"):
        read(tmp_path / "other.h5")
    monkeypatch.setattr(peers, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs from numpy"):
        peers.checkpoint(write_weights(tmp_path / "w.h5", PLAIN))
    with pytest.raises(ValueError, match="no network is called"):
        build("meso5", "mean", 16)
    with pytest.raises(ValueError, match="gives 16 features"):
        build("meso4", "mean", 128)
    with pytest.raises(ModelError, match="no model file"):
        describe(str(tmp_path / "none.onnx"))
