"""Conditions on videos: what they do to pictures, times and turns, and the curves over the real live path."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.conditions import KINDS, LADDER, Condition, write_under
from models.robustness import main, markdown
from tests import clips

UNTOUCHED = {"size": 1.0, "brightness": 1.0, "blur": 0.0, "sharpening": 0.0, "noise": 0.0}
ROOT = Path(__file__).parent.parent


def noise(count: int, width: int, height: int) -> list[clips.Picture]:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    return [np.roll(still, 3 * i, 1) for i in range(count)]


def under(
    tmp_path: Path, source: Path, kind: str, amount: float, seconds: float | None = None
) -> list[clips.Picture]:
    out = tmp_path / "out.mkv"
    write_under(source, out, Condition(kind, amount), seconds)
    return clips.read_all(out)


@pytest.mark.parametrize("bitrate", [150.0, 600.0, 2500.0])
def test_the_bitrate_is_held_and_nothing_enlarged(tmp_path: Path, bitrate: float) -> None:
    source = clips.write_clip(tmp_path / "a.mp4", noise(75, 640, 480), gop=25)
    with av.open(str(source)) as container:
        length = container.duration / av.time_base
    pictures = under(tmp_path, source, "bitrate", bitrate)
    assert len(pictures) == 75
    assert pictures[0].shape[0] == min(480, LADDER[bitrate])
    spent = (tmp_path / "out.mkv").stat().st_size * 8 / 1000 / length
    assert spent < 1.5 * bitrate
    if bitrate == 150:
        assert spent > 0.5 * bitrate


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bitrate"])
def test_each_amount_does_what_it_says(tmp_path: Path, kind: str) -> None:
    source = clips.write_clip(tmp_path / "a.mp4", clips.portraits(3))
    before = clips.read_all(source)[1].astype(float)
    for amount in KINDS[kind].amounts:
        after = under(tmp_path, source, kind, amount)[1].astype(float)
        if kind == "size":
            assert after.shape == (round(120 * amount) * 2, round(160 * amount) * 2, 3)
        elif kind == "brightness":
            assert after.mean() == pytest.approx(before.mean() * amount, abs=2.5)
        elif kind == "noise" and amount:
            # 4:2:0 takes most of the colour's noise away, and of a grey value's noise 1/sqrt(3) stays.
            assert 0.4 * amount < np.std(after - before) < amount + 3
        elif kind != "noise" and amount:
            sigma = amount if kind == "blur" else 1.5
            soft = cv2.GaussianBlur(before, (0, 0), sigma)
            wanted = soft if kind == "blur" else np.clip(before + amount * (before - soft), 0, 255)
            assert np.abs(after - wanted).mean() < min(4, 0.7 * np.abs(after - before).mean())
        if amount == UNTOUCHED[kind]:  # but for one fine encoding
            assert np.abs(after - before).mean() < 6


def test_turned_videos_come_out_upright(tmp_path: Path) -> None:
    source = clips.write_clip(tmp_path / "a.mp4", [clips.quadrants(96, 64)] * 3)
    for matrix, seen in (((0, 1, -1, 0), "WRGB"), ((0, -1, 1, 0), "GBWR"), ((-1, 0, 0, -1), "BWRG")):
        turned = clips.rotated(tmp_path / "b.mp4", source, matrix)
        assert clips.corners(under(tmp_path, turned, "blur", 0.0)[1]) == seen


def test_frame_times_are_kept(tmp_path: Path) -> None:
    source = clips.write_clip(tmp_path / "a.mp4", noise(30, 96, 64))
    write_under(source, tmp_path / "out.mkv", Condition("blur", 1.0))

    def times(path: Path) -> list[float]:
        with av.open(str(path)) as container:
            return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]

    before = times(source)
    assert times(tmp_path / "out.mkv") == pytest.approx([t - before[0] for t in before], abs=1.5e-3)
    write_under(source, tmp_path / "out.mkv", Condition("blur", 1.0), seconds=before[10] - before[0])
    assert len(times(tmp_path / "out.mkv")) == 10


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(av.FFmpegError):
        write_under(tmp_path / "text.mp4", tmp_path / "out.mkv", Condition("blur", 1.0))
    clips.write_sound(tmp_path / "sound.mp4")
    with pytest.raises(ValueError, match="no video"):
        write_under(tmp_path / "sound.mp4", tmp_path / "out.mkv", Condition("blur", 1.0))


def test_the_curves_over_the_live_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage", reason="the portrait of the test clips is scikit-image's")
    pytest.importorskip("matplotlib", reason="the [train] extra is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for side in ("real", "fake"):
        (tmp_path / "mine" / side).mkdir(parents=True)
        clips.write_clip(tmp_path / "mine" / side / "talk.mp4", clips.portraits(40), gop=15)
    words = [
        str(tmp_path / "mine"),
        "--kind",
        "size",
        "--json",
        str(tmp_path / "c.json"),
        "--plots",
        str(tmp_path),
    ]
    assert main(words) == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert [entry["amount"] for entry in found["size"]["mine"]] == list(KINDS["size"].amounts)
    smallest, *_, whole = found["size"]["mine"]
    assert (smallest["not_scored"], smallest["video_auc"]) == (2, None)  # the face has become too small
    assert (whole["not_scored"], whole["video_auc"]) == (0, 0.5)  # the same video on both sides
    said = capsys.readouterr().out
    assert said == markdown(found, said.splitlines()[0])
    assert "| size 0.25 of its size | – (0 of 2) |" in said
    assert (tmp_path / "robustness.png").stat().st_size > 5000
