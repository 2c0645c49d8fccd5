"""The overlay: draws anything, changes nothing, keeps its plates apart, inside and readable, and is cheap."""

import time
from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.overlay import draw, plan, type_size
from stream.overlay_labels import displayed
from stream.overlay_layout import Box, Label, at_once, common, of_all, place
from stream.overlay_text import (
    AMBER,
    BLACK,
    CAP_HEIGHT,
    DIM,
    PLATE,
    STATE_COLOUR,
    WHITE,
    Colour,
    contrast,
    curve_tile,
    shorten,
    state_chip,
    text_tile,
    text_width,
    wrap,
)
from stream.values import Frame, Health, Quality, Result, Score, State, Track, TrackView
from tests.overlay_gallery import LONG, background, crowd, face, health, names, result, scene

finite = st.floats(-1e6, 1e6, width=32)
share = st.floats(0, 1)
words = st.text(max_size=60)


@st.composite
def views(draw_one: st.DrawFn, number: int) -> TrackView:
    """A face anywhere, inside the picture or far outside, in any state, even with its corners exchanged."""
    box = draw_one(st.lists(st.one_of(st.floats(-100, 700, width=32), finite), min_size=4, max_size=4))
    state, value = draw_one(st.sampled_from(State)), draw_one(st.none() | share)
    track = Track(
        number, np.array(box, np.float32), np.zeros((5, 2), np.float32), 0.9, True, draw_one(st.booleans())
    )
    score = draw_one(
        st.none() | st.just(Score(number, 1.0, value, 3, "" if value is not None else draw_one(words)))
    )
    quality = draw_one(st.none() | st.just(Quality(80, 50.0, 0.0, 0.0, 0.0, draw_one(words))))
    history = tuple(draw_one(st.lists(st.tuples(st.floats(-50, 50), share), max_size=12)))
    return TrackView(track, state, score, quality, history)


@st.composite
def situations(draw_one: st.DrawFn) -> tuple[Result, Health]:
    size = draw_one(st.tuples(st.integers(32, 700), st.integers(32, 700)))
    image = np.full((*size, 3), draw_one(st.integers(0, 255)), np.uint8)
    tracks = tuple(draw_one(views(number + 1)) for number in range(draw_one(st.integers(0, 6))))
    frame = Frame(image, draw_one(st.floats(0, 60)), 0.0, 0, draw_one(st.booleans()))
    state = health(
        source=draw_one(words),
        provider=draw_one(words),
        connected=draw_one(st.booleans()),
        fps=draw_one(st.floats(0, 1e4)),
        age=draw_one(st.none() | st.floats(0, 1e5)),
        dropped=draw_one(st.integers(0, 10**9)),
        note=draw_one(words),
    )
    return Result(frame, draw_one(st.sampled_from(State)), tracks, ()), state


def rects_of(shown: Result, state: Health) -> list[Box]:
    return [plate.rect for plate in plan(shown, state)]


def assert_apart_and_inside(shown: Result, state: Health) -> None:
    height, width = shown.frame.image.shape[:2]
    rects = rects_of(shown, state)
    assert all(min(x1, y1) >= 0 and x2 <= width and y2 <= height for x1, y1, x2, y2 in rects)
    assert not any(common(one, other) for one, other in combinations(rects, 2))


@settings(max_examples=150, deadline=None)
@given(situations())
def test_any_result_is_drawn_without_changing_it(situation: tuple[Result, Health]) -> None:
    shown, state = situation
    before = shown.frame.image.copy()
    shown.frame.image.setflags(write=False)
    picture = draw(shown, state)
    assert picture.shape == before.shape
    assert picture.dtype == np.uint8
    assert np.array_equal(shown.frame.image, before)
    assert not np.shares_memory(picture, shown.frame.image)
    assert_apart_and_inside(shown, state)


@pytest.mark.parametrize("name", names())
def test_the_gallery_has_no_plate_over_another_or_outside(name: str) -> None:
    assert_apart_and_inside(*scene(name))


