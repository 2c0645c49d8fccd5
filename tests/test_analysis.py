"""The stair with a counting detector and a scripted tracker: what is computed, how often, and what is not."""

import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from export.card import Card, Likeness, SecondEye, Thresholds, WindowSpec
from models.crop import CropSpec
from stream.analysis import Analysis
from stream.aside import Aside as Threads
from stream.governor import Rules
from stream.identity.match import Person
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.values import Frame, Phase, State, Track

LIMITS = Thresholds(0.5, 0.4, 0.8, 0.6)
CARD = Card("net", "1", CropSpec(64, 1.3), WindowSpec(2.0, 8.0, 0.25, 4), 4, 1.0, 0.0, LIMITS)
rng = np.random.default_rng(0)
SHARP = rng.integers(0, 255, (480, 640, 3), np.uint8)


class CountingDetector:
    """Counts what it is asked to do and answers what the test says: no network is needed here."""

    def __init__(self, card=CARD):
        self.card, self.looks = card, []
        self.crops, self.batches, self.windows = 0, [], []
        self.answer = 0.1

    def encode(self, crops, closely=None):
        self.looks.append(closely.tolist())
        assert crops.dtype == np.uint8
        assert crops.shape[1:] == (64, 64, 3)
        self.crops += len(crops)
        self.batches.append(len(crops))
        return np.zeros((len(crops), 4), np.float32)

    def score(self, features, weights):
        assert features.shape[:2] == weights.shape
        self.windows.append(features.shape)
        return np.full(len(features), self.answer, np.float32)


def face(track: int, x: float = 100, size: float = 120, confirmed: bool = True, seen: bool = True) -> Track:
    box = np.float32([x, 100, x + size, 100 + size])
    eyes = np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Track(track, box, box[:2] + eyes * size, 0.99, confirmed, seen)


class Aside:
    """Does what it is given at the end of the frame, or never."""

    def __init__(self, quick):
        self.quick, self.tasks, self.taken = quick, [], 0

    def submit(self, task):
        self.tasks.append((Future(), task))
        return self.tasks[-1][0]

    def work(self):
        for future, task in self.tasks:
            future.set_result(task())
            self.taken += 1
        self.tasks = []


class Scripted:
    last_look = "refine"

    def __init__(self, tracks):
        self.tracks = tracks

    def update(self, frame):
        return tuple(self.tracks(frame)) if callable(self.tracks) else tuple(self.tracks)


def run(
    tracks, seconds=4.0, fps=30, corrupt=lambda i: False, answer=lambda t: 0.1, card=CARD, thorough=False
):
    detector, meter, judge = CountingDetector(card), Meter(), Judge(Policy(LIMITS), "cam", "net 1", "x")
    analysis = Analysis(detector, Scripted(tracks), judge, meter, thorough=thorough)
    results = []
    for i in range(int(seconds * fps)):
        detector.answer = answer(i / fps)
        results.append(analysis.step(Frame(SHARP, i / fps, 0.0, i, corrupt(i))))
    return detector, meter, results, analysis


def test_the_encoder_runs_once_a_sampled_crop_whatever_the_window():
    detector, meter, _, _ = run([face(1)], answer=lambda t: 0.45)
    assert detector.crops == pytest.approx(4.0 * 8, abs=1)
    assert meter.counts["scored"] == detector.crops


def test_two_tracks_of_a_frame_share_a_batch_and_a_head_run():
    detector, _, results, _ = run([face(1), face(2, x=400)])
    assert set(detector.batches) == {2}
    assert all(shape[0] == 2 for shape in detector.windows)
    assert {view.track.id for view in results[-1].tracks} == {1, 2}


def test_the_second_eye_looks_at_each_fourth_crop_of_a_track():
    late = lambda frame: [face(1)] if frame.time < 0.5 else [face(1), face(2, x=400)]  # noqa: E731
    undecided, eyes = lambda t: 0.45, replace(CARD, second=SecondEye("identity", 2, 4))
    detector, _, _, _ = run(late, answer=undecided, card=eyes)
    alone, together = [x for x in detector.looks if len(x) == 1], [x for x in detector.looks if len(x) == 2]
    assert [look for looks in alone for look in looks] == [True, False, False, False]
    assert [b for _, b in together[:5]] == [True, False, False, False, True]  # its own first, and each fourth
    assert [a for a, _ in together[:6]] == [False, True, False, False, False, True]  # never both at once
    detector, _, _, _ = run([face(1)])
    assert not any(look for looks in detector.looks for look in looks)


