"""Heat: gathered over the window, drawn where it was asked for, in evidence and in a check's report."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.card import MapScale
from stream.analysis import Analysis
from stream.check.plots import heat_scale, moments
from stream.check.values import FaceReport, FileReport, Kind
from stream.heat import HIGH, LOW, colours, legend, paint, painted
from stream.judge import Judge, Policy
from stream.meter import Meter
from stream.overlay import draw, plan
from stream.scorer import mapper_of
from stream.sharing import BatchedScorer
from stream.values import Frame, Heat, Result, State, TrackView
from tests.overlay_gallery import face as gallery_face
from tests.overlay_gallery import health
from tests.test_analysis import CARD, LIMITS, SHARP, CountingDetector, Scripted, face
from tests.test_overlay import finite

ZEROS, ONES = (((value,) * 3,) * 2 for value in (0.0, 1.0))


class Mapping(CountingDetector):
    """One whose maps tell how many crops came before."""

    def __init__(self, card):
        super().__init__(replace(card, map=MapScale(ZEROS, ONES, 5)))
        self.grid = (2, 3)

    def encode_with_map(self, crops, closely=None):
        before = self.crops
        features = self.encode(crops, closely)
        return features, np.stack([np.full((2, 3), before + k, np.float32) for k in range(len(crops))])


def watched(detector, seconds=4.0, tracks=None):
    analysis = Analysis(
        detector, Scripted(tracks or [face(1)]), Judge(Policy(LIMITS), "c", "n", "x"), Meter()
    )
    return [analysis.step(Frame(SHARP, i / 30, 0.0, i)) for i in range(int(seconds * 30))]


def test_a_faces_heat_is_the_mean_over_its_window():
    detector = Mapping(CARD)
    detector.answer = 0.45  # no crop is left out
    last = watched(detector)[-1].tracks[0].heat
    window = int(CARD.window.seconds * CARD.window.rate)
    newest = detector.crops - 1
    assert last.values.shape == (2, 3)
    assert last.margin == CARD.crop.margin
    np.testing.assert_allclose(last.values, newest - (window - 1) / 2, atol=0.6)


def test_a_detector_without_maps_has_no_heat_and_is_told_from_one_with():
    plain = CountingDetector(CARD)
    assert mapper_of(plain) is None
    assert watched(plain, 1.0)[-1].tracks[0].heat is None
    detector = Mapping(CARD)
    assert mapper_of(detector) is detector
    detector.grid = None
    assert mapper_of(detector) is None


def test_batches_bring_each_stream_its_own_maps():
    batched = BatchedScorer(Mapping(CARD))
    try:
        crops = np.zeros((3, 64, 64, 3), np.uint8)
        features, maps = batched.encode_with_map(crops)
        assert (features.shape, maps.shape, batched.grid) == ((3, 4), (3, 2, 3), (2, 3))
        np.testing.assert_array_equal(maps[:, 0, 0], [0, 1, 2])
        assert batched.encode(crops).shape == (3, 4)
    finally:
        batched.close()


def test_moments_are_asked_under_suspicion_alone():
    calm, grave = CountingDetector(CARD), CountingDetector(CARD)
    calm.answer, grave.answer = 0.1, 0.79  # SUSPICIOUS: no crop is left out
    assert not any(view.moments for result in watched(calm) for view in result.tracks)
    told = [view.moments for result in watched(grave) for view in result.tracks if view.moments]
    assert told
    assert len(told[-1]) == int(CARD.window.seconds * CARD.window.rate)
    times = [time for time, _ in told[-1]]
    assert times == sorted(times)
    assert all(value == pytest.approx(0, abs=1e-6) for _, value in told[-1])  # its answer never changes


def shown(values: np.ndarray, box=(100.0, 100.0, 200.0, 200.0)) -> Result:
    image = np.full((360, 480, 3), 128, np.uint8)
    view = gallery_face(1, box, State.ALERT, 0.9)
    view = replace(view, heat=Heat(values.astype(np.float32), 1.3))
    return Result(Frame(image, 1.0, 0.0, 0), State.ALERT, (view,), ())


def test_heat_is_drawn_where_it_was_asked_for_and_only_there():
    values = np.zeros((6, 6))
    values[4, 4] = HIGH
    result, off, on = shown(values), health(), health(explain=True)
    calm, hot = draw(result, off), draw(result, on)
    changed = np.abs(hot.astype(int) - calm).max(-1) > 12
    inside = changed[85:215, 85:215]
    ys, xs = np.nonzero(inside)
    side = 130  # px: the box of 100 with its margin
    assert (ys.mean() / side, xs.mean() / side) == pytest.approx((4.5 / 6, 4.5 / 6), abs=0.06)
    legend_rect = next(p.rect for p in plan(result, on) if p.rect not in {q.rect for q in plan(result, off)})
    outside = changed.copy()
    outside[85:215, 85:215] = False
    outside[legend_rect[1] : legend_rect[3], legend_rect[0] : legend_rect[2]] = False
    assert not outside.any()


def test_what_is_usual_is_not_painted():
    picture = np.full((200, 200, 3), 90, np.uint8)
    before = picture.copy()
    paint(picture, Heat(np.full((6, 6), LOW, np.float32), 1.3), np.float32([50, 50, 150, 150]))
    np.testing.assert_array_equal(picture, before)


@given(
    st.lists(st.one_of(st.floats(-100, 400, width=32), finite), min_size=4, max_size=4),
    st.floats(-10, 10, width=32),
)
def test_any_box_is_painted_within_the_picture(box, value):
    picture = np.zeros((120, 160, 3), np.uint8)
    paint(picture, Heat(np.full((6, 6), value, np.float32), 1.3), np.array(box, np.float32))
    assert picture.shape == (120, 160, 3)
    if value <= LOW:
        assert not picture.any()


def test_the_scale_grows_lighter_evenly():
    strip = colours(np.linspace(0, 1, 16, dtype=np.float32)[None])
    grey = cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY)[0].astype(int)
    assert (np.diff(grey) > 0).all()
    assert legend(14)[0].shape[1] > legend(14)[1].shape[1]
    assert "standard deviations" in heat_scale()


def test_a_crops_heat_lies_on_the_crop_itself():
    values = np.zeros((6, 6), np.float32)
    values[0, 0] = HIGH
    crop = np.full((192, 192, 3), 128, np.uint8)
    ys, xs = np.nonzero(np.abs(painted(crop, Heat(values, 1.3)).astype(int) - crop).max(-1) > 8)
    assert ys.min() == xs.min() == 0
    assert max(ys.max(), xs.max()) < 64


def test_the_bars_of_moments_tell_both_directions():
    told = FaceReport(
        1, State.ALERT, 0.9, 0.95, 1.0, (0, 0, 9, 9), 9.0, ((1.0, 0.9),), "", ((0.5, 2.0), (0.6, -1))
    )
    report = FileReport("a.mp4", "", 1, Kind.VIDEO, State.ALERT, 0.9, (told,))
    drawn = moments(report)
    assert drawn.count("<rect") == 2
    assert "+2.0" in drawn
    again = FileReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.faces[0].moments == ((0.5, 2.0), (0.6, -1.0))
    assert moments(replace(report, faces=(replace(told, moments=()),))) == ""


def test_a_view_without_heat_is_as_before():
    view = gallery_face(1, (10.0, 10.0, 90.0, 90.0), State.CLEAR, 0.1)
    assert isinstance(view, TrackView)
    assert (view.heat, view.moments) == (None, ())
