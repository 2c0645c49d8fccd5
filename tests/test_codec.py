"""Encoders and a lossy network: every frame comes back, a seed decides, and what is lost shows."""

from collections.abc import Callable

import numpy as np
import pytest

from models.codec import h264, jpeg, vp8
from tests.drawn_faces import draw_face

FACE = draw_face(9)
Encode = Callable[..., list[np.ndarray]]


def moving(count: int) -> list[np.ndarray]:
    """A face that walks to the right."""
    return [np.ascontiguousarray(np.roll(FACE.image, 3 * t, 1)) for t in range(count)]


@pytest.mark.parametrize("encode", [h264, vp8])
def test_an_encoder_returns_every_frame_and_loses_more_with_coarser_steps(encode: Encode) -> None:
    frames, losses = moving(4), []
    for loss in (15, 45):
        back = encode(frames, loss)
        assert [f.shape for f in back] == [f.shape for f in frames]
        gaps = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, back, strict=True)]
        losses.append(np.mean(gaps))
        assert gaps[-1] < 20, "the last frame is not the last one that went in"
    assert 0 < losses[0] < losses[1]


@pytest.mark.parametrize("encode", [h264, vp8])
def test_what_the_network_loses_shows_and_the_first_and_last_arrive(encode: Encode) -> None:
    frames = moving(8)
    whole = encode(frames, 25, 1e-9, np.random.default_rng(1))
    damaged = encode(frames, 25, 0.6, np.random.default_rng(1))
    assert len(damaged) == len(frames)
    gaps = [np.abs(a.astype(int) - b).mean() for a, b in zip(whole, damaged, strict=True)]
    assert gaps[0] == 0
    assert max(gaps) > 2


def test_jpeg_loses_more_at_a_lower_quality() -> None:
    fine, coarse = (np.abs(jpeg(FACE.image, q).astype(int) - FACE.image).mean() for q in (95, 20))
    assert 0 < fine < coarse


@pytest.mark.parametrize("encode", [h264, vp8])
def test_the_same_frames_give_the_same_pictures(encode: Encode) -> None:
    """An encoder that adapts its effort to the machine's load would make a run that cannot be repeated."""
    seen = {b"".join(f.tobytes() for f in encode(moving(3), 30)) for _ in range(12)}
    assert len(seen) == 1
