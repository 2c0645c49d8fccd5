"""The swapper learns, exports, and makes fakes that change the face and leave the rest alone."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models import swapper_recogniser
from models.dataset import Clip, Stills
from models.fakes import FacePicture
from models.fakes.aligned import as_image, as_input, cut, lay_back, session
from models.fakes.neural_swap import NeuralSwap, laid_in, look_of, lost_by, open_neural_swap, restore
from models.fakes.swapper import CODE, EMBEDDING, SIZE, Swapper
from models.inception_resnet_v1 import InceptionResnetV1
from models.landmarks import move
from models.swapper_faces import Faces, batch, gather, training_faces
from models.swapper_losses import Judge
from models.train_swapper import Recipe, Trainer, export_stage, run
from tests.drawn_faces import draw_face, write_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as models.train_swapper leaves it, after a few steps on drawn faces."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("swapper")
    data, prepared = write_data(base)
    out = base / "out"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:  # quantising the real one takes ten seconds
        patch.setattr(swapper_recogniser, "load_embedder", lambda _: _tiny_recogniser())
        swapper_recogniser.write_recogniser(base / "weights.pt", data, prepared, out / "recogniser.onnx")
    faces = gather(data, prepared, out / "recogniser.onnx", out / "faces.npz", held=2)
    trainer = Trainer(Recipe(steps=12, faces=8, warmup=2, average=0.5), _judge())
    run(trainer, faces, out, every=6)
    return out


def _tiny_recogniser() -> nn.Module:
    layers = (
        nn.Conv2d(3, 16, 9, 8),
        nn.ReLU(),
        nn.AvgPool2d(5),
        nn.Flatten(),
        nn.Linear(144, EMBEDDING),
    )
    return nn.Sequential(*layers).eval()


def _judge() -> Judge:
    return Judge(InceptionResnetV1())


def test_the_swapper_learns_and_writes_its_stages(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["l1"] < lines[0]["l1"]
    assert [p.name for p in sorted(folder.glob("stage_*"))] == [
        "stage_030.onnx",
        "stage_060.onnx",
        "stage_100.onnx",
    ]
    assert cv2.imread(str(folder / "preview.png")).shape == (3 * SIZE, 8 * SIZE, 3)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    faces, judge = Faces.load(folder / "faces.npz"), _judge()
    recipe = Recipe(steps=4, faces=4, warmup=1)
    through, stopped = Trainer(recipe, judge), Trainer(recipe, judge)
    losses = [through.learn(batch(faces, 4, 1, step)) for step in range(3)]
    for step in range(2):
        stopped.learn(batch(faces, 4, 1, step))
    stopped.save(tmp_path / "checkpoint.pt")
    resumed = Trainer.load(tmp_path / "checkpoint.pt", judge)
    assert resumed.step == 2
    assert resumed.learn(batch(faces, 4, 1, 2)) == pytest.approx(losses[2], rel=1e-3)


def test_the_exported_stage_equals_the_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Swapper().eval()
    export_stage(network, tmp_path / "stage_100.onnx")
    faces, looks = torch.randn(2, 3, 3, SIZE, SIZE)
    embedding = nn.functional.normalize(torch.randn(3, EMBEDDING))
    inputs = {"faces": faces.numpy(), "embedding": embedding.numpy(), "looks": looks.numpy()}
    (painted,) = session(tmp_path / "stage_100.onnx").run(None, inputs)
    with torch.no_grad():
        np.testing.assert_allclose(painted, network(faces, embedding, looks).numpy(), atol=1e-4)
        assert network.encoder(faces).shape == (3, CODE)


def test_never_the_held_people_nor_a_fake_or_held_video(tmp_path: Path) -> None:
    data, prepared = write_data(tmp_path)
    found = list(training_faces(data, prepared, held=2))
    stills, last = (
        Stills(data, prepared),
        Clip.load(prepared / "videos" / "faceforensics__c40__real__183.npz"),
    )
    of_stills = {group for group, _ in found if group < len(stills)}
    assert of_stills == set(range(10))  # Person_010 and Person_011 are held apart
    videos = [face.image for group, face in found if group >= len(stills)]
    assert len(videos) == 6  # every third frame of the one real training video
    assert all(np.array_equal(v, last.crops[0]) for v in videos)


def test_a_batch_is_seeded_and_knows_its_people(folder: Path) -> None:
    faces = Faces.load(folder / "faces.npz")
    first, again, other = batch(faces, 6, 1, 0), batch(faces, 6, 1, 0), batch(faces, 6, 1, 1)
    assert np.array_equal(first.warped, again.warped)
    assert not np.array_equal(first.targets, other.targets)
    assert first.warped.shape == first.targets.shape == (6, SIZE, SIZE, 3)
    assert not np.array_equal(first.warped, first.targets)
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, atol=1e-5)


def test_cut_and_lay_back_meet() -> None:
    face = draw_face(3)
    smooth = replace(face, image=cv2.GaussianBlur(face.image, (0, 0), 3))
    aligned, there = cut(smooth.image, smooth.points, 160)
    back = lay_back(aligned, there, smooth.image.shape[:2], cv2.INTER_LINEAR)
    inner = cv2.fillConvexPoly(
        np.zeros(smooth.image.shape[:2], np.uint8), cv2.convexHull(smooth.points[17:].astype(np.int32)), 1
    )
    gap = np.abs(back.astype(int) - smooth.image)[inner > 0]
    assert gap.mean() < 2
    np.testing.assert_array_equal(as_image(as_input(aligned[None])[0] / 1.0), aligned)


def _far(face: FacePicture) -> np.ndarray:
    """Where no mask of any part reaches: (H, W) bool."""
    hull = cv2.convexHull(np.vstack([face.points, face.points[17:27] - [0, 60]]).astype(np.int32))
    near = cv2.fillConvexPoly(np.zeros(face.image.shape[:2], np.uint8), hull, 1)
    return cv2.dilate(near, np.ones((61, 61), np.uint8)) == 0


def test_a_fake_changes_the_face_and_nothing_else(folder: Path) -> None:
    family = open_neural_swap(folder)
    face, donor = draw_face(1, 320), draw_face(2)
    before = face.image.copy()
    for seed in range(6):
        fake = family(face, donor, np.random.default_rng(seed))
        changed = np.abs(fake.astype(int) - face.image).max(2)
        x, y = np.round(face.points[30]).astype(int)  # the nose
        assert changed[y - 5 : y + 6, x - 5 : x + 6].mean() > 2
        assert _far(face).sum() > 2000
        assert changed[_far(face)].max() == 0
    assert np.array_equal(face.image, before)


def test_the_same_seed_gives_the_same_fake_in_another_process_too(folder: Path) -> None:
    family = open_neural_swap(folder)
    face, donor = draw_face(1), draw_face(2)
    first = family(face, donor, np.random.default_rng(7))
    travelled: NeuralSwap = pickle.loads(pickle.dumps(family))
    assert np.array_equal(travelled(face, donor, np.random.default_rng(7)), first)
    assert not np.array_equal(family(face, donor, np.random.default_rng(8)), first)


def test_a_look_shows_the_other_person_in_the_faces_place() -> None:
    face, donor = draw_face(1), draw_face(2)
    _, there = cut(face.image, face.points, SIZE)
    points = move(face.points, there)
    look = look_of(donor, points)
    assert look.shape == (SIZE, SIZE, 3)
    mouth, cheek = points[48:60].mean(0), points[[2, 31]].mean(0)
    for place, original in ((mouth, donor.points[48:60].mean(0)), (cheek, donor.points[[2, 31]].mean(0))):
        x, y = np.round(place).astype(int)
        u, v = np.round(original).astype(int)
        there_now = look[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1))
        np.testing.assert_allclose(there_now, donor.image[v - 3 : v + 4, u - 3 : u + 4].mean((0, 1)), atol=15)


def test_what_a_decoder_lost_completes_its_picture() -> None:
    face = draw_face(3)
    again, there = cut(face.image, face.points, SIZE)
    whole = lost_by(again, face) + lay_back(again, there, face.image.shape[:2], cv2.INTER_CUBIC)
    np.testing.assert_allclose(whole, face.image, atol=1e-3)


def test_a_face_at_the_pictures_edge_and_a_tiny_one(folder: Path) -> None:
    face, rng = draw_face(4), np.random.default_rng(0)
    shifted = FacePicture(face.image[:, 60:], face.points - np.float32([60, 0]), face.box)
    small = cv2.resize(face.image, (50, 50), interpolation=cv2.INTER_AREA)
    tiny = FacePicture(small, face.points / 4, face.box / 4)
    for odd in (shifted, tiny):
        painted, scale = restore(cut(odd.image, odd.points, SIZE)[0], rng)
        assert painted.shape == (SIZE * scale, SIZE * scale, 3)
        assert laid_in(cut(odd.image, odd.points, SIZE)[0], odd, np.float32(0), rng).shape == odd.image.shape


def test_a_folder_without_weights_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m models\.train_swapper writes"):
        open_neural_swap(tmp_path)


def test_a_resynthesis_paints_the_face_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, asked = open_neural_swap(folder), []
    face, donor = draw_face(1), draw_face(2)
    monkeypatch.setattr(
        NeuralSwap, "identity", lambda self, who: asked.append(who) or np.eye(1, 512)[0].astype("f")
    )
    for seed in range(24):
        family(face, donor, np.random.default_rng(seed))
    assert len(asked) == 24
    assert 2 <= sum(who is face for who in asked) <= 12  # a quarter of them