def crops_of(answer, thrift=1, expected=None, fps=30, thorough=False):
    """When a face was cut out, s, and whether the second eye looked then. answer: (s) -> probability."""
    detector = CountingDetector(replace(CARD, second=SecondEye("identity", 2, 4)))
    judge = Judge(Policy(LIMITS), "cam", "net 1", "x")
    analysis = Analysis(detector, Scripted([face(1)]), judge, Meter(), expected, thorough=thorough)
    analysis.thrift = thrift
    times = []
    for i in range(4 * fps):
        detector.answer, before = answer(i / fps), detector.crops
        analysis.step(Frame(SHARP, i / fps, 0.0, i))
        times += [i / fps] * (detector.crops - before)
    return times, [look for (look,) in detector.looks]


def looks_at(*how, **options):
    """The numbers of the crops that the second eye looks at; those that are left out count too."""
    times, looks = crops_of(*how, **options)
    return [round(time * 8) for time, look in zip(times, looks, strict=True) if look]


@pytest.mark.parametrize(("first", "then"), [(0.05, 0.05), (0.37, 0.37), (0.95, 0.72), (0.95, 0.95)])
def test_the_second_eye_looks_half_as_often_where_the_verdict_is_settled(first, then):
    assert np.diff(looks_at(lambda t: first if t < 1 else then)[-3:]).tolist() == [8, 8]


@pytest.mark.parametrize(("first", "then"), [(0.1, 0.39), (0.1, 0.49), (0.6, 0.6), (0.6, 0.79), (0.95, 0.7)])
def test_it_looks_as_often_as_ever_where_the_verdict_may_change(first, then):
    assert np.diff(looks_at(lambda t: first if t < 1 else then)[-3:]).tolist() == [4, 4]


def test_the_look_that_was_spared_comes_once_the_verdict_is_not_settled_any_more():
    assert looks_at(lambda t: 0.1) == [0, 4, 12, 20, 28]
    assert looks_at(lambda t: 0.1 if t < 2.2 else 0.45) == [0, 4, 12, 19, 23, 27, 31]


def test_who_is_expected_is_looked_at_as_often_as_ever():
    anna = Person("anna", np.ones(2, np.float32))
    assert looks_at(lambda t: 0.1, expected=anna) == [0, 4, 8, 12, 16, 20, 24, 28]


def test_a_full_machine_spares_the_second_eye_but_not_where_there_is_suspicion():
    assert looks_at(lambda t: 0.45, thrift=2) == looks_at(lambda t: 0.1, thrift=2) == [0, 8, 16, 24]
    assert looks_at(lambda t: 0.6, thrift=2) == [0, 8, 12, 16, 20, 24, 28]


@pytest.mark.parametrize(
    ("answer", "thrift"), [(0.05, 1), (0.26, 1), (0.81, 1), (0.95, 1), (0.05, 2), (0.37, 2), (0.72, 2)]
)
def test_every_other_crop_is_taken_where_the_verdict_is_far_from_changing(answer, thrift):
    first = 0.95 if answer > 0.5 else answer  # to be an ALERT
    answers = lambda t: first if t < 2 else answer  # noqa: E731
    late = [t for t in crops_of(answers, thrift)[0] if t > 2]
    assert np.diff(late) == pytest.approx(0.25, abs=0.04)
    every = [t for t in crops_of(answers, thrift, thorough=True)[0] if t > 2]
    assert np.diff(every) == pytest.approx(0.125, abs=0.04)


NEAR = [(0.1, 0.49), (0.6, 0.6), (0.6, 0.79)]


@pytest.mark.parametrize(
    ("first", "then", "thrift"),
    [(*each, thrift) for each in NEAR for thrift in (1, 2)]
    + [(0.1, 0.28, 1), (0.95, 0.79, 1), (0.1, 0.39, 2), (0.95, 0.7, 2)],
)
def test_every_crop_is_taken_where_the_verdict_may_change(first, then, thrift):
    late = [t for t in crops_of(lambda t: first if t < 1 else then, thrift)[0] if t > 2]
    assert np.diff(late) == pytest.approx(0.125, abs=0.04)


def test_a_crop_is_only_left_out_where_the_last_one_was_taken():
    assert crops_of(lambda t: 0.1, fps=4)[0] == crops_of(lambda t: 0.45, fps=4)[0]
    seen_again = lambda frame: [face(1, seen=not 2 < frame.time < 2.3)]  # noqa: E731
    detector, _, _, _ = run(seen_again)
    assert detector.crops == pytest.approx(0.9 * 8 + (3.1 - 0.3) * 4, abs=2)


@pytest.mark.parametrize(
    ("first", "then", "risky"),
    [
        (0.1, 0.1, False),
        (0.6, 0.6, True),
        (0.1, 0.49, False),
        (0.95, 0.95, False),
        (0.95, 0.7, True),
        (0.95, 0.1, False),
    ],
)
def test_a_stream_is_risky_under_suspicion_and_while_an_alert_is_in_doubt(first, then, risky):
    _, _, _, analysis = run([face(1), face(2, x=400)], answer=lambda t: first if t < 1.5 else then)
    assert analysis.risky is risky


