"""The fast path says what the slow path says; and the comparison notices where it does not."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.card import Thresholds
from stream import agreement
from stream.agreement import by_second, compare
from stream.judge import Judge, Policy
from stream.networks import Networks, open_networks
from stream.sensitivity import NUDGES, Nudged, differences, moved
from stream.slow_path import EveryCrop, EveryFrame, Late, fast, slow
from stream.sources import demo
from stream.values import Frame, Result, Score, State, Track, TrackView

POLICY = Policy(Thresholds(0.7, 0.65, 0.82, 0.75))


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks("detector", ("CPUExecutionProvider",), 1, 60)


def test_the_demo_gets_the_same_verdicts_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real detector on the whole demo, its head at its own rate: CLEAR, then the swap, one alert."""
    report = tmp_path / "agreement.json"
    assert agreement.main(["demo", "--slow", "paced", "--json", str(report)]) == 0, capsys.readouterr().out
    found = json.loads(report.read_text())
    assert found["files"] == 1
    assert found["share"] >= agreement.WANTED
    (clip,) = found["each"]
    assert clip["seconds"] == demo.SECONDS
    assert clip["same_seconds"] / clip["seconds"] >= agreement.WANTED
    assert len(clip["fast_alerts"]) == len(clip["slow_alerts"]) == 1
    assert clip["fast_alerts"] == pytest.approx(clip["slow_alerts"], abs=0.6)


class Counting:
    """The detector, and how many crops it was given."""

    def __init__(self, networks: Networks) -> None:
        self._detector, self.card, self.crops = networks.detector, networks.detector.card, 0

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        self.crops += len(crops)
        return self._detector.encode(crops, closely)

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._detector.score(features, weights)


def test_the_slow_path_takes_the_crops_that_the_fast_one_leaves_out(networks: Networks) -> None:
    """The demo's face is CLEAR and far from any change for its first eight seconds."""
    counts = [Counting(networks), Counting(networks)]
    stairs = [
        fast(replace(networks, detector=counts[0]))(),
        slow(replace(networks, detector=counts[1]), every=False)(),
    ]
    for frame in agreement.frames_of("demo", 6):
        for stair in stairs:
            stair.step(frame)
    assert counts[1].crops >= 8 * 5
    assert counts[0].crops <= 0.7 * counts[1].crops


class Says:
    """A stair that says what it was told to say at each moment."""

    def __init__(self, state: Callable[[float], State]) -> None:
        self._state = state

    def step(self, frame: Frame) -> Result:
        return Result(frame, self._state(frame.time), (), ())


def test_seconds_that_differ_are_counted() -> None:
    frames = [Frame(np.zeros((4, 4, 3), np.uint8), i / 10, 0.0, i) for i in range(100)]
    late = compare(
        "x",
        iter(frames),
        [
            lambda: Says(lambda t: State.ALERT if t >= 5 else State.CLEAR),
            lambda: Says(lambda t: State.ALERT if t >= 7.3 else State.CLEAR),
        ],
        POLICY,
    )
    assert (late.seconds, late.same_seconds, late.same_alerts, late.same_alarms) == (10, 8, 8, 8)
    assert late.differ == {"ALERT, CLEAR": 2}
    assert "2 s ALERT, CLEAR" in agreement.row(late)
    assert late.same_frames == pytest.approx(0.77)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.floats(-1, 1))
def test_scores_that_are_not_moved_are_judged_as_they_were(values: list[float], shift: float) -> None:
    judge, still, moving = Judge(POLICY, "", "", ""), Nudged(POLICY, 0.0), Nudged(POLICY, shift)
    for i, value in enumerate(values):
        score = Score(1, i / 4, value, 16)
        state = judge.step(i / 4, [score])[0][1]
        result = seen(i / 4, state, score)
        still.step(result)
        moving.step(result)
        assert still.told[-1] == (i / 4, state)
        assert differences(result, result) == [0.0]
    rank = [State.CLEAR, State.SUSPICIOUS, State.ALERT]
    if min(values) == max(values):  # then who is moved up is never the less suspicious one
        ours, theirs = rank.index(still.told[-1][1]), rank.index(moving.told[-1][1])
        assert (theirs - ours) * shift >= 0


@given(st.floats(0, 1))
def test_a_move_of_nothing_leaves_a_score_as_it_is_to_the_last_bit(value: float) -> None:
    view = seen(0.0, State.CLEAR, Score(1, 0.0, value, 16)).tracks[0]
    assert moved(view, 0.0, 0.0).value == value
    higher = moved(view, 0.0, 0.1).value
    assert higher is not None
    assert value <= higher <= 1


def test_only_new_scores_of_one_face_are_compared() -> None:
    here, there = Score(1, 1.0, 0.5, 16), Score(1, 1.0, 0.7, 16)
    assert differences(seen(1.0, State.CLEAR, here), seen(1.0, State.CLEAR, there)) == [
        pytest.approx(-math.log(0.7 / 0.3))
    ]
    assert differences(seen(1.0, State.CLEAR, here), seen(1.0, State.CLEAR, there, left=50.0)) == []
    assert differences(seen(1.1, State.CLEAR, here), seen(1.1, State.CLEAR, there)) == []
    assert differences(seen(1.0, State.CLEAR, Score(1, 1.0, None, 2)), seen(1.0, State.CLEAR, there)) == []


def seen(time: float, state: State, score: Score, left: float = 0.0) -> Result:
    box, points = np.array([left, 0, left + 20, 20], np.float32), np.zeros((5, 2), np.float32)
    view = TrackView(Track(1, box, points, 1.0, True, True), state, score, None, ())
    return Result(Frame(np.zeros((4, 4, 3), np.uint8), time, 0.0, 0), state, (view,), ())


