"""Degradation: seeded, the face stays under its box, each stage does something."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.degrade import Degradation
from tests.drawn_faces import draw_face

FACE = draw_face(9)


def nothing() -> Degradation:
    """A degradation that changes nothing."""
    drawn = Degradation.draw(np.random.default_rng(0), FACE.side)
    return replace(
        drawn, face=FACE.side, sent=FACE.side, down=cv2.INTER_AREA, colour=np.eye(3, dtype=np.float32),
        gamma=1.0, sway=0.0, flip=False, defocus=0.0, shake=(0.0, 0.0), smooth=0.0, sharp=0.0, noise=0.0,
        grain=1.0, codec="none", lost=0.0, pan=(0.0, 0.0),
    )  # fmt: skip


def test_the_face_stays_under_its_box() -> None:
    marked = np.zeros_like(FACE.image)
    x, y = ((FACE.box[:2] + FACE.box[2:]) / 2).astype(int)
    cv2.circle(marked, (int(x), int(y)), 12, (255, 255, 255), -1)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        degradation = Degradation.draw(rng, FACE.side)
        out = degradation.apply([marked], FACE.side, rng)[0].astype(float).max(2)
        ys, xs = np.nonzero(out > 0.6 * out.max())
        box = degradation.moved_box(FACE.box, marked, out)
        assert np.abs((box[:2] + box[2:]) / 2 - [xs.mean(), ys.mean()]).max() < 3.5
        assert 50 <= (box[2:] - box[:2]).max() <= 260


def test_a_seed_decides_and_nothing_is_written_to() -> None:
    before = FACE.image.copy()
    for seed in range(30):
        outs = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            outs.append(Degradation.draw(rng, FACE.side).apply([FACE.image] * 2, FACE.side, rng))
        assert all(np.array_equal(a, b) for a, b in zip(*outs, strict=True))
    assert np.array_equal(FACE.image, before)


STAGES = {
    "colour": np.diag([0.8, 1.0, 1.1]).astype(np.float32), "gamma": 1.3, "sway": 0.05, "flip": True,
    "defocus": 2.0, "shake": (4.0, 3.0), "smooth": 30.0, "sharp": 1.0, "noise": 5.0, "codec": "jpeg",
    "sent": FACE.side / 2,
}  # fmt: skip


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_each_stage_does_something_alone(stage: str) -> None:
    base = nothing().apply([FACE.image] * 2, FACE.side, np.random.default_rng(0))[1]
    assert np.abs(base.astype(int) - FACE.image).max() <= 1
    changed = replace(nothing(), **{stage: STAGES[stage]}, loss=50)
    out = changed.apply([FACE.image] * 2, FACE.side, np.random.default_rng(0))[1]
    assert out.shape == base.shape
    assert np.abs(out.astype(int) - base).mean() > 0.5