def test_drawing_is_deterministic() -> None:
    shown, state = scene("vga-edges")
    assert np.array_equal(draw(shown, state), draw(shown, state))


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1280, 720), (1080, 1920), (3840, 2160)])
def test_two_faces_each_keep_a_label_with_their_word_close_by(size: tuple[int, int]) -> None:
    width, height = size
    side = min(size) / 3
    near = [(width / 2 - side * 0.95, height / 3), (width / 2 + side * 0.02, height / 3)]
    tracks = tuple(
        face(i + 1, (x, y, x + 0.85 * side, y + side), state, 60.0)
        for i, ((x, y), state) in enumerate(zip(near, (State.ALERT, State.UNCERTAIN), strict=True))
    )
    shown = result(background(width, height, "busy"), tracks)
    labels = {plate.track: plate for plate in plan(shown, health()) if plate.track}
    em = type_size(width, height)
    for view in tracks:
        plate = labels[view.track.id]
        assert (
            plate.tile.shape[1] >= state_chip(view.state, em).shape[1]
        )  # the word is there, not the sign alone
        chip = state_chip(view.state, em)
        assert np.array_equal(plate.tile[: chip.shape[0], : chip.shape[1]], chip)
        gap = max(view.track.box[0] - plate.rect[2], plate.rect[0] - view.track.box[2], 0)
        assert gap <= 8 * em


def test_alerts_keep_their_words_where_harmless_faces_lose_theirs() -> None:
    tracks = tuple(sorted(crowd(320, 240, 40, 60.0), key=lambda view: list(State).index(view.state)))
    chips = {state: state_chip(state, 13).shape[1] for state in State}
    plates = plan(result(background(320, 240, "dark"), tracks), health())
    widths = {plate.track: plate.tile.shape[1] for plate in plates}

    def share_with_words(state: State) -> float:
        mine = [view.track.id for view in tracks if view.state is state]
        return sum(widths.get(track, 0) >= chips[state] for track in mine) / len(mine)

    assert share_with_words(State.ALERT) > 0.6
    assert share_with_words(State.CLEAR) < 0.3


def test_labels_leave_the_face_free_where_there_is_room() -> None:
    for size in ((320, 240), (640, 480), (1280, 720)):
        (view,) = crowd(*size, 1, 60.0)
        rects = rects_of(result(background(*size, "dark"), (view,)), health())
        x1, y1, x2, y2 = box = tuple(view.track.box.round().astype(int).tolist())
        assert sum(common(rect, box) for rect in rects) < 0.05 * (x2 - x1) * (y2 - y1)


def test_no_text_is_smaller_than_nine_px_and_sizes_follow_the_picture() -> None:
    for width, height in ((32, 32), (320, 240), (640, 480), (240, 320)):
        assert round(CAP_HEIGHT * type_size(width, height)) >= 9
    assert type_size(3840, 2160) == pytest.approx(3 * type_size(1280, 720), rel=0.1)
    tile = text_tile("HI", 13, WHITE, PLATE)
    ink = np.flatnonzero((tile > 150).all(axis=2).any(axis=1))
    assert ink[-1] - ink[0] + 1 >= 8  # anti-aliased edges count half


@pytest.mark.parametrize("state", State)
def test_state_words_have_enough_contrast_as_drawn(state: State) -> None:
    tile = state_chip(state, 26)
    pixels = Counter(map(tuple, tile.reshape(-1, 3).tolist()))
    ground, ink = pixels.most_common(1)[0][0], min(pixels, key=sum)
    assert ground == STATE_COLOUR[state]
    assert contrast(ground, ink) >= 4.5


@pytest.mark.parametrize(("ink", "ground"), [(WHITE, PLATE), (DIM, PLATE), (AMBER, PLATE), (BLACK, AMBER)])
def test_plain_words_have_enough_contrast_as_drawn(ink: Colour, ground: Colour) -> None:
    tile = text_tile("HEALTH", 40, ink, ground, bold=True)
    counts = Counter(map(tuple, tile.reshape(-1, 3).tolist()))
    assert max(contrast(pixel, ground) for pixel, count in counts.items() if count > 20) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == 1
    assert contrast((119, 119, 119), WHITE) == pytest.approx(4.48, abs=0.01)  # the known grey that just fails


def test_text_that_is_hard_to_read_is_refused() -> None:
    with pytest.raises(ValueError, match="hard to read"):
        text_tile("no", 20, STATE_COLOUR[State.ALERT], AMBER)


def test_states_differ_in_shape_without_colour_and_without_words() -> None:
    shapes = [(state_chip(state, 26, words=False).sum(axis=2) < 60) for state in State]
    for i, one in enumerate(shapes):
        for other in shapes[i + 1 :]:
            assert (one ^ other).mean() > 0.04


