"""Class-activation maps: exact, taken away with the judge they explain, and pointing at what was changed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
onnx = pytest.importorskip("onnx", reason="the [train] extra is not installed")

from export import find_model  # noqa: E402
from export.card import CARD_KEY, Card, MapScale, Still, Thresholds  # noqa: E402
from export.convert import convert  # noqa: E402
from export.detector import open_detector  # noqa: E402
from export.errors import ModelError  # noqa: E402
from export.explain import blurred, hide, moments, occlusion, scale_of, still_logits, unusual  # noqa: E402
from export.faithfulness import curves, figures  # noqa: E402
from export.join import part, save  # noqa: E402
from export.maps import add_map  # noqa: E402
from export.pointing import changed, hits, play  # noqa: E402
from export.still import write as write_still  # noqa: E402
from models.crop import CropSpec, crop_face  # noqa: E402
from models.efficientnet_lite import FaceEncoder  # noqa: E402
from models.fakes.face import FacePicture  # noqa: E402
from models.fakes.regions import mouth  # noqa: E402
from models.plain_cnn import PlainCnn  # noqa: E402
from models.temporal_head import TemporalHead  # noqa: E402

SIZE, WIDTH = 64, 12
ASSETS = Path(__file__).parent.parent / "stream/assets"
LIMITS = Thresholds(0.5, 0.4, 0.8, 0.7)


@pytest.fixture(scope="module")
def shipped():
    return open_detector(find_model("detector"))


def exported(folder: Path, encoder: torch.nn.Module, network: str, width: int = WIDTH) -> Path:
    """An untrained detector of one eye."""
    state = {
        "network": network,
        "temporal": "gated",
        "encoder": encoder.state_dict(),
        "head": TemporalHead(width).state_dict(),
        "features": width,
        "spec": asdict(CropSpec(SIZE, 1.3)),
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "version": "0.0.1",
        "temperature": 1.0,
        "bias": 0.0,
        "thresholds": dict.fromkeys(("suspicious_on", "suspicious_off", "alert_on", "alert_off"), 0.5),
        "training": {},
        "held_apart": {},
    }
    torch.save(state, folder / "detector.pt")
    convert(folder / "detector.pt", folder / "detector.onnx")
    return folder / "detector.onnx"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a judge of single pictures and maps."""
    torch.manual_seed(0)
    path = exported(tmp_path_factory.mktemp("maps"), FaceEncoder(WIDTH), "efficientnet_lite0")
    weights = tuple(float(w) for w in np.random.default_rng(1).standard_normal(WIDTH))
    write_still(path, path, Still(weights, 0.3, LIMITS), {})
    model, card = onnx.load(path), open_detector(path).card
    add_map(model, card)
    zeros, ones = (((value,) * 2,) * 2 for value in (0.0, 1.0))
    save(model, replace(card, map=MapScale(zeros, ones, 10)), path)
    return path


def noise(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_the_mean_of_a_map_is_the_logit_of_the_judge(mapped, shipped):
    for detector, size in ((open_detector(mapped), SIZE), (shipped, shipped.card.crop.size)):
        crops = noise(3, size)
        features, maps = detector.encode_with_map(crops, np.zeros(3, bool))
        assert maps.shape == (3, *detector.grid)
        p = detector.score_still(features).astype(np.float64)
        np.testing.assert_allclose(maps.mean((1, 2)), np.log(p / (1 - p)), atol=2e-3)
        np.testing.assert_array_equal(features, detector.encode(crops, np.zeros(3, bool)))


def test_maps_come_with_either_eye_in_the_order_of_the_crops(shipped):
    crops = noise(4, shipped.card.crop.size)
    one = [shipped.encode_with_map(crop[None], np.zeros(1, bool))[1][0] for crop in crops]
    mixed = shipped.encode_with_map(crops, np.array([True, False, True, False]))[1]
    np.testing.assert_allclose(mixed, np.stack(one), atol=1e-3)


def test_the_card_keeps_what_is_usual(mapped, shipped):
    card = open_detector(mapped).card
    assert Card.from_json(card.to_json()) == card
    assert np.shape(shipped.card.map.mean) == shipped.grid
    usual = np.array(shipped.card.map.mean, np.float32)
    np.testing.assert_allclose(unusual(usual[None], shipped.card.map), 0, atol=1e-5)
    above = usual + 2 * np.array(shipped.card.map.spread, np.float32)
    np.testing.assert_allclose(unusual(above, shipped.card.map), 2, atol=1e-4)


def test_a_new_judge_takes_the_old_ones_map_away(mapped, tmp_path):
    out = tmp_path / "again.onnx"
    write_still(mapped, out, Still((0.0,) * WIDTH, 0.0, LIMITS), {})
    detector = open_detector(out)
    assert detector.grid is None
    assert detector.card.map is None
    with pytest.raises(ModelError, match=r"gives no maps: python -m export\.maps"):
        detector.encode_with_map(noise(1, SIZE))
    with pytest.raises(ModelError, match="gives no maps"):
        scale_of(detector)


def test_the_eyes_come_apart_without_the_map(mapped):
    (eye,) = part(onnx.load(mapped))
    model = onnx.load_from_string(eye)
    assert [output.name for output in model.graph.output] == ["features"]
    assert not [node.name for node in model.graph.node if node.name.startswith("map/")]


def test_what_cannot_have_a_map_says_why(tmp_path):
    blind = exported(tmp_path, FaceEncoder(WIDTH), "efficientnet_lite0")
    with pytest.raises(ModelError, match="no judge of single pictures"):
        add_map(onnx.load(blind), open_detector(blind).card)
    other = exported(tmp_path, PlainCnn(WIDTH), "plain_cnn")
    card = replace(open_detector(other).card, still=Still((1.0,) * WIDTH, 0.0, LIMITS))
    with pytest.raises(ModelError, match="its end is not known"):
        add_map(onnx.load(other), card)


def test_a_card_with_a_map_but_no_output_is_not_believed(mapped, tmp_path):
    model = onnx.load_from_string(part(onnx.load(mapped))[0])
    properties = {p.key: p.value for p in onnx.load(mapped).metadata_props}
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, tmp_path / "liar.onnx")
    assert CARD_KEY in properties
    with pytest.raises(ModelError, match="gives no maps"):
        scale_of(open_detector(tmp_path / "liar.onnx"))


