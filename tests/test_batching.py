"""Batches across streams: equal numbers however the calls fall together, errors to their callers, an end."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export import find_model, weights_path
from export.binding import Bound
from export.buckets import BUCKETS, WIDE, exact, fill, in_runs, padded, whole
from export.detector import Detector, open_detector
from export.session import CPU, CUDA, open_session
from stream.batching import Arrays, Batcher, BatcherClosedError
from stream.bench.clips import Clip, pictures
from stream.faces import FaceDetector
from stream.nets import Net
from stream.sharing import BatchedFaces, BatchedScorer, Shared, pays

CLOSE = 1e-5
WAIT = 20.0  # s that no test needs
FACES = FaceDetector(min_face=60)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector(find_model("detector"))


@pytest.fixture
def faces() -> FaceDetector:
    return FACES


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Pictures of several streams, two sizes among them; the last shows nobody."""
    sizes = [Clip(640, 360, 2), Clip(640, 360, 1), Clip(480, 300, 2), Clip(640, 360, 0)]
    return [next(iter(pictures(clip))) for clip in sizes]


@pytest.fixture
def made() -> Iterator[Callable[..., Batcher]]:
    """Makes batchers that are closed in the end."""
    kept: list[Batcher] = []

    def make(run: Callable[[Hashable, Arrays], Arrays], **more: object) -> Batcher:
        kept.append(Batcher(run, name="the test", **more))  # type: ignore[arg-type]
        return kept[-1]

    yield make
    for batcher in kept:
        batcher.close()


def doubled(key: Hashable, arrays: Arrays) -> Arrays:
    return tuple(2 * array for array in arrays)


@given(st.integers(0, 300), st.sampled_from([BUCKETS, WIDE]))
def test_sizes_of_runs(rows: int, buckets: tuple[int, ...]) -> None:
    assert sum(exact(rows, buckets)) == rows
    assert set(exact(rows, buckets)) <= set(buckets)
    sizes = padded(rows, buckets)
    assert set(sizes) <= set(buckets)
    assert sum(sizes[:-1]) < rows <= sum(sizes) if rows else sizes == []
    assert sum(sizes) < 2 * max(rows, 1)
    assert sum(whole(rows)) == rows


def test_padding_repeats_the_last_row_and_is_cut_off_again() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.array_equal(fill(rows, 4)[3], rows[2])
    assert fill(rows[:0], 2).shape == (2, 2)
    seen = []

    def run(part: np.ndarray) -> list[np.ndarray]:
        seen.append(len(part))
        return [part + 1, part.sum(axis=1)]

    more, sums = in_runs(run, [rows], padded)
    assert seen == [4]
    assert np.array_equal(more, rows + 1)
    assert np.array_equal(sums, rows.sum(axis=1))
    assert in_runs(run, [rows[:0]], padded)[0].shape == (0, 2)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 7), st.sampled_from("ab")), min_size=1, max_size=4),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0.0, 0.003]),
)
def test_every_caller_gets_its_own_rows(calls: list[list[tuple[int, str]]], deadline: float) -> None:
    """Whatever comes together, keys do not mix, rows do not either, and their order stays."""
    sizes: list[int] = []

    def run(key: Hashable, arrays: Arrays) -> Arrays:
        sizes.append(len(arrays[0]))
        return arrays[0] * (2 if key == "a" else 3), arrays[0][:, 0]

    batcher = Batcher(run, name="the test", deadline=deadline, most=16)
    rng = np.random.default_rng(0)
    asked = [[(key, rng.standard_normal((n, 3))) for n, key in call] for call in calls]
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda call: batcher([(k, (x,)) for k, x in call]), asked, timeout=WAIT))
    batcher.close()
    for call, answer in zip(asked, answers, strict=True):
        for (key, rows), (times, first) in zip(call, answer, strict=True):
            assert np.array_equal(times, rows * (2 if key == "a" else 3))
            assert np.array_equal(first, rows[:, 0])
    assert set(sizes) <= set(WIDE)
    assert batcher.counts["asks"] == sum(map(len, calls))


def test_what_waits_shares_a_run(made: Callable[..., Batcher]) -> None:
    """While the first run is under way others come; they are one batch."""
    go, sizes = threading.Event(), []

    def run(key: Hashable, arrays: Arrays) -> Arrays:
        sizes.append(len(arrays[0]))
        go.wait(WAIT)
        return arrays

    batcher = made(run)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(batcher, [(None, (np.zeros((1, 2)),))])
        until(lambda: len(sizes) == 1)
        others = [pool.submit(batcher, [(None, (np.full((1, 2), i),))]) for i in range(5)]
        until(lambda: len(batcher._waiting) == 5)
        go.set()
        assert [other.result(WAIT)[0][0][0, 0] for other in others] == [0, 1, 2, 3, 4]
        first.result(WAIT)
    assert sizes == [1, 8]
    assert batcher.counts["batches"] == 2