def test_state_colours_differ_for_colour_blind_eyes_or_in_lightness() -> None:
    # Viénot, Brettel, Mollon 1999, "Digital video colourmaps for checking the legibility of displays by
    # dichromats", Color Research & Application 24(4), p. 243: linear RGB to LMS, one cone lost.
    to_lms = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    protan = [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]
    deutan = [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]
    for matrix in (protan, deutan):
        seen = {}
        for state in (State.CLEAR, State.UNCERTAIN, State.SUSPICIOUS, State.ALERT):
            linear = (np.array(STATE_COLOUR[state][::-1]) / 255) ** 2.2
            rgb = np.clip(np.linalg.inv(to_lms) @ np.array(matrix) @ to_lms @ linear, 0, 1) ** (1 / 2.2)
            seen[state] = cv2.cvtColor(rgb.astype(np.float32)[None, None], cv2.COLOR_RGB2Lab)[0, 0]
        names = list(seen)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


def test_a_lost_signal_says_so_and_hides_stale_faces() -> None:
    shown, state = scene("720p-lost")
    plates = plan(shown, state)
    assert not any(plate.track for plate in plates)
    banner = plates[0]
    x1, y1, x2, y2 = banner.rect
    assert abs((x1 + x2) / 2 - 640) <= 1
    assert abs((y1 + y2) / 2 - 360) <= 1
    assert (banner.tile == np.array(AMBER)).all(axis=2).mean() > 0.3
    before = draw(shown, health())
    assert draw(shown, state)[300:420, 20:60].mean() < 0.5 * before[300:420, 20:60].mean()


def test_a_note_and_a_damaged_picture_are_told() -> None:
    shown = result(background(640, 480, "dark"), ())
    plain = plan(shown, health())[-1].tile.shape[0]
    assert plan(shown, health(note="one camera of two"))[-1].tile.shape[0] > plain
    damaged = Result(Frame(shown.frame.image, 1.0, 1.0, 1, corrupt=True), State.NO_FACE, (), ())
    assert plan(damaged, health())[-1].tile.shape[0] > plain


def test_a_face_without_score_says_why() -> None:
    view = face(1, (200, 150, 300, 270), State.UNCERTAIN, 60.0, "turned away")
    other = face(1, (200, 150, 300, 270), State.UNCERTAIN, 60.0, "too small")
    image = background(640, 480, "dark")
    one, two = (next(p for p in plan(result(image, (v,)), health()) if p.track) for v in (view, other))
    reason = text_tile("turned away", 13, WHITE, PLATE)
    at = one.tile[state_chip(State.UNCERTAIN, 13).shape[0] :][: reason.shape[0], : reason.shape[1]]
    assert np.array_equal(at, reason)
    assert not np.array_equal(one.tile[: two.tile.shape[0]], two.tile)


