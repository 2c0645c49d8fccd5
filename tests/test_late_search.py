"""The search beside the pump: no frame waits for it, and what it finds is as good as if one had."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.aside import Aside
from stream.governor import Rules
from stream.late_search import PATIENCE, LateSearch, late_search, present
from stream.meter import Meter
from stream.suppression import overlap
from stream.tracker import Tracker
from stream.values import Face
from tests.stage import Actor, Cuts, Stage, clock, run, still


class Later:
    """Does what it is given so many frames later; it saw the picture of then, as the networks do."""

    def __init__(self, stage: Stage, frames: int) -> None:
        self.stage, self.frames, self.taken = stage, frames, 0
        self.tasks: list[tuple[int, Future, Callable]] = []
        self.full = False

    def submit(self, task: Callable) -> Future | None:
        if self.full:
            return None
        seen = list(self.stage.visible)
        self.tasks.append((self.frames, Future(), lambda: self._then(seen, task)))
        return self.tasks[-1][1]

    def _then(self, seen: list[Face], task: Callable) -> object:
        now, self.stage.visible = self.stage.visible, seen
        calls, self.stage.calls = self.stage.calls, []
        try:
            return task()
        finally:
            self.stage.visible, self.stage.calls = now, calls

    def frame(self) -> None:
        self.tasks = [(left - 1, future, task) for left, future, task in self.tasks]
        for left, future, task in list(self.tasks):
            if left <= 0:
                self.tasks.remove((left, future, task))
                if future.set_running_or_notify_cancel():
                    self.taken += 1
                    try:
                        future.set_result(task())
                    except Exception as error:
                        future.set_exception(error)


def watch(stage, times, frames=3):
    """Tracks of each frame, and how it was looked at."""
    aside = Later(stage, frames)
    tracker, tracks, looks = Tracker(stage, late=LateSearch(stage, aside)), [], []
    for i, t in enumerate(times):
        frame = stage.frame(t, i)
        aside.frame()
        tracks.append(tracker.update(frame))
        looks.append(tracker.last_look)
    return tracks, looks, aside


def test_once_all_is_steady_no_frame_waits_for_a_search():
    stage = Stage(Actor(1, still()))
    tracks, looks, aside = watch(stage, clock(10))
    assert "detect" not in looks[30:]
    assert 18 <= aside.taken <= 26  # as often as without
    assert {t.id for each in tracks for t in each} == {1}
    assert all(t.seen and t.confirmed for each in tracks[15:] for t in each)


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_the_boxes_are_those_of_a_search_that_frames_wait_for(frames):
    actors = [Actor(1, lambda t: (150 + 40 * np.sin(2 * t), 150, 90)), Actor(2, still(430))]
    late, _, _ = watch(Stage(*actors), clock(8), frames)
    stage = Stage(*actors)
    at_once = run(Tracker(stage), stage, clock(8))
    for ours, theirs in zip(late, at_once, strict=True):
        assert [t.id for t in ours] == [t.id for t in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a.box - b.box).max() < 2


def test_a_newcomer_is_there_as_soon_as_a_search_has_met_him():
    first, second = Actor(1, still()), Actor(2, lambda t: (430, 150, 90) if t > 5 else None)
    tracks, _, _ = watch(Stage(first, second), clock(8))
    times = [t for t, each in zip(clock(8), tracks, strict=True) if len(each) == 2]
    assert times[0] < 5 + 0.5 + 4 / 30
    assert {t.id for t in tracks[-1]} == {1, 2}
    assert all(t.confirmed for t in tracks[-1])


def test_a_face_that_goes_is_searched_for_at_once_and_what_was_begun_is_dropped():
    stage = Stage(Actor(1, lambda t: (200, 150, 90) if t < 5.02 else None))
    tracks, looks, aside = watch(stage, clock(7), frames=1000)
    gone = next(i for i, t in enumerate(clock(7)) if t >= 5.02)
    assert "detect" in looks[gone : gone + 4]
    assert not tracks[-1]
    assert aside.tasks
    assert all(future.cancelled() for _, future, _ in aside.tasks)


def test_what_is_not_in_its_place_any_more_is_searched_for_at_once():
    # The newcomer walks so fast that he has left his place when the search is done.
    fast = Actor(2, lambda t: (80 + 400 * (t - 5), 250, 70) if 5 < t < 6.2 else None)
    _, looks, _ = watch(Stage(Actor(1, still(500, 100)), fast), clock(8), frames=8)
    assert looks[150:186].count("detect") >= 1


def test_so_it_is_where_the_next_search_has_become_due_later_meanwhile():
    fast = Actor(2, lambda t: (80 + 400 * (t - 5), 250, 70) if 5 < t < 6.2 else None)
    stage = Stage(Actor(1, still(500, 100)), fast)
    aside, looks = Later(stage, 8), []
    tracker = Tracker(stage, late=LateSearch(stage, aside))
    for i, t in enumerate(clock(7)):
        frame = stage.frame(t, i)
        aside.frame()
        under_way = t > 5.1 and any(not future.done() for _, future, _ in aside.tasks)
        tracker.key_frames.stretch = 10.0 if under_way or tracker.key_frames.stretch > 1 else 1.0
        tracker.update(frame)
        looks.append(tracker.last_look)
    assert "detect" in looks[150:186]


def test_a_cut_leaves_nothing_of_what_was_seen_before_it():
    first, second = Stage(Actor(1, still())), Stage(Actor(2, still()), Actor(3, still(430)), scene=5)
    cuts, aside, cut = Cuts(first), Later(first, 6), None
    tracker = Tracker(cuts, late=LateSearch(cuts, aside))
    for i, t in enumerate(clock(6)):
        if cut is None and t > 3 and any(left == 1 for left, _, _ in aside.tasks):
            cuts.stage, cut = second, i  # in the very frame in which a search of the other scene is done
        frame = cuts.stage.frame(t, i)
        aside.frame()
        tracks = tracker.update(frame)
        assert i != cut or tracker.last_look == "detect"
        assert cut is None or all(track.id != 1 for track in tracks if track.seen)
    assert [track.id for track in tracks] == [2, 3]


def test_a_search_that_nobody_takes_is_given_up_for_one_at_once():
    stage = Stage(Actor(1, still()))
    _, looks, aside = watch(stage, clock(10), frames=1000)
    at = [i for i, look in enumerate(looks) if look == "detect" and i > 100]
    assert len(at) >= 4
    apart = np.diff(at)
    assert 30 * (0.5 + PATIENCE) - 1 <= apart.min() <= apart.max() <= 30 * (0.5 + PATIENCE) + 2
    assert aside.taken == 0
    assert not any(future.running() for _, future, _ in aside.tasks)


def test_a_known_face_stays_known_where_a_full_machine_never_comes_to_its_search():
    stage = Stage(Actor(1, still()))
    tracker = Tracker(stage, late=LateSearch(stage, Later(stage, 1000)))
    tracker.key_frames.stretch = Rules().sparing
    tracks = run(tracker, stage, clock(30, fps=Rules().least))
    assert all([(track.id, track.seen) for track in each] == [(1, True)] for each in tracks[8:])


def test_where_there_is_no_room_it_is_as_without():
    stage = Stage(Actor(1, still()))
    aside = Later(stage, 1)
    aside.full = True
    frames = run(Tracker(stage, late=LateSearch(stage, aside)), stage, clock(6))
    other = Stage(Actor(1, still()))
    run(Tracker(other), other, clock(6))
    assert stage.calls == other.calls
    assert frames[-1][0].confirmed


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**16))
def test_whatever_the_delay_two_people_keep_their_ids(frames, seed):
    phase = np.random.default_rng(seed).uniform(0, 6, 2)
    paths = [
        lambda t, p=p, x=x: (x + 60 * np.sin(t + p), 150, 80) for p, x in zip(phase, (150, 460), strict=True)
    ]
    tracks, _, _ = watch(Stage(*(Actor(i, path) for i, path in enumerate(paths))), clock(5), frames)
    assert all({t.id for t in each} == {1, 2} for each in tracks[30:])


def test_with_threads_it_goes_on_while_a_search_hangs_and_tells_what_each_took():
    gate, hang = threading.Event(), threading.Event()

    class Slow(Stage):
        def detect(self, image):
            if hang.is_set() and threading.current_thread() is not threading.main_thread():
                gate.wait(10)
            return super().detect(image)

    stage, aside, meter = Slow(Actor(1, still())), Aside(1), Meter()
    tracker = Tracker(stage, late=late_search(stage, aside, meter))
    run(tracker, stage, clock(2))
    hang.set()
    frames = run(tracker, stage, clock(0.4, start=2))
    assert all(track.seen for each in frames for track in each)
    gate.set()
    aside.submit(lambda: None).result(10)  # behind what hung
    run(tracker, stage, clock(1, start=2.4))
    assert meter.summary()["stages"]["search"]["runs"] >= 1
    aside.close()


def test_what_a_search_raises_reaches_the_stream():
    class Broken(Stage):
        def detect(self, image):
            if self.broken:
                raise RuntimeError("no memory")
            return super().detect(image)

    stage = Broken(Actor(1, still()))
    stage.broken = False
    aside = Later(stage, 2)
    tracker = Tracker(stage, late=LateSearch(stage, aside))
    run(tracker, stage, clock(1))
    stage.broken = True

    def go_on():
        for t in clock(2, start=1):
            frame = stage.frame(t)
            aside.frame()
            tracker.update(frame)

    with pytest.raises(RuntimeError, match="no memory"):
        go_on()


def test_a_face_of_an_earlier_picture_takes_its_box_along():
    stage = Stage(Actor(1, lambda t: (200 + 100 * t, 150, 90)))
    stage.frame(0.0)
    (then,) = stage.visible
    odd = Face(then.box + np.float32([-4, -9, 4, 1]), then.landmarks, 0.95)  # as the whole detector laid it
    image = stage.frame(0.1).image
    (now,) = present(stage, image, [odd])
    np.testing.assert_allclose(now.box, odd.box + np.float32([10, 0, 10, 0]), atol=0.01)
    np.testing.assert_allclose(now.landmarks, stage.visible[0].landmarks)
    assert now.probability == 0.95
    gone = Face(then.box + 300, then.landmarks + 300, 0.95)
    assert present(stage, image, [gone, odd])[0] is None
    assert present(stage, image, []) == []
    assert overlap(now.box[None], stage.visible[0].box[None])[0, 0] > 0.7


def test_without_anybody_to_do_it_there_is_none():
    assert late_search(Stage(), None, Meter()) is None
