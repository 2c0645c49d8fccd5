"""One's own videos: who is held apart, whose fake is whose, and the whole way from a folder to a verdict."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import prepare as preparing
from models.evaluate import Choice
from models.fakes import FacePicture
from models.fakes.live_swap import live_swap
from models.landmarks import five_of, from_five
from models.mean_face import mean_face
from models.own_videos import OwnSet, beside, every_fifth, own_sets
from models.prepare_videos import BESIDE
from models.splits import is_fake, is_own, is_training, person_of
from models.watched import items_of
from tests import clips

ASSETS = Path(__file__).parent.parent / "stream" / "assets"
FRAMES, RATE = 40, 10


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def prepared_names(one: OwnSet) -> list[str]:
    return sorted(one.prepared_name(i) for i in one.items)


def test_every_fifth_video_is_held_apart_with_its_fakes(tmp_path: Path) -> None:
    reals = [f"real/v_{i}.mp4" for i in range(20)]
    fakes = [f"fake/v_{i}.mp4" for i in range(10)] + [f"fake/swap/v_{i}_x.mov" for i in range(10, 20)]
    mine = touched(tmp_path / "my__videos", *reals, *fakes, "notes/v_3.mp4", "real/fake/odd.mp4")
    (one,) = own_sets(mine)
    names = prepared_names(one)
    assert len(names) == 40
    assert all(is_own(n) and n.startswith("my_videos__") for n in names)
    apart = {n for n in names if not is_training(n)}
    reals_apart = {n.split("__")[-1] for n in apart if not is_fake(n)}
    assert len(reals_apart) == 4
    assert {"_".join(n.split("__")[-1].split("_")[:2]) for n in apart if is_fake(n)} == reals_apart
    assert prepared_names(own_sets(mine)[0]) == names, "another split for the same names"
    chosen = Choice(held_apart=True).of(items_of(mine))
    assert {i.name for i in chosen} == {i.name for i in one.held}


def test_a_folder_below_real_is_a_person(tmp_path: Path) -> None:
    people = [f"all/{who}/{k}.mp4" for who in ("anna", "ben", "cleo", "dan", "eve") for k in range(3)]
    mine = touched(tmp_path / "mine", *(f"real/{p}" for p in people), "fake/anna/s.mp4", "fake/eve/t.mp4")
    (one,) = own_sets(mine)
    who = {i.name.split("/")[2] for i in one.held if not i.fake}
    assert len(who) == 1
    assert len([i for i in one.held if not i.fake]) == 3, "one person stands on both sides"
    assert {i.name.split("/")[1] for i in one.held if i.fake} == who & {"anna", "eve"}
    assert person_of("mine__real__anna__1") == person_of("mine__held__real__anna__2") == "anna"


def test_a_fake_stands_beside_its_own_real_or_one_of_its_size(tmp_path: Path) -> None:
    mine = touched(
        tmp_path / "mine", *(f"real/{n}.mp4" for n in "abcdef"), "fake/stranger.mp4", "fake/a_b.mp4"
    )
    one = OwnSet("mine", own_sets(mine)[0].items, frozenset())
    sizes = {f"mine__real__{n}": 100.0 + 10 * i for i, n in enumerate("abcdef")}
    sizes |= {"mine__fake__stranger": 131.0, "mine__fake__a_b": 131.0}
    assert beside(one, sizes) == {"mine__fake__a_b": "mine__real__a", "mine__fake__stranger": "mine__real__d"}
    del sizes["mine__real__a"]  # no face was found in it
    assert beside(one, sizes)["mine__fake__a_b"] == "mine__real__d"


def test_a_fifth_is_never_nothing() -> None:
    assert [len(every_fifth(map(str, range(n)))) for n in (0, 1, 2, 5, 8, 40)] == [0, 0, 1, 1, 2, 8]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "neither|holds no videos"),
        (("real/a.mp4", "fake/a.mp4"), "shows 1 people .* at least 3"),
        (("fake/a.mp4", "fake/b.mp4"), "shows 0 people .* at least 3"),
        (("real/a.mp4", "real/b.mp4", "real/c.mp4", "real/c.mov"), "c twice"),
        (("real/a__b.mp4", "real/a_b.mp4", "real/c.mp4"), "rename one"),
    ],
)
def test_folders_that_cannot_be_used_are_told_in_a_line(
    tmp_path: Path, names: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = touched(tmp_path / "mine", *names)
    mine.mkdir(exist_ok=True)
    with pytest.raises((ValueError, FileNotFoundError), match=says) as error:
        preparing.prepare(mine, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_name_of_a_data_set_of_ours_is_taken(tmp_path: Path) -> None:
    taken = touched(tmp_path / "faceforensics", "real/a.mp4", "real/b.mp4", "real/c.mp4")
    with pytest.raises(ValueError, match="another name"):
        own_sets(taken)


def test_the_mean_face_is_upright_and_fits_a_portrait() -> None:
    shape = mean_face()
    eyes, chin, nose = five_of(shape)[:2].mean(0), shape[8], shape[30]
    assert eyes[1] < nose[1] < chin[1]
    known = portrait("grace_hopper.jpg", False).points
    apart = np.linalg.norm(five_of(known)[0] - five_of(known)[1])
    assert np.linalg.norm(from_five(five_of(known), shape) - known, axis=1).mean() < 0.15 * apart


def portrait(name: str, mirrored: bool) -> FacePicture:
    """A shipped portrait with its 68 points, its larger side 240 px."""
    image = cv2.imread(str(ASSETS / name))
    points = np.array(json.loads((ASSETS / "landmarks.json").read_text())[name], np.float32)
    scale = 240 / max(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image, points = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], points * np.float32(scale)
    if mirrored:
        image, points[:, 0] = image[:, ::-1], image.shape[1] - 1 - points[:, 0]
    box = np.concatenate([points.min(0), points.max(0)]).astype(np.float32)
    return FacePicture(np.ascontiguousarray(image), points, box)


def moved(image: np.ndarray) -> Iterator[np.ndarray]:
    for t in range(FRAMES):
        shift = np.array([[1, 0, 3 * np.sin(t / 4)], [0, 1, 2 * np.cos(t / 5)]])
        size = image.shape[1], image.shape[0]
        yield cv2.warpAffine(image, shift, size, borderMode=cv2.BORDER_REFLECT_101)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short videos of portraits in motion, and each with its face swapped for another."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    faces = {
        "ann": portrait("eileen_collins.jpg", False),
        "bea": portrait("grace_hopper.jpg", False),
        "col": portrait("grace_hopper.jpg", True),
    }
    for side in ("real", "fake"):
        (folder / side).mkdir(parents=True)
    for k, (name, face) in enumerate(faces.items()):
        donor = list(faces.values())[(k + 1) % 3]
        swapped = live_swap(face, donor, np.random.default_rng(k))
        x1, y1, x2, y2 = face.box.astype(int)
        swapped[y1:y2, x1:x2] = cv2.GaussianBlur(swapped[y1:y2, x1:x2], (0, 0), 5)
        for side, image in (("real", face.image), ("fake", swapped)):
            clips.write_clip(folder / side / f"{name}.mp4", moved(image), rate=RATE)
    return folder


def test_from_a_folder_to_a_verdict(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
    pytest.importorskip("onnx", reason="the [train] extra is not installed")
    from models.train import main

    prepared, run, model = tmp_path / "prepared", tmp_path / "run", tmp_path / "mine.onnx"
    monkeypatch.setattr("sys.argv", ["prepare", "--data", str(mine), "--out", str(prepared)])
    preparing.main()
    names = sorted(p.stem for p in (prepared / "videos").glob("*.npz"))
    assert len(names) == 6
    assert len([n for n in names if not is_training(n)]) == 2
    pairs = json.loads((prepared / BESIDE).read_text())
    assert {fake.split("__")[-1] for fake in pairs} == {"ann", "bea", "col"}
    assert all(fake.split("__")[-1] == real.split("__")[-1] for fake, real in pairs.items())

    torch.set_num_threads(1)
    words = ["plain_cnn", "--data", str(mine), "--prepared", str(prepared), "--out", str(run)]
    words += ["--size", "64", "--stills", "4", "--families", "live_swap", "--rate", "5e-3", "--workers", "0"]
    main([*words, "--steps", "12"])
    learnt = torch.load(run / "detector.pt", weights_only=True)
    assert learnt["training"]["data"] == ["mine"]
    assert learnt["training"]["encoder"]["steps_done"] == 12
    figures = learnt["held_apart"]
    assert figures["windows_real"] == figures["windows_fake"] >= 4

    from export.convert import convert

    assert convert(run / "detector.pt", model).crop.size == 64
    for clip in (mine / "real" / "ann.mp4", mine / "fake" / "ann.mp4"):
        scores = tmp_path / f"{clip.parent.name}.jsonl"
        command = [sys.executable, "-m", "stream.cli", "watch", str(clip), "--model", str(model), "--quiet"]
        subprocess.run([*command, "--scores", str(scores)], check=True, timeout=120)
        lines = [json.loads(line) for line in scores.read_text().splitlines()]
        values = [x["value"] for x in lines if x["type"] == "score" and x["value"] is not None]
        assert values
        assert all(0 <= v <= 1 for v in values)
