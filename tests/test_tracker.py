"""The tracker: ids that stay with people, whatever the frame rate; boxes that neither jitter nor lag."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.appearance import SHAPE, blend, describe, is_cut, likeness, scene_of
from stream.association import THERE, assign, closest
from stream.key_frames import Intervals
from stream.looker import settled
from stream.motion import Motion
from stream.suppression import overlap
from stream.target import FORGET
from stream.tracker import MAX_TRACKS, Tracker
from stream.values import Face, Frame
from tests.stage import HEIGHT, WIDTH, Actor, Cuts, Stage, clock, of_actor, run, still

# --- life of a track


@pytest.mark.parametrize("fps", [5, 10, 24, 30, 60])
def test_one_moving_face_keeps_one_id_at_any_frame_rate(fps):
    actor = Actor(1, lambda t: (150 + 110 * t, 150 + 40 * np.sin(3 * t), 90))
    stage = Stage(actor)
    tracks = run(Tracker(stage), stage, clock(3, fps))
    assert {t.id for frame in tracks for t in frame} == {1}
    assert all(frame[0].seen for frame in tracks)


def test_one_face_keeps_its_id_at_uneven_times():
    actor = Actor(1, lambda t: (150 + 90 * t, 150, 90))
    stage, rng = Stage(actor), np.random.default_rng(4)
    tracks = run(Tracker(stage), stage, np.cumsum(rng.choice([0.01, 0.03, 0.2], 60, p=[0.4, 0.4, 0.2])))
    assert {t.id for frame in tracks for t in frame} == {1}


@pytest.mark.parametrize("fps", [5, 30, 60])
def test_confirmed_after_three_sights_and_a_fifth_of_a_second(fps):
    stage = Stage(Actor(1, still()))
    times = clock(1.5, fps)
    confirmed = [frame[0].confirmed for frame in run(Tracker(stage), stage, times)]
    first = confirmed.index(True)
    assert first >= 2
    assert 0.2 - 1e-6 <= times[first] <= max(0.25, 2 / fps + 1e-6)
    assert all(confirmed[first:])


def test_a_flicker_is_never_confirmed_and_soon_forgotten():
    stage = Stage(Actor(1, lambda t: (200, 150, 90) if t < 0.09 else None))
    frames = run(Tracker(stage), stage, clock(1))
    assert not any(t.confirmed for frame in frames for t in frame)
    assert len(frames[1]) == 1
    assert frames[15] == ()


def test_a_face_that_left_dies_after_a_second_and_its_id_is_not_used_again():
    stage = Stage(Actor(1, lambda t: (200, 150, 90) if t < 1 or t > 3 else None))
    times = clock(5)
    frames = run(Tracker(stage), stage, times)
    gone = [t for t, frame in zip(times, frames, strict=True) if not frame]
    assert gone[0] == pytest.approx(1 + FORGET, abs=0.1)
    assert [t.id for t in frames[-1]] == [2]


def test_doubtful_detections_give_no_birth():
    stage = Stage(Actor(1, still()))
    weak = Stage.detect

    def detect(image):
        return tuple(Face(f.box, f.landmarks, 0.75) for f in weak(stage, image))

    stage.detect = detect
    assert not any(run(Tracker(stage), stage, clock(1)))


def test_time_that_runs_backwards_ends_all_tracks_but_no_id_returns():
    stage = Stage(Actor(1, still()))
    tracker = Tracker(stage)
    run(tracker, stage, clock(1, start=100))
    frames = run(tracker, stage, clock(1))
    assert {t.id for frame in frames for t in frame} == {2}


# --- what it costs


def test_looks_over_the_picture_often_at_first_and_rarely_when_calm():
    stage, pace = Stage(Actor(1, still())), Intervals()
    tracker, looks = Tracker(stage), []
    times = clock(10)
    for t in times:
        tracker.update(stage.frame(t))
        looks.append(tracker.last_look)
    assert looks[0] == "detect"
    assert set(looks) == {"detect", "refine", "glance"}
    late = [t for t, look in zip(times, looks, strict=True) if look == "detect" and t > 6]
    assert np.diff(late) == pytest.approx(pace.calm, abs=0.04)
    assert sum(look == "detect" for look in looks) < 30


def test_a_full_machine_looks_over_the_picture_less_often_and_keeps_the_ids():
    actor = Actor(1, lambda t: (150 + 60 * t, 150 + 40 * np.sin(3 * t), 90))
    counts = []
    for stretch in (1.0, 1.5):
        stage = Stage(actor)
        tracker = Tracker(stage)
        tracker.key_frames.stretch = stretch
        frames = run(tracker, stage, clock(6, fps=4))
        assert {track.id for tracks in frames for track in tracks} == {1}
        assert frames[4][0].confirmed
        counts.append(stage.calls.count("detect"))
    assert counts[1] < counts[0]


def test_an_empty_picture_is_looked_over_five_times_a_second():
    stage = Stage()
    tracker = Tracker(stage)
    run(tracker, stage, clock(4))
    assert stage.calls == ["detect"] * 20
    assert tracker.last_look == "none"


def test_a_face_out_of_sight_hastens_the_next_key_frame():
    stage = Stage(Actor(1, lambda t: (200, 150, 90) if t < 5 else None))
    tracker, detects = Tracker(stage), []
    for t in clock(6):
        tracker.update(stage.frame(t))
        if tracker.last_look == "detect" and t > 5.05:
            detects.append(t)
    assert np.diff(detects) == pytest.approx(0.1, abs=0.01)


def test_a_key_frame_asks_onet_once_for_the_landmarks_of_all_that_it_found():
    stage = Stage(Actor(1, still()))
    tracker, looks = Tracker(stage), []
    for t in clock(4):
        stage.calls.clear()
        tracker.update(stage.frame(t))
        looks.append(tuple(stage.calls))
    assert set(looks) == {("detect", "refine"), ("refine",), ()}


class Askew(Stage):
    """Its whole detector finds the landmarks elsewhere than its ONet does, and not as wide apart."""

    def detect(self, image):
        return tuple(replace(face, landmarks=face.landmarks * 0.98 + 5) for face in super().detect(image))


def test_what_is_cut_out_does_not_jump_at_a_key_frame():
    stage = Askew(Actor(1, still()))
    tracker = Tracker(stage)
    found = [track for tracks in run(tracker, stage, clock(4)) for track in tracks if track.confirmed]
    assert np.ptp([track.landmarks for track in found], axis=0).max() < 0.1
    assert np.ptp([track.box for track in found], axis=0).max() < 0.1


def test_where_onet_sees_nothing_the_detectors_own_landmarks_stand():
    face = Actor(1, still()).face(0.0)
    elsewhere = replace(face, box=face.box + 500, landmarks=face.landmarks + 500)
    looker = Stage(Actor(1, still()))
    broken = replace(face, landmarks=face.landmarks * np.float32("nan"))
    for answer in (None, elsewhere, broken):
        looker.refine = lambda image, boxes, answer=answer: [answer] * len(boxes)
        assert settled(looker, np.zeros((4, 4, 3), np.uint8), [face]) == [face]
    assert settled(looker, np.zeros((4, 4, 3), np.uint8), []) == []


def looks_of(tracker, stage, times):
    found = []
    for t in times:
        tracker.update(stage.frame(t))
        found.append(tracker.last_look)
    return found


@pytest.mark.parametrize("fps", [10, 15, 24, 30, 60])
def test_a_steady_face_is_sought_twenty_times_a_second_or_in_each_frame(fps):
    stage = Stage(Actor(1, still()))
    tracker = Tracker(stage)
    run(tracker, stage, clock(1, fps))
    times = clock(3, fps, start=1.0)
    looks = looks_of(tracker, stage, times)
    sought = [t for t, look in zip(times, looks, strict=True) if look != "glance"]
    assert np.diff(sought).max() < 0.05 + 1 / fps + 1e-6
    assert ("glance" in looks) == (fps > 20)
    if fps >= 24:
        assert len(sought) < 0.55 * len(times)


def test_where_a_camera_shakes_a_glance_overlooks_a_fiftieth_of_the_face():
    steps, side = np.random.default_rng(7).normal(0, 4, (200, 2)), 120
    actor = Actor(1, lambda t: (300 + steps[round(30 * t)][0], 150 + steps[round(30 * t)][1], side))
    stage, times = Stage(actor), clock(5)
    tracker, off = Tracker(stage), []
    for t in times:
        (track,) = tracker.update(stage.frame(t))
        if tracker.last_look == "glance":
            off.append(np.abs(track.box - actor.face(t).box).max())
    assert len(off) > 5
    assert max(off) < side / 50


def test_a_tracker_that_may_not_glance_seeks_in_each_frame():
    stage = Stage(Actor(1, still()))
    assert "glance" not in looks_of(Tracker(stage, Intervals(glance=0.0)), stage, clock(3))


def until_a_glance_would_do(tracker, stage):
    """Feed frames until ONet has just found all faces; the time of the next one."""
    for t in clock(5):
        tracker.update(stage.frame(t))
        if t > 2 and tracker.last_look == "refine":
            return t + 1 / 30
    raise AssertionError("ONet was never asked")


@pytest.mark.parametrize("way", [(0.1, 0.0, 1.0), (0.0, 0.1, 1.0), (0.0, 0.0, 1.2)])
def test_a_face_that_is_not_quite_where_it_should_be_is_sought_at_once(way):
    place = [200.0, 150.0, 90.0]
    stage = Stage(Actor(1, lambda t: tuple(place)))
    tracker = Tracker(stage)
    then = until_a_glance_would_do(tracker, stage)
    x, y, side = way
    place[:] = 200 + 90 * x, 150 + 90 * y, 90 * side
    (track,) = tracker.update(stage.frame(then))
    assert tracker.last_look == "refine"
    assert track.seen


@pytest.mark.parametrize("other", [None, 3])
def test_a_glance_holds_no_face_that_has_gone_and_takes_nobody_else_for_it(other):
    stage = Stage(Actor(1, still()), Actor(2, still(430)))
    tracker = Tracker(stage)
    then = until_a_glance_would_do(tracker, stage)
    stage.actors = (stage.actors[1],) if other is None else (Actor(other, still()), stage.actors[1])
    assert [(track.id, track.seen) for track in tracker.update(stage.frame(then))][:2] == [
        (1, False),
        (2, True),
    ]


def test_where_two_faces_touch_each_is_sought_in_each_frame():
    stage = Stage(Actor(1, still(200)), Actor(2, still(275)))
    tracker = Tracker(stage)
    run(tracker, stage, clock(1))
    assert "glance" not in looks_of(tracker, stage, clock(2, start=1.0))


def test_a_known_face_that_the_detector_misses_on_a_key_frame_is_left_to_onet():
    class Shy(Stage):
        def detect(self, image):
            super().detect(image)
            return () if self.shy else tuple(self.visible)

    stage = Shy(Actor(1, still()))
    stage.shy, tracker = False, Tracker(stage)
    run(tracker, stage, clock(1))
    stage.shy = True
    frames = run(tracker, stage, clock(1, start=1.0))
    assert all(tracks[0].seen for tracks in frames)


# --- damage, cuts, occlusion


def test_corrupt_frames_are_not_looked_at_and_only_predicted():
    actor = Actor(1, lambda t: (150 + 60 * t, 150, 90))
    stage = Stage(actor)
    tracker = Tracker(stage)
    run(tracker, stage, clock(1))
    stage.calls.clear()
    (track,) = tracker.update(stage.frame(1.0, corrupt=True))
    assert stage.calls == []
    assert tracker.last_look == "none"
    assert not track.seen
    assert track.confirmed
    assert np.abs(track.box - actor.face(1.0).box).max() < 4
    (track,) = tracker.update(stage.frame(1.0333))
    assert track.seen
    assert track.id == 1


@pytest.mark.parametrize("hidden", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("speed", [0, 80])
def test_id_stays_through_a_short_occlusion(hidden, speed):
    actor = Actor(1, lambda t: None if 1 <= t < 1 + hidden else (150 + speed * t, 150, 90))
    stage = Stage(actor)
    frames = run(Tracker(stage), stage, clock(3))
    assert {t.id for frame in frames for t in frame} == {1}
    assert not frames[33][0].seen
    assert frames[-1][0].seen


@pytest.mark.parametrize("fps", [12, 30])
@pytest.mark.parametrize("speed", [60, 150, 300])
def test_ids_stay_through_a_crossing(fps, speed):
    near = Actor(1, lambda t: (120 + speed * t, 160, 90), depth=1)
    far = Actor(2, lambda t: (520 - speed * t, 150, 85))
    stage, times = Stage(near, far), clock(400 / speed, fps)
    frames = run(Tracker(stage), stage, times)
    early, late = round(len(times) * 0.2), len(times) - 1
    for actor in (near, far):
        before = of_actor(frames[early], actor, times[early])
        assert before is not None
        assert of_actor(frames[late], actor, times[late]) == before
    assert {t.id for frame in frames for t in frame if t.confirmed} == {1, 2}


def test_ids_stay_when_two_meet_and_turn_back():
    near = Actor(1, lambda t: (320 - 150 * abs(1.5 - t), 160, 90), depth=1)
    far = Actor(2, lambda t: (320 + 150 * abs(1.5 - t), 150, 85))
    stage, times = Stage(near, far), clock(3)
    frames = run(Tracker(stage), stage, times)
    for actor in (near, far):
        assert of_actor(frames[10], actor, times[10]) == of_actor(frames[-1], actor, times[-1])


def test_a_cut_to_another_person_at_the_same_place_brings_another_id():
    first, second = Stage(Actor(1, still())), Stage(Actor(2, still()), scene=5)
    cuts = Cuts(first)
    tracker = Tracker(cuts)
    run(tracker, first, clock(2))
    cuts.stage = second
    frames = run(tracker, second, clock(2, start=2))
    assert all(t.id != 1 for frame in frames for t in frame if t.seen)
    assert [t.id for t in frames[-1]] == [2]


def test_another_person_at_the_same_place_without_a_cut_brings_another_id():
    one, two = (lambda t: (200, 150, 90) if t < 2 else None), (lambda t: None if t < 2 else (202, 151, 92))
    stage = Stage(Actor(1, one), Actor(2, two))
    frames = run(Tracker(stage), stage, clock(4))
    assert {t.id for frame in frames[61:] for t in frame if t.seen} == {2}


def test_the_same_person_after_a_cut_and_back_keeps_the_id():
    person, other = Stage(Actor(1, still())), Stage(scene=5)
    cuts = Cuts(person)
    tracker = Tracker(cuts)
    run(tracker, person, clock(2))
    cuts.stage = other
    run(tracker, other, clock(0.5, start=2))
    cuts.stage = person
    assert {t.id for f in run(tracker, person, clock(1, start=2.5)) for t in f} == {1}


@pytest.mark.parametrize(("seed", "expected"), [(1, 1), (2, 2)])
def test_after_a_gap_in_the_stream_only_the_same_person_keeps_the_id(seed, expected):
    before, after = Stage(Actor(1, still())), Stage(Actor(seed, still()))
    cuts = Cuts(before)
    tracker = Tracker(cuts)
    run(tracker, before, clock(1))
    cuts.stage = after
    frames = run(tracker, after, clock(1, start=6))
    assert {t.id for frame in frames for t in frame if t.seen} == {expected}


def test_a_strobe_does_not_make_every_frame_a_key_frame():
    stages = [Stage(Actor(1, still()), scene=scene) for scene in (0, 5)]
    cuts, looks = Cuts(stages[0]), []
    tracker = Tracker(cuts)
    for i, t in enumerate(clock(2)):
        cuts.stage = stages[i % 2]
        tracker.update(stages[i % 2].frame(t))
        looks.append(tracker.last_look)
    assert looks.count("detect") <= 22


# --- more than one on a face, more than fit


def test_two_tracks_that_come_to_sit_on_one_face_become_one():
    stage = Stage(
        Actor(1, lambda t: (200, 150, 90)), Actor(1, lambda t: (330 - 130 * min(t, 1), 150, 90), depth=1)
    )
    frames = run(Tracker(stage), stage, clock(3))
    assert len(frames[6]) == 2
    assert [t.id for t in frames[-1]] == [1]


def test_as_many_tracks_as_allowed_and_the_largest_win():
    small = [Actor(i, still(20 + 38 * (i % 16), 40 + 60 * (i // 16), 28)) for i in range(MAX_TRACKS)]
    late = Actor(40, lambda t: (300, 250, 120) if t > 1 else None)
    stage = Stage(*small, late)
    frames = run(Tracker(stage), stage, clock(3))
    assert all(len(frame) <= MAX_TRACKS for frame in frames)
    assert len(frames[20]) == MAX_TRACKS
    assert of_actor(frames[-1], late, 2.9) is not None


coordinates = st.floats(-2000, 2000, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e30])
faces = st.builds(
    Face,
    arrays(np.float32, 4, elements=coordinates),
    arrays(np.float32, (5, 2), elements=coordinates),
    st.floats(0, 1),
)


class Anything:
    """Networks that say whatever hypothesis draws."""

    def __init__(self, draw):
        self.draw = draw

    def detect(self, image):
        return self.draw(st.lists(faces, max_size=40))

    def refine(self, image, boxes):
        assert np.isfinite(boxes).all()
        return self.draw(st.lists(st.none() | faces, min_size=len(boxes), max_size=len(boxes)))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(st.floats(0.0, 1.5), min_size=1, max_size=15))
def test_whatever_the_networks_say_tracks_are_few_finite_and_new(data, steps):
    tracker, dead, alive = Tracker(Anything(data.draw)), set(), set()
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for time in itertools.accumulate(steps):
        tracks = tracker.update(Frame(image, time, time, 0, data.draw(st.booleans())))
        ids = [t.id for t in tracks]
        assert len(ids) == len(set(ids)) <= MAX_TRACKS
        assert not dead & set(ids)
        dead |= alive - set(ids)
        alive = set(ids)
        for t in tracks:
            assert np.isfinite(t.box).all()
            assert np.isfinite(t.landmarks).all()
            assert (t.box[2:] > t.box[:2]).all()


# --- smoothness


def _wobbly(box, rng, noise):
    box = np.float32(box) + rng.normal(0, noise, 4).astype(np.float32)
    return Face(box, box[:2] + SHAPE * (box[2:] - box[:2]), 0.99)


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_a_still_face_jitters_less_than_half_as_much_as_its_detections(fps):
    rng, raw, smooth = np.random.default_rng(2), [], []
    motion = Motion(_wobbly([100, 100, 200, 200], rng, 1.0), 0.0)
    for t in clock(10, fps)[1:]:
        face = _wobbly([100, 100, 200, 200], rng, 1.0)
        motion.update(face, t)
        if t > 1:
            raw.append(face.box)
            smooth.append(motion.smoothed(t)[0])
    assert np.std(smooth, axis=0).mean() < 0.5 * np.std(raw, axis=0).mean()
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.35 * np.abs(np.diff(raw, axis=0)).mean()


@pytest.mark.parametrize("speed", [0.2, 0.5, 1.0, 3.0])  # face sizes a second
def test_a_moving_face_lags_by_little(speed):
    motion = Motion(Face(np.float32([0, 0, 100, 100]), SHAPE * 100, 1.0), 0.0)
    for t in clock(2)[1:]:
        x = np.float32(100 * speed * t)
        motion.update(Face(np.float32([x, 0, x + 100, 100]), SHAPE * 100 + [x, 0], 1.0), t)
    assert 0 <= x - motion.smoothed(t)[0][0] < 3  # px, of a face of 100


@given(st.floats(0, 1000), st.floats(0.02, 0.2))
def test_an_unseen_face_coasts_to_a_stop(seconds, dt):
    motion = Motion(Face(np.float32([0, 0, 100, 100]), SHAPE * 100, 1.0), 0.0)
    motion.update(Face(np.float32([50, 0, 150, 100]), SHAPE * 100 + [50, 0], 1.0), dt)
    box = motion.smoothed(dt + seconds)[0]
    assert box[2] - box[0] == pytest.approx(100, abs=0.01)
    assert 0 <= box[0] <= 50 + 500 * 0.4 + 1  # FASTEST sizes a second, for COAST seconds


# --- pairing and looks


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.data())
def test_pairing_is_the_cheapest_of_all(rows, columns, data):
    values = st.floats(0, 10) | st.just(np.inf)
    cost = data.draw(arrays(np.float64, (rows, columns), elements=values))
    pairs = assign(cost)
    assert all(np.isfinite(cost[i, j]) for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    best = (0, 0.0)
    wide = cost if rows <= columns else cost.T
    for order in itertools.permutations(range(wide.shape[1]), wide.shape[0]):
        taken = [wide[i, j] for i, j in enumerate(order) if np.isfinite(wide[i, j])]
        best = min(best, (-len(taken), float(sum(taken))))
    assert (-len(pairs), pytest.approx(sum(cost[i, j] for i, j in pairs))) == best


def test_looks_survive_brightness_turn_and_size_and_tell_actors_apart():
    actor, other = (Actor(seed, still()) for seed in (1, 2))
    image, face = Stage(actor).frame(0).image, actor.face(0)
    look = describe(image, face.landmarks)
    assert np.linalg.norm(look) == pytest.approx(1, abs=1e-4)
    assert likeness(look, describe((image * 0.7).astype(np.uint8), face.landmarks)) > 0.9
    turn = cv2.getRotationMatrix2D((200, 150), 25, 1.4)
    turned = cv2.warpAffine(image, turn, (WIDTH, HEIGHT))
    points = (face.landmarks @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    assert likeness(look, describe(turned, points)) > 0.95
    assert likeness(look, describe(Stage(other).frame(0).image, face.landmarks)) < 0.5


def test_looks_say_nothing_where_there_is_no_contrast():
    flat = describe(np.full((100, 100, 3), 90, np.uint8), SHAPE * 60)
    assert not flat.any()
    assert likeness(flat, flat) == 1
    assert not blend(flat, flat, 0.5).any()


def test_cuts_are_told_from_motion():
    actor = Actor(1, lambda t: (150 + 100 * t, 150, 90))
    stage, other = Stage(actor), Stage(actor, scene=3)
    scenes = [scene_of(stage.frame(t).image) for t in clock(1, 10)]
    assert not any(is_cut(a, b) for a, b in itertools.pairwise(scenes))
    assert is_cut(scenes[-1], scene_of(other.frame(1.0).image))
    assert scene_of(np.zeros((1, 1, 3), np.uint8)).shape == scenes[0].shape


# --- with the real networks and real faces


@pytest.fixture(scope="module")
def people():
    pytest.importorskip("skimage", reason="the portraits come with the [dev] extra")
    from stream.faces import FaceDetector
    from tests.bench_mtcnn import portraits

    one, two = portraits()
    cuts = one[0:260, 120:330], cv2.resize(two[20:420, 60:400], (221, 260))
    mask = np.zeros((260, 230), np.float32)
    cv2.ellipse(mask, (105, 130), (95, 125), 0, 0, 360, 1, -1)
    return cuts, cv2.GaussianBlur(mask, (0, 0), 3), FaceDetector(min_face=60)


def _paste(image, cut, mask, x, y):
    x, y, (height, width) = round(x), round(y), cut.shape[:2]
    alpha, part = mask[:height, :width, None], image[y : y + height, x : x + width]
    part[:] = (part * (1 - alpha) + cut * alpha).astype(np.uint8)


def test_two_real_faces_cross_and_keep_their_ids(people):
    (one, two), mask, detector = people
    tracker, wall = Tracker(detector), cv2.resize(np.uint8([[60, 120], [140, 90]]), (900, 420))
    frames = []
    for i, t in enumerate(clock(3)):
        image = cv2.cvtColor(wall, cv2.COLOR_GRAY2BGR)
        _paste(image, two, mask, 620 - 200 * t, 60)
        _paste(image, one, mask, 40 + 200 * t, 90)
        frames.append(tracker.update(Frame(image, float(t), 0.0, i)))
    begin = sorted(frames[15], key=lambda t: t.box[0])
    end = sorted(frames[-1], key=lambda t: t.box[0])
    assert [t.seen for t in begin] == [t.seen for t in end] == [True, True]
    assert [t.id for t in begin] == [t.id for t in end][::-1]
    assert {t.id for frame in frames for t in frame if t.confirmed} == {1, 2}


def test_a_still_real_face_in_camera_noise_stands_still(people):
    (one, _), mask, detector = people
    tracker, rng, boxes, raw = Tracker(detector), np.random.default_rng(0), [], []
    for i, t in enumerate(clock(3)):
        image = np.full((360, 480, 3), 100, np.uint8)
        _paste(image, one, mask, 120, 40)
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        (track,) = tracker.update(Frame(image, float(t), 0.0, i))
        if t > 0.5:
            boxes.append(track.box)
            raw.append(detector.detect(image)[0].box)
    assert np.std(boxes, axis=0).max() < 0.3 * np.std(raw, axis=0).max()
    assert np.abs(np.diff(boxes, axis=0)).mean() < 0.15 * np.abs(np.diff(raw, axis=0)).mean()


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**31))
def test_the_closest_face_is_the_one_that_overlaps_most_or_none(n, m, seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (n + m, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(50, 150, (n + m, 2))], axis=1).astype(np.float32)
    faces = [Face(box, np.zeros((5, 2), np.float32), 0.9) for box in boxes[n:]]
    found = closest(boxes[:n], faces)
    assert len(found) == n
    for box, face in zip(boxes[:n], found, strict=True):
        common = [float(overlap(box[None], f.box[None])[0, 0]) for f in faces]
        if face is None:
            assert max(common, default=0) <= THERE
        else:
            assert float(overlap(box[None], face.box[None])[0, 0]) == max(common) > THERE