def test_a_deadline_waits_for_company_and_a_full_batch_does_not(made: Callable[..., Batcher]) -> None:
    batcher = made(doubled, deadline=0.3, most=4)
    begin = time.monotonic()
    batcher([(None, (np.zeros((1, 1)),))])
    assert 0.29 < time.monotonic() - begin < WAIT
    begin = time.monotonic()
    batcher([(None, (np.zeros((4, 1)),))])
    assert time.monotonic() - begin < 0.25


def test_an_error_reaches_only_the_caller_whose_rows_it_was(made: Callable[..., Batcher]) -> None:
    def run(key: Hashable, arrays: Arrays) -> Arrays:
        if (arrays[0] < 0).any():
            raise ValueError("below zero")
        return doubled(key, arrays)

    batcher = made(run, deadline=0.1)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(batcher, [(None, (np.full((2, 1), value),))]) for value in (1, -1, 2, 3)]
        with pytest.raises(ValueError, match="below zero"):
            calls[1].result(WAIT)
        assert [calls[i].result(WAIT)[0][0][0, 0] for i in (0, 2, 3)] == [2, 4, 6]
    assert batcher([(None, (np.ones((1, 1)),))])[0][0] == 2  # and it goes on


def test_closing_ends_those_who_wait_and_those_who_come(made: Callable[..., Batcher]) -> None:
    go, began = threading.Event(), threading.Event()

    def run(key: Hashable, arrays: Arrays) -> Arrays:
        began.set()
        go.wait(WAIT)
        return arrays

    batcher = made(run, bound=2)
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(batcher, [(None, (np.zeros((1, 1)),))])]
        assert began.wait(WAIT)
        calls += [pool.submit(batcher, [(None, (np.zeros((1, 1)),))]) for _ in range(4)]
        until(lambda: len(batcher._waiting) == 2)  # the other two stand before the door
        time.sleep(0.05)
        assert len(batcher._waiting) == 2
        batcher.close()
        for call in calls:
            with pytest.raises(BatcherClosedError):
                call.result(WAIT)
        go.set()
    with pytest.raises(BatcherClosedError):
        batcher([(None, (np.zeros((1, 1)),))])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_crops_and_windows_equal_those_of_a_stream_alone(detector: Detector) -> None:
    rng, size, width = np.random.default_rng(1), detector.card.crop.size, detector.card.features
    soft = [cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), np.uint8), (0, 0), 4) for _ in range(7)]
    asks = [np.stack(soft[i : i + n]) for i, n in ((0, 1), (1, 2), (3, 3), (6, 1))]
    looks = [np.arange(len(ask)) % 2 == i % 2 for i, ask in enumerate(asks)]
    windows = [
        rng.standard_normal((b, t, width), dtype=np.float32) for b, t in ((1, 5), (2, 5), (1, 9), (3, 5))
    ]
    weights = [rng.uniform(0.2, 1, window.shape[:2]).astype(np.float32) for window in windows]
    batched = BatchedScorer(detector, deadline=0.05)
    try:
        with ThreadPoolExecutor(8) as pool:
            features = [pool.submit(batched.encode, *pair) for pair in zip(asks, looks, strict=True)]
            scores = [pool.submit(batched.score, *pair) for pair in zip(windows, weights, strict=True)]
            for crops, look, got in zip(asks, looks, features, strict=True):
                wanted = detector.encode(crops, look)
                assert np.abs(got.result(WAIT) - wanted).max() <= CLOSE * max(
                    1.0, float(np.abs(wanted).max())
                )
            for window, weight, score in zip(windows, weights, scores, strict=True):
                assert np.abs(score.result(WAIT) - detector.score(window, weight)).max() <= CLOSE
        assert batched.batchers["encode"].counts["asks"] > batched.batchers["encode"].counts["batches"]
        assert batched.encode(asks[0][:0]).shape == (0, width)
        with pytest.raises(ValueError, match="crops"):
            batched.encode(asks[0][:, 1:])
        with pytest.raises(ValueError, match="fit together"):
            batched.score(windows[0], weights[1])
    finally:
        batched.close()