def test_a_path_that_begins_later_does_not_look_at_what_came_before() -> None:
    corrupt: list[bool] = []

    class Keeps(Says):
        def step(self, frame: Frame) -> Result:
            corrupt.append(frame.corrupt)
            return super().step(frame)

    late = Late(Keeps(lambda t: State.CLEAR), 2)
    for i in range(4):
        late.step(Frame(np.zeros((4, 4, 3), np.uint8), i / 10, 0.0, i))
    assert corrupt == [True, True, False, False]


def test_the_slow_path_can_be_held_to_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "itself.json"
    agreement.main(["demo", "--slow", "paced", "--itself", "--seconds", "2", "--json", str(report)])
    found = json.loads(report.read_text())
    assert found["itself"] is True
    assert found["seconds"] == 2
    assert found["each"][0]["same_frames"] < 1  # its first two frames are not looked at
    assert "later [" in capsys.readouterr().out


def test_suspicion_is_no_alert_and_uncertainty_no_suspicion() -> None:
    frames = [Frame(np.zeros((4, 4, 3), np.uint8), i / 10, 0.0, i) for i in range(100)]
    states = [State.SUSPICIOUS, State.UNCERTAIN]
    apart = compare(
        "x",
        iter(frames),
        [
            lambda: Says(lambda t: states[0] if t < 4 else states[1] if t < 7 else State.CLEAR),
            lambda: Says(lambda t: State.ALERT if t < 4 else State.CLEAR),
        ],
        POLICY,
    )
    assert (apart.seconds, apart.same_seconds, apart.same_alerts, apart.same_alarms) == (10, 3, 6, 10)


def same(name: str, agreeing: int, alerts: tuple[tuple[float, ...], ...] = ((), ())) -> agreement.Agreement:
    nudged = {f"{shift:+}": 9 for size in NUDGES for shift in (size, -size)}
    return agreement.Agreement(name, 10, agreeing, 9, 10, {}, agreeing / 10, *alerts, 4, 0.36, nudged)


def test_alerts_are_counted_by_file() -> None:
    raised = [((1.0,), (1.2,)), ((1.0, 5.0), (9.0,)), ((1.0,), ()), ((), (2.0,)), ((), ())]
    found = agreement.summary([same(str(i), 10, alerts) for i, alerts in enumerate(raised)])
    told = agreement.told(found, 0)
    assert "alerts of both paths in 2 files, of the first alone in 1, of the slow one alone in 1" in told
    assert "alert or none alike in 90.00%, suspicion or none in 100.00%" in told


def test_the_interval_is_over_files_and_the_total_says_how_sure_it_is() -> None:
    alike = agreement.summary([same(str(i), 10) for i in range(20)])
    assert (alike["share"], alike["low"], alike["high"]) == (1.0, 1.0, 1.0)
    assert "wanted 99%: reached; 2.0 CPU minutes" in agreement.told(alike, 120)
    one = agreement.summary([same("a", 9), *(same(str(i), 10) for i in range(19))])
    assert one["share"] == pytest.approx(0.995)
    assert one["low"] < 0.99 < one["high"] == 1
    assert "not with 95 % confidence" in agreement.told(one, 0)
    assert one["files_that_differ"] == 1
    worse = agreement.summary([same(str(i), 9) for i in range(4)])
    assert "not reached" in agreement.told(worse, 0)
    assert "differ by 0.300 (root mean square)" in agreement.told(worse, 0)
    assert "0.02 90.00%" in agreement.told(worse, 0)


def test_a_seconds_state_is_the_one_that_stood_longest() -> None:
    told = [(0.1, State.CLEAR), (0.5, State.ALERT), (0.9, State.ALERT), (1.0, State.CLEAR)]
    assert by_second(told) == {0: State.ALERT, 1: State.CLEAR}


def test_the_slow_looker_knows_only_what_the_whole_detector_finds(networks: Networks) -> None:
    picture = next(iter(demo.pictures(0.1)))
    (face,) = networks.faces.detect(picture)
    looker = EveryFrame(networks.faces)
    boxes = np.stack([face.box + 10, face.box + 2000])
    near, far = looker.refine(picture, boxes)
    assert near is not None
    assert np.array_equal(near.box, face.box)
    assert far is None
    assert looker.refine(np.zeros_like(picture), boxes) == [None, None]


def test_the_slow_encoder_takes_one_crop_with_both_eyes(networks: Networks) -> None:
    size = networks.detector.card.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    wanted = networks.detector.encode(crops, np.ones(2, bool))
    got = EveryCrop(networks.detector, None).encode(crops, np.zeros(2, bool))
    assert np.abs(got - wanted).max() < 1e-4
    every = EveryCrop(networks.detector, 240.0).card.window
    assert every.rate == 240
    ours = networks.detector.card.window
    assert every.min_samples / 30 == pytest.approx(ours.min_samples / ours.rate, abs=1 / 30)


def test_a_live_source_and_a_missing_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert agreement.main(["rtsp://127.0.0.1:1/x"]) == 2
    assert "live" in capsys.readouterr().err
    assert agreement.main(["/no/such/file.mp4"]) == 10


def test_folders_are_looked_through(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mkv", "notes.txt"):
        (tmp_path / name).touch()
    found = list(agreement.videos_of(["demo", str(tmp_path)]))
    assert found == ["demo", str(tmp_path / "a.mkv"), str(tmp_path / "b.mp4")]
    assert agreement.main([str(tmp_path)]) == 12  # none of them holds a video