def test_hiding_all_is_the_other_picture_and_hiding_nothing_none():
    crop = noise(1, 96)[0]
    nothing, everything = np.zeros((6, 6), bool), np.ones((6, 6), bool)
    np.testing.assert_array_equal(hide(crop, nothing, blurred(crop)), crop)
    np.testing.assert_array_equal(hide(crop, everything, blurred(crop)), blurred(crop))
    corner = nothing.copy()
    corner[0, 0] = True
    moved = np.abs(hide(crop, corner, blurred(crop)).astype(int) - crop).max(-1) > 0
    assert moved[:14, :14].mean() > 0.9
    assert not moved[24:, 24:].any()


def test_occlusion_is_what_the_score_loses(shipped):
    face = face_of("eileen_collins.jpg")
    crop = crop_face(face.image, face.box, shipped.card.crop)
    heat = occlusion(shipped, crop, (2, 2))
    cell = np.array([[False, True], [False, False]])
    pair = still_logits(shipped, np.stack([crop, hide(crop, cell, blurred(crop))]))
    assert heat.shape == (2, 2)
    assert heat[0, 1] == pytest.approx(pair[0] - pair[1], abs=1e-4)


def test_moments_are_told_apart_by_leaving_each_out():
    def score(windows, weights):  # the mean of the first feature, as a probability
        logit = (windows[..., 0] * weights).sum(1) / weights.sum(1)
        return (1 / (1 + np.exp(-logit))).astype(np.float32)

    features = np.zeros((5, 3), np.float32)
    features[3, 0] = 5
    found = moments(score, features, np.ones(5, np.float32))
    assert found.argmax() == 3
    assert found[3] == pytest.approx(1.0, abs=1e-3)  # 5 / 5 with it, 0 without
    np.testing.assert_allclose(found[[0, 1, 2, 4]], 1 - 5 / 4, atol=1e-3)
    assert moments(score, features[:1], np.ones(1, np.float32)).tolist() == [0]


def test_deletion_and_insertion_meet_at_their_ends(shipped):
    face = face_of("grace_hopper.jpg")
    crop = crop_face(face.image, face.box, shipped.card.crop)
    deletion, insertion = curves(shipped, crop, np.arange(36.0).reshape(6, 6))
    whole = 1 / (1 + np.exp(-still_logits(shipped, crop[None])[0]))
    assert deletion[0] == pytest.approx(whole, abs=1e-5)
    assert insertion[-1] == pytest.approx(whole, abs=1e-5)
    good, bad = np.full((4, 13), 0.2), np.full((4, 13), 0.6)
    told = figures({"class-activation map": (good, bad), "random": (bad, good)})
    assert told["random"]["map_ahead_in_deletion"] == pytest.approx([0.4] * 3)
    assert told["random"]["map_ahead_in_insertion"] == pytest.approx([0.4] * 3)


def test_a_hit_is_the_highest_place_within_what_changed():
    real = np.zeros((60, 60, 3), np.uint8)
    fake = real.copy()
    fake[40:60, 20:40] = 200
    where = changed(real, fake, (6, 6))
    assert where[4:, 2:4].all()
    assert not where[:3].any()
    heat = np.zeros((2, 6, 6), np.float32)
    heat[0, 5, 3] = heat[1, 0, 0] = 1
    assert hits(heat, np.stack([where, where])).tolist() == [True, False]


def face_of(name: str) -> FacePicture:
    points = np.array(json.loads((ASSETS / "landmarks.json").read_text())[name], np.float32)
    low, high = points.min(0), points.max(0)
    low[1] -= 0.25 * (high[1] - low[1])  # the landmarks end at the brows, a detector's box at the forehead
    return FacePicture(cv2.imread(str(ASSETS / name)), points, np.concatenate([low, high]).astype(np.float32))


def test_the_map_of_a_changed_mouth_points_at_the_mouth(shipped):
    people = [face_of(name) for name in ("eileen_collins.jpg", "grace_hopper.jpg")]
    real, fake, where = [], [], []
    for seed in range(200):
        face, donor = people[seed % 2], people[1 - seed % 2]
        changed_face = face.with_image(mouth(face, donor, np.random.default_rng(seed)))
        pair = [crop_face(each.image, each.box, shipped.card.crop) for each in (face, changed_face)]
        real.append(pair[0])
        fake.append(pair[1])
        where.append(changed(*pair, shipped.grid))
    told = play(shipped, np.stack(real), np.stack(fake), np.stack(where))
    # Draws by chance would hit so often once in a thousand runs.
    by_chance = told["chance"] + 3 * np.sqrt(told["chance"] * (1 - told["chance"]) / told["faces"])
    assert told["hit"] > by_chance, told
    assert told["hit_on_the_real_face"] < told["hit"], told