class Mixing(CountingDetector):
    """Says what share of a window was cut out after the swap."""

    swapped = False

    def encode(self, crops, closely=None):
        return super().encode(crops, closely) + self.swapped

    def score(self, features, weights):
        super().score(features, weights)
        return np.float32(0.05 + 0.9 * features.mean(axis=(1, 2)))


@pytest.mark.parametrize("swap", [3.0, 3.06, 3.13, 3.2])
def test_an_alert_comes_as_soon_as_with_every_crop(swap):
    opened = []
    for thorough in (True, False):
        detector, judge = Mixing(), Judge(Policy(LIMITS), "cam", "net 1", "x")
        analysis = Analysis(detector, Scripted([face(1)]), judge, Meter(), thorough=thorough)
        for i in range(200):
            detector.swapped = i / 30 >= swap
            if analysis.step(Frame(SHARP, i / 30, 0.0, i)).alerts:
                opened.append(i / 30)
                break
    assert opened[1] - opened[0] <= 0.26  # one score


def test_whose_face_it_is_is_told_as_well_where_the_eye_looks_rarely():
    knows = replace(
        CARD, second=SecondEye("identity", 2, 4), likeness=Likeness(2, 2, 10.0, -5.0, 0.5, 0.2, 0.3)
    )
    eyes, judge = Eyes(), Judge(Policy(LIMITS), "cam", "net 1", "x")
    eyes.card = knows
    analysis = Analysis(eyes, Scripted([face(1)]), judge, Meter())
    told = [analysis.step(Frame(SHARP, i / 30, 0.0, i)).tracks[0].likeness for i in range(300)]
    since = next(i for i, likeness in enumerate(told) if likeness is not None)
    assert since / 30 < 1.5  # two looks and a score
    assert all(likeness is not None and not likeness.drifted for likeness in told[since:])


class Eyes(CountingDetector):
    """Tells of each crop by its number, and of the second eye's look that it took one."""

    def __init__(self) -> None:
        super().__init__(replace(CARD, second=SecondEye("identity", 2, 4)))
        self.seen: list[list[float]] = []

    def encode(self, crops, closely=None):
        super().encode(crops, closely)
        return np.array([[1, 1, look, look] for look in closely], np.float32)

    def score(self, features, weights):
        self.seen.append(features[0, :, 2].tolist())
        return super().score(features, weights)


def looks_of_windows(aside, thrift=1):
    """What the head was shown of the second eye's looks, window by window; no verdict is settled."""
    eyes = Eyes()
    eyes.answer = 0.45
    judge = Judge(Policy(LIMITS), "cam", "net 1", "x")
    analysis = Analysis(eyes, Scripted([face(1)]), judge, Meter(), aside=aside)
    analysis.thrift = thrift
    for i in range(120):
        analysis.step(Frame(SHARP, i / 30, 0.0, i))
        if aside is not None and aside.quick:
            aside.work()
    return eyes


def test_looks_that_are_taken_beside_the_pump_come_into_the_windows_all_the_same():
    at_once, aside = looks_of_windows(None), Aside(quick=True)
    late = looks_of_windows(aside)
    assert [window[:-1] for window in late.seen] == [window[:-1] for window in at_once.seen]  # a frame later
    assert aside.taken == len([x for looks in at_once.looks for x in looks if x]) > 4
    assert not any(x for looks in late.looks if len(looks) > 1 for x in looks)


def test_no_frame_waits_for_a_look_that_takes_long():
    gate, eyes, aside = threading.Event(), Eyes(), Threads(1)
    encode = eyes.encode
    eyes.encode = lambda crops, closely: (gate.wait(60) if closely.any() else None, encode(crops, closely))[1]
    judge = Judge(Policy(LIMITS), "cam", "net 1", "x")
    analysis = Analysis(eyes, Scripted([face(1)]), judge, Meter(), aside=aside)
    begin = time.monotonic()
    for i in range(12):
        analysis.step(Frame(SHARP, i / 30, 0.0, i))
    assert time.monotonic() - begin < 30
    assert eyes.crops == 3  # of the frames; the look's own is still under way
    gate.set()
    aside.close()


@pytest.mark.parametrize(("thrift", "wanted"), [(1, [4, 12, 20, 28]), (2, [4, 16, 28])])
def test_where_nobody_takes_them_each_second_look_is_the_pumps_own(thrift, wanted):
    eyes = looks_of_windows(Aside(quick=False), thrift)
    assert [crop for crop, looks in enumerate(eyes.looks) if looks[0]] == wanted
    assert any(eyes.seen[-1])


