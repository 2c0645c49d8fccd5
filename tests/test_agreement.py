"""The agreement learns from real faces alone who belongs together, and survives the way to a file."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from export.convert import _to_onnx  # noqa: E402
from export.session import open_session  # noqa: E402
from models.agreement import Agreement, fit, fit_plain  # noqa: E402
from models.canonical import fit as canonical_fit  # noqa: E402
from models.metrics import auc  # noqa: E402

E, PERSON, CAMERA, K = 48, 8, 6, 8


def seen(people: int, seed: int, versions: int = 3) -> np.ndarray:
    """(V, N, 3, E): each view holds the person, and what one camera did to all views of a version.

    The whole shows the inner face's person more than the surroundings'. The camera is louder than the person.
    """
    world, rng = np.random.default_rng(0), np.random.default_rng(seed)
    person, camera = world.standard_normal((3, PERSON, E)), world.standard_normal((3, CAMERA, E))
    offset = 4 * world.standard_normal((3, E))
    who = rng.standard_normal((people, PERSON))
    how = 1.5 * rng.standard_normal((versions, people, CAMERA))
    x = offset + np.einsum("np,vpe->nve", who, person) + np.einsum("rnc,vce->rnve", how, camera)
    x += 0.7 * rng.standard_normal(x.shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def swapped(faces: np.ndarray) -> np.ndarray:
    """The next one's inner face in each head, camera and all."""
    fakes = faces.copy()
    fakes[:, 1] = np.roll(faces[:, 1], 1, axis=0)
    return fakes


@pytest.fixture(scope="module")
def agreement(tmp_path_factory: pytest.TempPathFactory) -> Agreement:
    path = tmp_path_factory.mktemp("fit") / "identity.npz"
    np.savez(path, people=600, **fit(seen(600, seed=1), ridge=0.1, directions=K))
    return Agreement.load(path)


def logits(agreement: Agreement, windows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """windows (B, T, 3, E)."""
    given = np.ones(windows.shape[:2], np.float32) if weights is None else weights
    with torch.no_grad():
        return agreement(torch.from_numpy(windows), torch.from_numpy(given)).numpy()


def test_strangers_inner_faces_stand_out_though_the_camera_is_the_same(agreement: Agreement) -> None:
    """The swap shares the camera with its head, as live: only the person differs."""
    world, rng = np.random.default_rng(0), np.random.default_rng(5)
    person, camera = world.standard_normal((3, PERSON, E)), world.standard_normal((3, CAMERA, E))
    offset = 4 * world.standard_normal((3, E))
    who, how = rng.standard_normal((400, PERSON)), 1.5 * rng.standard_normal((400, CAMERA))
    sides = []
    for inner in (who, np.roll(who, 1, axis=0)):
        people = np.stack([inner, inner, who], 1)  # the whole goes with the inner face
        x = offset + np.einsum("nvp,vpe->nve", people, person) + np.einsum("nc,vce->nve", how, camera)
        x += 0.7 * rng.standard_normal(x.shape)
        sides.append((x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32))
    real, fake = (logits(agreement, side[:, None]) for side in sides)
    found = auc(real, fake)
    plain = auc(*(-(side[:, 1] * side[:, 2]).sum(-1) for side in sides))
    assert found > 0.85
    assert found > plain + 0.1
    assert abs(real.mean()) < 0.3  # in units of the spread among real faces
    assert 0.4 < real.std() < 1.5


def test_what_only_the_camera_shares_is_no_agreement() -> None:
    """Two versions beside each other: views with the camera alone in common give no better than chance."""
    faces = seen(600, seed=2)
    faces[:, :, 1] = np.roll(faces[:, :, 1], 7, axis=1)  # no inner face belongs to its head
    made = Agreement(E, K)
    made.load_state_dict({k: torch.from_numpy(v) for k, v in fit(faces, 0.1, K).items()})
    fresh = seen(300, seed=3)[0]
    assert 0.35 < auc(logits(made, fresh[:, None]), logits(made, swapped(fresh)[:, None])) < 0.65


def test_crops_without_weight_and_padding_change_nothing(agreement: Agreement) -> None:
    window = seen(10, seed=4, versions=4).transpose(1, 0, 2, 3)  # (10, 4, 3, E)
    padded = np.concatenate([window, np.zeros_like(window)], 1)
    weights = np.concatenate([np.full((10, 4), 0.5), np.zeros((10, 4))], 1).astype(np.float32)
    assert np.allclose(logits(agreement, padded, weights), logits(agreement, window), atol=1e-5)
    nothing = logits(agreement, padded, np.zeros_like(weights))
    assert np.array_equal(nothing, np.zeros(10))


def test_the_plain_fit_is_the_mean_of_cosines_and_one_canonical_pair() -> None:
    faces = seen(300, seed=8)
    made = Agreement(E, 40)
    made.load_state_dict({k: torch.from_numpy(v) for k, v in fit_plain(faces, directions=40).items()})
    match = canonical_fit(faces[0, :, 1], faces[0, :, 2], ridge=1.0, directions=32)
    fresh = seen(50, seed=9)[0]
    whole, inner, around = fresh.transpose(1, 0, 2)
    plain = (inner * around + around * whole + inner * whole).sum(-1)
    figures = np.stack([plain, match.agreement(inner, around)])
    wanted = -((figures - made.usual[:2, None].numpy()) / made.spread[:2, None].numpy()).mean(0)
    assert np.abs(logits(made, fresh[:, None]) - wanted).max() < 1e-4
    assert plain.std() == pytest.approx(float(made.spread[0]), rel=0.3)


def test_it_exports(agreement: Agreement) -> None:
    window, weights = torch.from_numpy(seen(3, seed=6, versions=2).transpose(1, 0, 2, 3)), torch.rand(3, 2)
    axes = {"e": ("b", "t"), "weights": ("b", "t")}
    session = open_session(_to_onnx(agreement, (window, weights), axes, {"logit": ("b",)}))
    more = seen(5, seed=7, versions=4).transpose(1, 0, 2, 3)
    share = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    share[1] = 0
    got = session.run(None, {"e": more, "weights": share})[0]
    assert np.abs(got - logits(agreement, more, share)).max() < 1e-4


def test_other_files_and_too_little_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", usual=np.zeros(3))
    with pytest.raises(ValueError, match="lacks one_map, one_mean"):
        Agreement.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        Agreement.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="cannot tell"):
        fit(seen(100, seed=1, versions=1), 0.1, K)
    with pytest.raises(ValueError, match="do not fit"):
        fit(seen(6, seed=1, versions=2), 0.1, K)
