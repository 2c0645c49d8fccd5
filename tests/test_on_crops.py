"""The report card on crops: windows as live, the longest track, files without crops, several detectors."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export.convert import convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.on_crops import Track, main, scores, windows  # noqa: E402
from tests.test_analysis import CARD  # noqa: E402
from tests.test_ensemble import member  # noqa: E402


def write_track(path: Path, count: int, level: int, weight: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = np.random.default_rng(level).integers(0, level, (count, 256, 256, 3), dtype=np.uint8)
    times = 5 + np.arange(count) / 8
    np.savez(path, crops=pictures, times=times, weights=np.full(count, weight, np.float32))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, made = tmp_path_factory.mktemp("models"), []
    for name, size in (("a", 64), ("b", 96)):
        torch.save(member(8, size, "mean", 1.0), folder / f"{name}.pt")
        convert(folder / f"{name}.pt", folder / f"{name}.onnx")
        made.append(folder / f"{name}.onnx")
    return made


def test_windows_are_those_of_the_live_system() -> None:
    """Four verdicts a second, two seconds of crops, none before there are enough."""
    times = 3 + np.arange(33) / 8
    found = windows(times, np.ones(33, np.float32), CARD)
    assert windows(times, np.full(33, 0.1, np.float32), CARD) == []
    assert [now for now, _, _ in found][:2] == [3.5, 3.75]
    assert np.allclose(np.diff([now for now, _, _ in found]), 0.25)
    assert max(end - begin for _, begin, end in found) == 16
    for now, begin, end in found:
        assert (times[begin:end] > now - 2.0).all()
        assert (times[begin:end] <= now + 1e-3).all()
    assert windows(times[:3], np.ones(3, np.float32), CARD) == []


def test_the_longest_track_counts_and_gated_crops_do_not(tmp_path: Path, models: list[Path]) -> None:
    write_track(tmp_path / "x.track1.npz", 6, 200)
    write_track(tmp_path / "x.track2.npz", 12, 50)
    write_track(tmp_path / "x.track3.npz", 20, 90, weight=0.0)
    found = Track.longest(sorted(tmp_path.iterdir()), 10.0)
    assert found is not None
    assert len(found.times) == 12
    shorter = Track.longest(sorted(tmp_path.iterdir()), 0.5)
    assert shorter is not None
    assert len(shorter.times) == 5
    assert Track.longest([tmp_path / "x.track3.npz"], 10.0) is None
    samples = scores(open_detector(models[0]), found)
    assert [s.time for s in samples] == [5.5, 5.75, 6.0, 6.25]  # four crops or more, to the last at 6.375 s
    assert all(0 < s.value < 1 for s in samples)


def test_several_detectors_get_a_card_each(tmp_path: Path, models: list[Path]) -> None:
    for name, count, level in (
        ("real/a", 12, 60),
        ("fake/a", 12, 250),
        ("real/b", 9, 90),
        ("fake/b", 2, 200),
    ):
        write_track(tmp_path / "clips" / f"{name}.track1.npz", count, level)
    assert main([*map(str, models), "--crops", str(tmp_path / "clips")]) == 0
    for model in models:
        card = json.loads(model.with_suffix(".json").read_text())
        assert card["clips"]["videos_real"] == 2
        assert card["clips"]["videos_fake"] == 1
        assert len(card["clips"]["not_scored"]) == 1
        assert card["pooled"]["pairs"] == 1
        assert 0 <= card["clips"]["video_auc"] <= 1


def test_a_missing_side_is_one_line(
    tmp_path: Path, models: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_track(tmp_path / "clips/real/a.track1.npz", 12, 60)
    assert main([str(models[0]), "--crops", str(tmp_path / "clips")]) == 1
    assert "real/ and fake/" in capsys.readouterr().err
