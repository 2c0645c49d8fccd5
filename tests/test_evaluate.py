"""The report card's command: real files through the real live path, kept, resumed, drawn."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="the portrait of the test clips is scikit-image's")

from models import watching
from models.evaluate import Choice, main, split_name
from models.still_clip import RATE, SECONDS, write_still_clip
from models.watched import Item, Sample, Watched, items_of
from models.watching import LivePath, Model, watch_all
from stream.check.checker import check_file
from stream.check.order import CheckOptions
from tests import clips

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of a portrait, two pictures of it, a picture of nothing, a text called a video."""
    out = tmp_path_factory.mktemp("data") / "mine"
    for side in ("real", "fake"):
        (out / side).mkdir(parents=True)
        clips.write_clip(
            out / side / "talk.mp4", clips.portraits(45, step=1 if side == "real" else 0), gop=15
        )
        cv2.imwrite(str(out / side / "still.png"), clips.portrait(321, 241))
    cv2.imwrite(str(out / "real" / "wall.png"), np.full((240, 320, 3), 90, np.uint8))
    (out / "fake" / "text.mp4").write_text("no video")
    return out


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("ours")
def test_the_whole_card(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the [train] extra is not installed")
    words = [str(folder), "--cache", str(tmp_path / "cache"), "--json", str(tmp_path / "card.json")]
    assert main([*words, "--plots", str(tmp_path / "plots")]) == 0
    said = capsys.readouterr()
    card = json.loads((tmp_path / "card.json").read_text())
    assert set(card) == {"mine", "pooled"}
    mine = card["mine"]
    assert (mine["videos_real"], mine["videos_fake"]) == (2, 2)
    assert set(mine["scores"]) == {"real/talk", "fake/talk", "real/still", "fake/still"}
    assert mine["scores"]["real/still"] == mine["scores"]["fake/still"]  # the same pixels, the same answer
    # And `facewitness check` says the same of each, to the last digit that is told.
    for name, score in mine["scores"].items():
        (path,) = folder.glob(f"{name}.*")
        assert check_file(path, CheckOptions()).report.fake == pytest.approx(score, abs=1e-4), name
    assert mine["pairs"] == 2
    assert set(mine["not_scored"]) == {"real/wall", "fake/text"}
    assert mine["not_scored"]["real/wall"] == "no face found"
    assert "text.mp4" in mine["not_scored"]["fake/text"]
    assert 1.0 < mine["real_hours"] * 3600 < 4.0  # the pictures do not count
    assert card["pooled"]["video_auc"] == mine["video_auc"] is not None
    sizes = mine["by_face"]["size"]
    assert sum(entry["samples_real"] + entry["samples_fake"] for entry in sizes) >= 10
    assert sum(entry["videos"] > 0 for entry in sizes) <= 2  # one portrait, about one size
    assert len(mine["model_sha256"]) == 64
    assert "| video AUC [95 %] |" in said.out
    assert "[6/6, 0 s left]" in said.err
    assert main(["--cache", str(tmp_path / "cache"), "--json", str(folder)]) == 0  # nothing but the object
    assert json.loads(capsys.readouterr().out) == card
    for name in ("roc", "calibration", "faces", "scores_mine_1"):
        picture = cv2.imread(str(tmp_path / "plots" / f"{name}.png"))
        assert picture.std() > 5  # something is drawn


@pytest.mark.usefixtures("ours")
def test_it_goes_on_where_it_was_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {item.name: item for item in items_of(folder)}
    items = named["real/talk"], named["fake/still"]
    live = LivePath(Model.find("detector"), seconds=1.0, cache=tmp_path)
    first = live.watch(items[0])
    with monkeypatch.context() as patch:
        patch.setattr(LivePath, "_run", lambda self, item: pytest.fail(f"watched {item.name} again"))
        assert live.watch(items[0]) == first
        with pytest.raises(pytest.fail.Exception, match="again"):
            live.watch(items[1])
        with pytest.raises(pytest.fail.Exception, match="again"):  # other settings, other answers
            LivePath(live.model, seconds=None, cache=tmp_path).watch(items[0])
        patch.setattr(watching, "live_digest", lambda: "another version of the live path")
        with pytest.raises(pytest.fail.Exception, match="again"):
            live.watch(items[0])
    assert len(list(tmp_path.iterdir())) == 1
    assert first.seconds == pytest.approx(1.0)


def test_progress_tells_the_time_left() -> None:
    class Instant:
        def watch(self, item: Item) -> Watched:
            return Watched(
                item,
                (Sample(0.5, 0.25),) if item.name == "a" else (),
                0,
                1.0,
                "" if item.name == "a" else "dark",
            )

    out, items = io.StringIO(), [Item(Path(n), n, False) for n in ("a", "b")]
    seen = list(watch_all(Instant(), items, out))  # type: ignore[arg-type]
    assert [w.score for w in seen] == [0.25, None]
    assert out.getvalue().splitlines() == ["[1/2, 0 s left] a: 0.250", "[2/2, 0 s left] b: dark"]


@pytest.mark.usefixtures("ours")
def test_what_cannot_be_measured(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        ([str(folder), "--model", str(tmp_path / "none.onnx")], "no model file"),
        ([str(tmp_path)], "under both real/ and fake/"),
        ([str(folder), str(folder)], "names of their own"),
        ([str(folder), "--held-apart"], "leave out --held-apart"),
        (["--real", str(tmp_path)], "no videos or pictures"),
    ):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert error.startswith("evaluate: ")
        assert says in error
        assert error.count("\n") == 1


@pytest.mark.usefixtures("ours")
def test_our_own_failure_is_no_figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LivePath(Model(folder / "gone.onnx", "0" * 64, "gone", 0.5))
    with pytest.raises(RuntimeError, match=r"ended with 30: .*gone\.onnx"):
        live.watch(items_of(folder)[0])


@pytest.mark.usefixtures("ours")
def test_false_alarms_on_a_folder_of_real_video(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--real", str(folder / "real"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["real"]
    assert (found["videos_real"], found["videos_fake"], found["video_auc"]) == (2, 0, None)
    low, high = found["false_alarms_per_hour_ci"]
    assert low <= found["false_alarms_per_hour"] < high


def test_held_apart_people(tmp_path: Path) -> None:
    c40 = tmp_path / "faceforensics" / "c40"
    for name in ("real/672", "real/183", "fake/Swap/672_720", "fake/Swap/183_253", "real/27__kitchen_pan"):
        (c40 / name).parent.mkdir(parents=True, exist_ok=True)
        (c40 / name).with_suffix(".mp4").touch()
    for above in (c40, c40.parent):
        found = {item.name.split("/")[-1] for item in Choice(held_apart=True).of(items_of(above))}
        assert found == {"672", "672_720", "27__kitchen_pan"}
    assert split_name(c40 / "real" / "672.mp4") == "faceforensics__c40__real__672"
    fewer = [item.name for item in Choice(each=2).of(items_of(c40))]
    assert fewer == ["fake/Swap/183_253", "fake/Swap/672_720", "real/183", "real/27__kitchen_pan"]
    (c40 / "fake" / "Swap" / "672_720.mp4").unlink()
    with pytest.raises(ValueError, match="no file is left"):
        Choice(held_apart=True).of(items_of(c40))


def test_a_picture_becomes_a_clip_of_its_very_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (63, 81, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    write_still_clip(tmp_path / "a.png", tmp_path / "a.mkv")
    frames = clips.read_all(tmp_path / "a.mkv")
    assert len(frames) == SECONDS * RATE
    assert all((frame == noise).all() for frame in frames)
    (tmp_path / "b.png").write_text("x")
    with pytest.raises(ValueError, match="not a picture"):
        write_still_clip(tmp_path / "b.png", tmp_path / "b.mkv")
