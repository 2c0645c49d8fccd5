"""The exam of the identity cue: which crops it looks at, a video's score, the figures of a folder."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.agreement import Agreement  # noqa: E402
from models.identity_exam import SPEC, exam, items_of, looks_of, row, score  # noqa: E402
from models.watched import Item  # noqa: E402


def write(path: Path, count: int, level: int, gated: int = 0, rate: float = 8.0) -> None:
    """A track of flat crops, `level` bright; the first `gated` would not be scored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    crops = np.full((count, 32, 32, 3), level, np.uint8)
    crops[:gated] = 0
    weights = np.where(np.arange(count) < gated, 0, 0.5).astype(np.float32)
    np.savez(path, crops=crops, weights=weights, times=np.arange(count) / rate + 3)


def plain(embedding: int) -> Agreement:
    """Nothing but the plain cosines: the logit is minus their sum."""
    made = Agreement(embedding, 1)
    made.load_state_dict({**made.state_dict(), "shares": torch.tensor([1.0, 0, 0])})
    return made.eval()


def test_two_crops_a_second_of_the_longest_track(tmp_path: Path) -> None:
    write(tmp_path / "a.track1.npz", 9, 50)
    write(tmp_path / "a.track2.npz", 60, 100, gated=4)
    pixels, weights = looks_of([tmp_path / "a.track1.npz", tmp_path / "a.track2.npz"], seconds=5)
    assert pixels.shape == (10, SPEC.size, SPEC.size, 3)
    assert (pixels == 100).all()
    assert (weights == 0.5).all()
    write(tmp_path / "b.track1.npz", 6, 50, gated=6)
    assert len(looks_of([tmp_path / "b.track1.npz"], 5)[1]) == 0


def test_a_short_last_window_is_left_out_but_a_short_video_is_not() -> None:
    one = np.eye(3, dtype=np.float32)[None]  # views at right angles: the sum of the cosines is 0
    same = np.ones((1, 3, 3), np.float32) / np.sqrt(3).astype(np.float32)  # all alike: 3
    windows = np.concatenate([one] * 4 + [same])
    assert score(plain(3), windows, np.ones(5, np.float32)) == pytest.approx(0, abs=1e-6)
    assert score(plain(3), same, np.ones(1, np.float32)) == pytest.approx(-3, abs=1e-5)
    longer = np.concatenate([one] * 4 + [same] * 2)
    assert score(plain(3), longer, np.ones(6, np.float32)) == pytest.approx(-1.5, abs=1e-5)


def test_a_folder_is_examined_and_its_figures_are_right(tmp_path: Path) -> None:
    for name, level in {"real/x": 10, "real/y": 30, "fake/x": 20, "fake/y": 200, "fake/z": 250}.items():
        write(tmp_path / f"{name}.track1.npz", 8, level)

    def look(pixels: np.ndarray) -> np.ndarray:
        """The brighter the crop, the wider the inner face turns from the rest."""
        turn = pixels[:, 0, 0, 0] / 255
        inner = np.stack([np.cos(turn), np.sin(turn)], -1)
        rest = np.tile(np.array([1.0, 0.0]), (len(turn), 1))
        return np.stack([rest, inner, rest], 1).astype(np.float32)

    scores = exam(look, plain(2), tmp_path, 10, lambda item: not item.name.endswith("z"))
    assert {item.name for item in scores} == {"real/x", "real/y", "fake/x", "fake/y"}
    found = row(scores)
    assert (found["real"], found["fake"], found["pairs"], found["pairs_right"]) == (2, 2, 2, 2)
    assert found["video_auc"] == 0.75
    low, high = found["video_auc_ci"]
    assert low <= 0.75 <= high


def test_the_names_of_faceforensics_pair_up() -> None:
    def item(name: str, fake: bool) -> Item:
        return Item(Path(name), name, fake)

    scores = {
        item("c40/real/183", False): 0.5,
        item("c40/fake/FaceSwap/183_253", True): 0.4,
        item("c40/fake/Deepfakes/183_253", True): 0.6,
    }
    assert (row(scores)["pairs"], row(scores)["pairs_right"]) == (2, 1)


def test_a_folder_with_one_side_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "real/x.track1.npz", 8, 10)
    with pytest.raises(ValueError, match="both real/ and fake/"):
        items_of(tmp_path)