def test_the_curve_shows_ten_seconds_with_gaps_where_nothing_was_scored() -> None:
    colour = STATE_COLOUR[State.ALERT]
    times = [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    tile = curve_tile(tuple((t, 0.9) for t in times), 10.0, colour, 200, 40, 20)
    drawn = (tile == np.array(colour)).all(axis=2).any(axis=0)
    assert drawn[20:40].any()  # 1..2 s
    assert not drawn[60:110].any()  # 3..5.5 s
    assert drawn[130:190].all()
    old = curve_tile(((-5.0, 0.9),), 10.0, colour, 200, 40, 20)
    assert not (old == np.array(colour)).all(axis=2).any()
    high, low = (curve_tile(((9.0, v), (10.0, v)), 10.0, colour, 200, 40, 20) for v in (0.95, 0.05))
    rows = [np.flatnonzero((t == np.array(colour)).all(axis=2).any(axis=1)).mean() for t in (high, low)]
    assert rows[0] < 15 < 25 < rows[1]


def test_long_names_keep_both_ends_and_fit() -> None:
    cut = shorten(LONG, 16, 200, bold=True)
    assert text_width(cut, 16, bold=True) <= 200
    assert cut.startswith("rtsp://")
    assert cut.endswith("high")
    assert shorten("front\n\tdoor\x1b[31m", 16, 500) == "front door [31m"
    assert shorten("front-door", 16, 10) == ""


def test_notes_are_wrapped_between_words() -> None:
    lines = wrap("reconnecting in 4 s: connection refused by the server at the front door", 16, 180, 3)
    assert len(lines) == 3
    assert all(text_width(line, 16) <= 180 for line in lines)
    assert lines[0].startswith("reconnecting")


def test_where_there_is_no_room_no_place_is_found() -> None:
    box = (10, 10, 50, 50)
    assert place(Label([(30, 10)], [0.0], box, [(0, 0, 100, 100)], [box], (100, 100), 13)) is None
    assert place(Label([(300, 10)], [0.0], box, [], [box], (100, 100), 13)) is None
    found = place(Label([(300, 10), (30, 10)], [0.0, 1.0], box, [], [box], (100, 100), 13))
    assert found is not None
    assert found[0] == 1


@st.composite
def boxes(draw_one: st.DrawFn, most: int = 200) -> Box:
    x, y = draw_one(st.integers(0, 380)), draw_one(st.integers(0, 280))
    return x, y, x + draw_one(st.integers(1, most)), y + draw_one(st.integers(1, most))


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 150), st.integers(5, 60), st.floats(0, 0.5)), min_size=1, max_size=4),
    boxes(),
    st.lists(boxes(60), max_size=4),
    st.lists(boxes(), max_size=2),
    st.integers(13, 30),
)
def test_what_is_chosen_at_once_is_what_weighing_all_places_would_choose(
    forms: list[tuple[int, int, float]], box: Box, taken: list[Box], others: list[Box], em: int
) -> None:
    sizes, penalties = [(w, h) for w, h, _ in forms], sorted(penalty for _, _, penalty in forms)
    face = box[0], box[1], min(box[2], 400), min(box[3], 300)
    label = Label(sizes, penalties, face, taken, [face, *others], (400, 300), em)
    assert at_once(label) in (None, of_all(label))
    assert place(label) == of_all(label)


def test_a_label_with_room_around_its_face_is_placed_at_once() -> None:
    def found(*taken: Box) -> tuple[int, int, int] | None:
        face = (300, 200, 400, 320)
        return at_once(Label([(120, 50), (80, 20)], [0.0, 0.15], face, taken, [face], (1280, 720), 20))

    assert found((10, 10, 200, 40)) == (0, 300, 145)
    assert found((310, 150, 330, 160)) == (0, 300, 325)
    assert found((250, 100, 450, 420)) is None
    # Half a gap of five is kept on each side of the first place, (300, 145, 420, 195).
    for free, near in (
        ((250, 150, 297, 160), (250, 150, 298, 160)),
        ((423, 150, 430, 160), (422, 150, 430, 160)),
        ((350, 100, 360, 142), (350, 100, 360, 143)),
        ((350, 198, 360, 199), (350, 197, 360, 199)),
    ):
        assert found(free) == (0, 300, 145)
        assert found(near) != (0, 300, 145)


@pytest.mark.parametrize(
    ("age", "shown"), [(0.0, 0.0), (0.004, 0.01), (0.0201, 0.03), (0.03, 0.03), (1.01, 1.1), (None, None)]
)
def test_an_age_is_shown_in_steps_and_never_as_less_than_it_is(
    age: float | None, shown: float | None
) -> None:
    assert displayed(health(age=age)).age == (None if shown is None else pytest.approx(shown))


def test_what_is_said_of_the_stream_is_drawn_anew_only_where_it_changes() -> None:
    image = background(1280, 720, "dark")
    first, same, other = (
        plan(result(image, ()), health(age=age, frames=frames))
        for age, frames in ((0.012, 1), (0.019, 2), (0.021, 3))
    )
    assert all(a is b for a, b in zip(first, same, strict=True))
    assert first[-1] is not other[-1]
    with pytest.raises(ValueError, match="read-only"):
        first[0].tile[:] = 0


def test_two_faces_at_720p_cost_at_most_two_and_a_half_ms() -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        shown, _ = scene("720p-2")
        costs = []
        for index in range(40):
            changed = health(age=0.040 + index / 1000)  # words that change cost more than cached ones
            begin = time.perf_counter()
            draw(shown, changed)
            costs.append(time.perf_counter() - begin)
        assert np.percentile(costs, 25) <= 0.0025
    finally:
        cv2.setNumThreads(threads)