def test_at_the_governors_least_rate_an_alert_still_opens_within_two_seconds():
    _, _, results, _ = run([face(1)], fps=Rules().least, answer=lambda t: 0.95)
    assert next(r.frame.time for r in results if r.alerts) <= 2


def test_windows_hold_two_seconds_and_no_more():
    detector, _, _, _ = run([face(1)], seconds=10, answer=lambda t: 0.45)
    assert max(shape[1] for shape in detector.windows) in (16, 17)


def test_a_verdict_comes_within_a_second_and_is_uncertain_before():
    _, _, results, _ = run([face(1)])
    assert results[0].state is State.UNCERTAIN
    assert results[0].tracks[0].score.reason == "too few samples"
    first = next(r.frame.time for r in results if r.state is State.CLEAR)
    assert first <= 1.0


def test_a_face_that_is_seen_poorly_for_long_gets_no_verdict():
    detector, _, results, _ = run([face(1, size=44)], answer=lambda t: 0.95)
    assert detector.crops > 16
    assert not detector.windows
    assert results[-1].state is State.UNCERTAIN
    assert results[-1].tracks[0].score.reason == "seen poorly"
    assert not any(r.alerts for r in results)
    assert run([face(1, size=50)], answer=lambda t: 0.95)[2][-1].state is State.ALERT  # weighs 0.25


@pytest.mark.parametrize(("size", "least", "most"), [(46, 64, 65), (54, 64, 65), (65, 42, 48), (80, 32, 37)])
def test_the_better_a_face_is_seen_the_more_crops_are_left_out(size, least, most):
    detector, _, results, _ = run([face(1, size=size)], seconds=8, answer=lambda t: 0.95)
    assert least <= detector.crops <= most
    first = next(i for i, result in enumerate(results) if result.state is State.ALERT)
    assert all(result.state is State.ALERT for result in results[first:])


def test_a_face_that_went_before_it_was_judged_does_not_speak_for_the_stream():
    def tracks(gone):
        return lambda frame: [face(1), face(2, x=400, seen=frame.time < gone)]

    _, _, results, _ = run(tracks(0.3), seconds=2)
    assert [view.state for view in results[-1].tracks] == [State.CLEAR, State.UNCERTAIN]
    assert results[-1].state is State.CLEAR
    assert run(tracks(9), seconds=0.4)[2][-1].state is State.UNCERTAIN
    _, _, results, _ = run([face(2, seen=False)], seconds=1)
    assert results[-1].state is State.UNCERTAIN  # it is all there is
    went = lambda frame: [face(1, size=44), face(2, x=400, seen=frame.time < 1.6)]  # noqa: E731
    alarmed = run(went, seconds=2, answer=lambda t: 0.95)[2][-1]
    assert [view.state for view in alarmed.tracks] == [State.UNCERTAIN, State.ALERT]
    assert alarmed.state is State.ALERT  # what was said of it stands although it went


def test_unconfirmed_tracks_are_never_scored():
    detector, _, results, _ = run([face(1, confirmed=False)])
    assert detector.crops == 0
    assert all(r.state is State.NO_FACE for r in results)


def test_unseen_and_corrupt_are_not_scored():
    assert run([face(1, seen=False)])[0].crops == 0
    detector, meter, results, _ = run([face(1)], corrupt=lambda i: True)
    assert detector.crops == 0
    assert meter.counts["corrupt"] == len(results)


def test_small_faces_are_uncertain_and_say_why():
    detector, _, results, _ = run([face(1, size=18)])
    assert detector.crops == 0
    assert results[-1].state is State.UNCERTAIN
    assert results[-1].tracks[0].score.reason == "too small"


def test_old_samples_leave_and_the_state_becomes_uncertain():
    _, _, results, _ = run(lambda frame: [face(1, seen=frame.time < 3)], seconds=6)
    assert results[80].state is State.CLEAR
    assert results[-1].state is State.UNCERTAIN


def test_an_alert_opens_within_two_seconds_of_the_attack_and_closes_at_the_end():
    _, _, results, analysis = run([face(1)], seconds=6, answer=lambda t: 0.95 if t >= 3 else 0.05)
    events = [(r.frame.time, e) for r in results for e in r.alerts]
    assert [e.phase for _, e in events] == [Phase.OPENED]
    assert 3 <= events[0][0] <= 5
    assert [e.phase for e in analysis.finish()] == [Phase.CLOSED]


def test_a_lost_track_is_forgotten():
    _, _, results, analysis = run(lambda frame: [face(1)] if frame.time < 2 else [])
    assert results[-1].state is State.NO_FACE
    assert not analysis._memories
