"""Training pairs leak nothing: with no manipulation a trained detector cannot tell the sides apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.crop import CropSpec
from models.dataset import Mix, Pairs, Stills, degraded_pair, load_clips
from models.fakes import FacePicture, Fakes
from tests.drawn_faces import draw_face, write_data

SPEC = CropSpec(size=64, margin=1.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("pairs"))


def features(crop: np.ndarray) -> np.ndarray:
    """What gives a pipeline away: levels, colours, sharpness at three sizes, blocks of 8, the border."""
    grey = crop.astype(np.float64).mean(2)
    fine, middle = grey - cv2.GaussianBlur(grey, (0, 0), 1), grey - cv2.GaussianBlur(grey, (0, 0), 3)
    steps = np.abs(np.diff(grey, axis=1))
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    colour = crop.reshape(-1, 3).mean(0)
    inner = fine[20:44, 20:44]
    return np.array(
        [
            *colour,
            *crop.reshape(-1, 3).std(0),
            fine.std(),
            inner.std(),
            middle.std(),
            steps.mean(),
            rim.mean(),
            rim.std(),
            steps[:, 7::8].mean() - steps.mean(),
            np.median(np.abs(fine)),
            grey.min(),
            grey.max(),
        ]
    )


def told_apart(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """How many held-out pairs a logistic regression, trained on the others, puts in the right order: 0..1."""
    gaps = np.array([features(b) - features(a) for a, b in pairs])
    gaps /= gaps.std(0) + 1e-9
    half = len(gaps) // 2
    weights = np.zeros(gaps.shape[1])
    for _ in range(300):  # plain gradient descent; a pair and its mirror image are one example
        miss = 1 / (1 + np.exp(gaps[:half] @ weights))
        weights += 0.3 * ((miss[:, None] * gaps[:half]).mean(0) - 0.01 * weights)
    return float((np.sign(gaps[half:] @ weights) / 2 + 0.5).mean())  # two equal pictures are half right


def pairs_of(
    folders: tuple[Path, Path], spoil: bool, count: int = 240
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Real against real again through the whole pipeline; `spoil` saves the second side as a JPEG first."""

    def again(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> FacePicture:
        if not spoil:
            return face
        saved = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        return face.with_image(np.asarray(cv2.imdecode(saved, cv2.IMREAD_COLOR), np.uint8))

    mix = Mix(stills=0.7, videos=0.3, labelled=0, held_stills=2)
    fakes = Fakes({"again": again}, {"again": 1.0})
    pairs = Pairs(Stills(*folders), load_clips(folders[1]), SPEC, 1, 5, mix, fakes)
    rng = np.random.default_rng(11)
    return [pairs.pair(rng) for _ in range(count)]


def test_real_against_real_again_is_a_coin_toss(folders: tuple[Path, Path]) -> None:
    """A trained detector gets half of the held-out pairs: 120 of them give 0.5 +- 0.14 (three sigma)."""
    assert 0.36 <= told_apart(pairs_of(folders, spoil=False)) <= 0.64


def test_the_coin_toss_would_show_one_more_jpeg(folders: tuple[Path, Path]) -> None:
    assert told_apart(pairs_of(folders, spoil=True)) > 0.7


def test_sides_may_be_exchanged() -> None:
    """The pipeline does not know which picture is the fake: exchanged pictures give exchanged statistics."""
    face = draw_face(8)
    other = face.with_image(face.image[:, ::-1].copy())
    gaps = []
    for seed in range(20):
        a, b = degraded_pair(face, other, SPEC, np.random.default_rng(seed))
        c, d = degraded_pair(other, face, SPEC, np.random.default_rng(seed))
        gaps += [
            abs(a.astype(float).mean() - d.astype(float).mean()),
            abs(b.astype(float).mean() - c.astype(float).mean()),
        ]
    assert np.median(gaps) < 0.3
    assert max(gaps) < 3  # a lost packet takes other blocks with it