def test_faces_equal_those_of_a_stream_alone(faces: FaceDetector, scenes: list[np.ndarray]) -> None:
    """PNet by equal shapes, RNet and ONet over the candidates of all pictures."""
    wanted = [faces.detect(scene) for scene in scenes]
    assert [len(found) for found in wanted] == [2, 1, 2, 0]
    batched = BatchedFaces(faces, deadline=0.02)
    try:
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(batched.detector.detect, scenes * 3, timeout=WAIT))
            boxes = [np.array([face.box + 3 for face in each], np.float32).reshape(-1, 4) for each in wanted]
            refined = list(pool.map(batched.detector.refine, scenes, boxes, timeout=WAIT))
        for got, want in zip(found, wanted * 3, strict=True):
            same_faces(got, want)
        for scene, box, got in zip(scenes, boxes, refined, strict=True):
            same_faces(got, faces.refine(scene, box))
        for name in ("pnet", "rnet", "onet"):
            counts = batched.batchers[name].counts
            assert counts["batches"] < counts["asks"], name
    finally:
        batched.close()


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=2, max_size=6),
    st.sampled_from([0.0, 0.004]),
    st.integers(0, 99),
)
def test_real_networks_say_the_same_however_calls_fall_together(
    calls: list[list[int]], deadline: float, seed: int
) -> None:
    nets: dict[str, Net] = {}
    FACES.through(lambda name, net: nets.setdefault(name, net))
    batched: dict[str, Net] = {}
    joined = BatchedFaces(FACES, deadline)
    joined.detector.through(lambda name, net: batched.setdefault(name, net))
    rng = np.random.default_rng(seed)
    asked = [[rng.uniform(-1, 1, (n, 3, 48, 48)).astype(np.float32) for n in call] for call in calls]
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            answers = list(pool.map(batched["onet"], asked, timeout=WAIT))
        for call, answer in zip(asked, answers, strict=True):
            for got, wanted in zip(answer, nets["onet"](call), strict=True):
                assert all(np.abs(a - b).max(initial=0) <= CLOSE for a, b in zip(got, wanted, strict=True))
    finally:
        joined.close()


def same_faces(got: object, wanted: object) -> None:
    assert len(got) == len(wanted)  # type: ignore[arg-type]
    for a, b in zip(got, wanted, strict=True):  # type: ignore[call-overload]
        if b is None:
            assert a is None
            continue
        assert np.abs(a.box - b.box).max() < 1e-3  # px; the networks' outputs are in parts of a box
        assert np.abs(a.landmarks - b.landmarks).max() < 1e-3
        assert abs(a.probability - b.probability) <= CLOSE


def test_on_a_cpu_nothing_stands_between(detector: Detector, faces: FaceDetector) -> None:
    assert not pays([CPU])
    assert pays([CUDA, CPU])
    shared = Shared(detector, faces, batched=False)
    assert shared.detector is detector
    assert shared.faces is faces
    assert shared.counts() == {}
    shared.warm_up([(64, 64)])
    shared.close()


def test_on_an_accelerator_all_is_batched_and_every_size_met(detector: Detector, faces: FaceDetector) -> None:
    """The networks run on the CPU here; only what stands before them is the accelerator's."""
    small = FaceDetector(min_face=60)
    shared = Shared(Tiny(detector), small, batched=True)
    try:
        shared.warm_up([(90, 120)])
        counts = shared.counts()
        assert set(counts) == {"encode", "head", "pnet", "rnet", "onet"}
        assert counts["rnet"]["rows"] == sum(WIDE)
        assert counts["encode"]["rows"] == 2 * sum(WIDE)
        assert counts["pnet"]["asks"] == len(WIDE) * 2
    finally:
        shared.close()


class Tiny:
    """A detector whose networks cost nothing."""

    def __init__(self, detector: Detector) -> None:
        self.card = detector.card

    def encode(self, crops: np.ndarray, closely: np.ndarray | None = None) -> np.ndarray:
        return np.zeros((len(crops), self.card.features), np.float32)

    def score(self, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.zeros(len(features), np.float32)


def test_bound_runs_equal_plain_ones() -> None:
    session = open_session(weights_path("mtcnn_onet"))
    bound, rng = Bound(session, "cpu"), np.random.default_rng(0)
    for n in (1, 4, 1, 4):
        feed = {"image": rng.uniform(-1, 1, (n, 3, 48, 48)).astype(np.float32)}
        for got, wanted in zip(bound(feed), session.run(None, feed), strict=True):
            assert np.array_equal(got, wanted)
    assert len(bound._buffers) == 2


def test_bound_runs_take_the_second_eyes_switch(detector: Detector) -> None:
    session = open_session(find_model("detector"))
    size, bound = detector.card.crop.size, Bound(session, "cpu")
    crops = np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)
    for look in (True, False):
        feed = {"crops": crops, "closely": np.array(look)}
        assert np.array_equal(bound(feed)[0], session.run(None, feed)[0])
