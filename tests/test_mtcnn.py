"""MTCNN in numpy and ONNX: equal to facenet-pytorch's, faster, and calm whatever picture comes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.faces import WEIGHTS, FaceDetector, pyramid_scales, shrink, square
from stream.suppression import overlap, suppress, suppress_contained

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(min_face=40)


@pytest.fixture(scope="module")
def bench():
    pytest.importorskip("torch", reason="the comparison needs the [train] extra")
    pytest.importorskip("skimage", reason="the portraits come with the [dev] extra")
    from tests import bench_mtcnn

    return bench_mtcnn


@pytest.fixture(scope="module")
def portrait(bench):
    return bench.portraits()[0]


def test_exported_networks_equal_pytorch(bench, tmp_path):
    from export.mtcnn import TOLERANCE, export_all, largest_error
    from models.mtcnn import load_mtcnn

    nets = load_mtcnn()
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [6632, 100178, 389040]
    for name, net in zip(("pnet", "rnet", "onet"), nets, strict=True):
        assert largest_error(name, net, WEIGHTS / f"mtcnn_{name}.onnx", seed=7) <= TOLERANCE
    assert max(export_all(tmp_path).values()) <= TOLERANCE
    assert len(list(tmp_path.glob("*.onnx"))) == 3


def test_a_network_that_differs_is_refused(bench, tmp_path, monkeypatch):
    import export.mtcnn

    monkeypatch.setattr(export.mtcnn, "largest_error", lambda *_: 1e-3)
    with pytest.raises(ValueError, match="differs from PyTorch"):
        export.mtcnn.export_all(tmp_path)


def test_equals_facenet_on_real_views(bench):
    parity = bench.compare(iter(bench.views()))
    assert parity.pictures >= 30
    assert parity.faces >= 30
    assert parity.miscounts == 0
    assert parity.box < 0.01
    assert parity.landmark < 0.01
    assert parity.probability < 1e-4


def test_equals_facenet_where_many_windows_are_likely(bench):
    # A lower bar lets doubtful windows through, so that ties, suppression and borders are compared too.
    theirs, ours = bench.reference(24), FaceDetector(min_face=24, thresholds=(0.3, 0.05, 0.02))
    theirs.thresholds = [0.3, 0.05, 0.02]
    image = bench.scene(500, 300, (280, 200))[:, 40:-60]
    boxes, probabilities, points = theirs.detect(np.ascontiguousarray(image[..., ::-1]), landmarks=True)
    found = ours.detect(np.ascontiguousarray(image))
    assert len(found) == len(boxes) > 2
    np.testing.assert_allclose([f.box for f in found], boxes.astype(float), atol=0.01)
    np.testing.assert_allclose([f.landmarks for f in found], points.astype(float), atol=0.01)
    np.testing.assert_allclose([f.probability for f in found], probabilities.astype(float), atol=1e-4)


def test_twice_as_fast_as_facenet(bench):
    speed = bench.race(bench.scene(1280, 720, (420, 500)), min_face=80, rounds=7)
    assert speed.ratio >= 2


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (12, 400), (400, 11), (39, 39), (240, 320)])
@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_finds_nothing_where_nothing_is(detector, shape, kind):
    image = np.zeros((*shape, 3), np.uint8)
    if kind == "white":
        image += 255
    elif kind == "noise":
        image = np.random.default_rng(1).integers(0, 256, image.shape, np.uint8)
    assert detector.detect(image) == ()


def test_face_in_a_grey_and_in_a_non_contiguous_picture(detector, portrait):
    grey = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert len(detector.detect(grey)) == 1
    plain, sliced = detector.detect(portrait[:, ::-1].copy()), detector.detect(portrait[:, ::-1])
    np.testing.assert_array_equal(plain[0].box, sliced[0].box)


def test_detecting_leaves_the_picture_alone(detector, portrait):
    image = portrait.copy()
    image.flags.writeable = False
    detector.detect(image)
    detector.refine(image, np.float32([[100, 50, 250, 250]]))
    np.testing.assert_array_equal(image, portrait)


def test_values_have_the_promised_types_and_order(detector, bench):
    faces = detector.detect(bench.scene(854, 480, (450, 250)))
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in faces]
    assert len(faces) == 2
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        assert face.box.dtype == face.landmarks.dtype == np.float32
        assert face.box.shape == (4,)
        assert face.landmarks.shape == (5, 2)
        left, right, nose, *_ = face.landmarks
        assert left[0] < nose[0] < right[0]


@pytest.mark.parametrize(
    "shift", [(0, 0, 1), (0.15, 0, 1), (0, -0.15, 1), (0.1, 0.1, 1.15), (-0.1, 0.1, 0.87)]
)
def test_refining_finds_a_face_near_by(detector, portrait, shift):
    face = detector.detect(portrait)[0]
    side = float((face.box[2:] - face.box[:2]).max())
    centre = (face.box[:2] + face.box[2:]) / 2 + np.float32(shift[:2]) * side
    half = (face.box[2:] - face.box[:2]) / 2 * shift[2]
    (refined,) = detector.refine(portrait, np.concatenate([centre - half, centre + half])[None])
    assert refined is not None
    assert np.abs(refined.landmarks - face.landmarks).max() < 0.08 * side


def test_following_a_face_at_the_border_does_not_drift(detector, portrait):
    face = detector.detect(portrait)[0]
    cut = np.ascontiguousarray(portrait[: int(face.box[3] - 0.2 * (face.box[3] - face.box[1]))])
    first = face.box
    for _ in range(40):
        (found,) = detector.refine(cut, face.box[None])
        if found is None:
            return  # giving up is no drift
        face = found
    assert overlap(face.box[None], first[None])[0, 0] > 0.5


def test_refining_finds_nothing_where_nothing_is(detector, portrait):
    inf, nan = np.inf, np.nan
    boxes = [[0, 400, 80, 480], [-900, -900, -700, -700], [5000, 0, 5100, 100], [10, 10, 10, 10]]
    boxes += [[50, 50, 20, 20], [nan] * 4, [-inf, -inf, inf, inf], [-1e9, -1e9, 1e9, 1e9]]
    assert detector.refine(portrait, np.float32(boxes)) == [None] * len(boxes)
    assert detector.refine(portrait, np.zeros((0, 4), np.float32)) == []


def test_refining_in_chunks_equals_one_by_one(detector, portrait):
    face = detector.detect(portrait)[0]
    boxes = face.box + np.random.default_rng(3).normal(0, 6, (70, 1)).astype(np.float32)
    together = detector.refine(portrait, boxes)
    for box, found in list(zip(boxes, together, strict=True))[::9]:
        (alone,) = detector.refine(portrait, box[None])
        assert (alone is None) == (found is None)
        if alone is not None and found is not None:
            np.testing.assert_allclose(alone.box, found.box, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(2, 80), st.integers(2, 80), st.integers(0, 99))
def test_shrinking_equals_torch_to_the_bit(height, width, out_height, out_width, seed):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    ours = shrink(cv2.integral(image, sdepth=cv2.CV_32S), out_height, out_width)
    planes = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    theirs = torch.nn.functional.interpolate(planes, size=(out_height, out_width), mode="area")
    np.testing.assert_array_equal(ours, theirs[0].permute(1, 2, 0).numpy())


def test_shrinking_survives_an_integral_that_overflows():
    image = np.full((3000, 4000, 3), 255, np.uint8)  # its sum is beyond int32
    sums = cv2.integral(image, sdepth=cv2.CV_32S)
    assert (shrink(sums, 30, 40) == 255).all()


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(12, 300))
def test_pyramid_reaches_from_the_smallest_face_to_the_picture(height, width, min_face):
    scales = pyramid_scales(height, width, min_face, 0.709)
    assert bool(scales) == (min(height, width) * (12 / min_face) >= 12)
    assert all(a > b for a, b in itertools.pairwise(scales))
    if scales:
        assert 12 / scales[0] == pytest.approx(min_face)
        assert min(height, width) * scales[-1] >= 12 > min(height, width) * scales[-1] * 0.709


def _boxes(count: int, seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner, sides = rng.uniform(0, spread, (count, 2)), rng.uniform(1, 60, (count, 2))
    return np.float32(np.hstack([corner, corner + sides])), np.float32(rng.choice(np.arange(50) / 50, count))


def _naive(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[i][None], boxes[j][None])[0, 0] <= threshold for j in kept):
            kept.append(int(i))
    return kept


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 10_000), st.sampled_from([5, 60, 300]), st.floats(0.05, 0.95))
def test_suppression_is_greedy_idempotent_and_leaves_no_overlap(count, seed, spread, threshold):
    boxes, scores = _boxes(count, seed, spread)
    kept = suppress(boxes, scores, threshold)
    assert kept.tolist() == _naive(boxes, scores, threshold)
    again = suppress(boxes[kept], scores[kept], threshold)
    assert again.tolist() == list(range(len(kept)))
    common = overlap(boxes[kept], boxes[kept])
    assert (common[~np.eye(len(kept), dtype=bool)] <= threshold).all()
    gone = np.setdiff1d(np.arange(count), kept)
    assert (overlap(boxes[gone], boxes[kept]) > threshold).any(axis=1).all()


def test_suppression_in_chunks_equals_the_naive_one():
    boxes, scores = _boxes(700, 5, 400)
    assert suppress(boxes, scores, 0.4).tolist() == _naive(boxes, scores, 0.4)


def test_suppression_of_the_contained():
    boxes = np.float32([[0, 0, 100, 100], [20, 20, 40, 40], [90, 90, 200, 200]])
    assert sorted(suppress_contained(boxes, np.float32([0.9, 0.8, 0.7]), 0.7).tolist()) == [0, 2]
    assert sorted(suppress_contained(boxes, np.float32([0.8, 0.9, 0.7]), 0.7).tolist()) == [1, 2]
    assert len(suppress_contained(boxes[:0], np.float32([]), 0.7)) == 0


@given(st.integers(0, 10_000))
def test_squares_keep_centre_and_longer_side(seed):
    boxes, _ = _boxes(8, seed, 300)
    squares = square(boxes)
    np.testing.assert_allclose(squares[:, :2] + squares[:, 2:], boxes[:, :2] + boxes[:, 2:], atol=1e-2)
    sides = squares[:, 2:] - squares[:, :2]
    np.testing.assert_allclose(
        sides, np.tile((boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True), 2), atol=1e-2
    )
