"""The fit's command: whose pictures it takes, that a stopped run goes on, and what it writes."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
cv2 = pytest.importorskip("cv2")

from models import fit_agreement  # noqa: E402
from models.agreement import Agreement  # noqa: E402
from models.dataset import Stills  # noqa: E402
from models.fit_agreement import SPEC, VERSIONS, embedded, people_of, versions_of  # noqa: E402


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data, prepared = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("prepared")
    rng, names = np.random.default_rng(0), []
    for k in range(408):
        names.append(f"Person_{k:03d}_0001.jpg")
    names += ["20_1_2_utk.jpg", "portraits/a.jpg"]
    picture = cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (160, 160))
    for name in (names[0], names[1]):
        cv2.imwrite(str(data / name), picture)
    box, points = np.array([40, 30, 120, 130], np.float32), rng.uniform(40, 120, (68, 2))
    n = len(names)
    np.savez(
        prepared / "stills.npz",
        name=np.array(names),
        box=np.tile(box, (n, 1)),
        points=np.tile(points, (n, 1, 1)).astype(np.float32),
        shape=points,
    )
    return data, prepared


def test_only_people_of_lfw_who_are_not_held_apart(folders: tuple[Path, Path]) -> None:
    stills = Stills(*folders)
    assert people_of(stills, 100).tolist() == list(range(8))
    assert people_of(stills, 2).tolist() == [0, 7]


def test_the_first_version_is_the_picture_and_all_can_be_made_again(folders: tuple[Path, Path]) -> None:
    stills = Stills(*folders)
    made = versions_of(stills, 0)
    assert made.shape == (VERSIONS, SPEC.size, SPEC.size, 3)
    assert np.array_equal(made, versions_of(stills, 0))
    assert all(np.abs(made[0].astype(int) - v).mean() > 1 for v in made[1:])


def test_a_stopped_run_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def embed(eye: object, stills: Stills, people: np.ndarray):
        for index in people:
            calls.append(int(index))
            yield int(index), np.full((VERSIONS, 3, 512), index, np.float32)

    monkeypatch.setattr(fit_agreement, "embed", embed)
    kept, stills = tmp_path / "identity.seen.npz", Stills(*folders)
    embedded(None, stills, np.array([1, 4]), kept)  # type: ignore[arg-type]
    seen = embedded(None, stills, np.array([4, 1, 6]), kept)  # type: ignore[arg-type]
    assert calls == [1, 4, 6]
    assert seen.shape == (VERSIONS, 3, 3, 512)
    assert seen[0, :, 0, 0].tolist() == [4, 1, 6]


@pytest.mark.parametrize(("by", "shares"), [("across", [0, 0.5, 0.5]), ("plain", [0.5, 0.5, 0])])
def test_the_command_writes_what_loads(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, shares: list[float]
) -> None:
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((VERSIONS, 160, 3, 512)).astype(np.float32)
    seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
    monkeypatch.setattr(fit_agreement, "load_embedder", lambda path: torch.nn.Identity())
    monkeypatch.setattr(fit_agreement, "embedded", lambda *given: seen)
    out = tmp_path / "identity.npz"
    words = ["x", "--data", str(folders[0]), "--prepared", str(folders[1]), "--recogniser", "none.pt"]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(out), "--by", by])
    assert fit_agreement.main() == 0
    assert Agreement.load(out).shares.tolist() == shares
    with np.load(out) as saved:
        assert str(saved["by"]) == by


def test_a_missing_recogniser_is_told(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["x", "--data", str(folders[0]), "--prepared", str(folders[1])]
    monkeypatch.setattr("sys.argv", [*words, "--recogniser", "none.pt", "--out", str(tmp_path / "i.npz")])
    assert fit_agreement.main() == 1
    assert "none.pt" in capsys.readouterr().err
