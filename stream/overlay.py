"""Draws what the stair says into a picture: a box and a label per face, the stream's state, its health.

`plan` decides what stands where, `draw` puts it there; both are pure. Sizes follow the picture's, with a
floor: in a small picture less is shown, never smaller.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from stream.heat import legend, paint
from stream.overlay_labels import (
    SMALLEST_EM,
    banner,
    displayed,
    headline,
    health_line,
    label_forms,
    margin_of,
)
from stream.overlay_layout import Box, Label, common, gap_between, place
from stream.overlay_text import BLACK, STATE_COLOUR, Colour, Image
from stream.values import Health, Result, State, TrackView

SMALL_PICTURE = 300  # px of height below which labels have no curve
BAND = tuple(State)  # from harmless to grave, as the enum lists them


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """An opaque piece of picture and where it goes."""

    x: int  # px, left
    y: int  # px, top
    tile: Image  # (h, w, 3) BGR
    track: int | None = None  # whose label it is; None: the stream's

    @property
    def rect(self) -> Box:
        """x1 y1 x2 y2 px; x2 and y2 are outside."""
        return self.x, self.y, self.x + self.tile.shape[1], self.y + self.tile.shape[0]


def type_size(width: int, height: int) -> int:
    """The type size (em) in px for a picture of that size."""
    return max(round(min(math.sqrt(width * height) / 46, width / 30)), SMALLEST_EM)


def draw(result: Result, health: Health) -> Image:
    """A copy of the frame, (H, W, 3) uint8 BGR, with the overlay on it."""
    picture = result.frame.image.copy()
    if not health.connected:
        cv2.convertScaleAbs(picture, picture, alpha=0.35)  # an old picture must not look live
    height, width = picture.shape[:2]
    em = type_size(width, height)
    plates = plan(result, health)
    if health.connected:
        owners = {plate.track: plate for plate in plates if plate.track is not None}
        for view in sorted(result.tracks, key=_gravity):
            if health.explain and view.heat is not None and view.track.seen:
                paint(picture, view.heat, view.track.box)
            _draw_track(picture, view, owners.get(view.track.id), em)
        if result.state is State.ALERT:
            edge = width - 1, height - 1
            cv2.rectangle(picture, (0, 0), edge, STATE_COLOUR[State.ALERT], max(em // 5, 2))
    for plate in plates:
        x1, y1, x2, y2 = plate.rect
        picture[y1:y2, x1:x2] = plate.tile
    return picture


def plan(result: Result, health: Health) -> tuple[Plate, ...]:
    """What is written, and where. All plates lie inside the picture and none covers another.

    Labels are placed in the order of gravity: where room is short, the most harmless face is first
    to lose its words.
    """
    height, width = result.frame.image.shape[:2]
    hot = health.explain and any(view.heat is not None for view in result.tracks)
    shown = displayed(health)
    plates = list(
        _of_stream(result.state, len(result.tracks), result.frame.corrupt, hot, shown, width, height)
    )
    if health.connected:
        _add_labels(plates, result, type_size(width, height))
    return tuple(plates)


@lru_cache(maxsize=128)
def _of_stream(
    state: State, faces: int, corrupt: bool, hot: bool, health: Health, width: int, height: int
) -> tuple[Plate, ...]:
    """What is said of the stream as a whole. It stays the same for many pictures. Not to be written to."""
    em = type_size(width, height)
    plates: list[Plate] = []
    if not health.connected:
        _add(plates, banner(health, width, em), "middle", width, height, em)
    _add(plates, headline(state, faces, health, width, em), "top", width, height, em)
    _add(plates, health_line(health, corrupt, width, em), "bottom", width, height, em)
    if health.connected and hot:
        _add(plates, legend(em), "right", width, height, em)
    return tuple(plates)


def _add_labels(plates: list[Plate], result: Result, em: int) -> None:
    """Put a label beside each face that is in the picture, as full as there is room."""
    height, width = result.frame.image.shape[:2]
    seen = [(view, _inside(view, width, height)) for view in result.tracks]
    seen = [(view, box) for view, box in seen if _has_area(box)]
    seen.sort(key=lambda pair: _gravity(pair[0]), reverse=True)
    faces = [box for _, box in seen]
    for view, face in seen:
        forms = label_forms(view, em, height >= SMALL_PICTURE, len(seen) > 1)
        sizes, penalties = [form.size(em) for form in forms], [form.penalty for form in forms]
        taken = [plate.rect for plate in plates]
        if found := place(Label(sizes, penalties, face, taken, faces, (width, height), em)):
            index, x, y = found
            plates.append(Plate(x, y, forms[index].tile(view, result.frame.time, em), view.track.id))


def _gravity(view: TrackView) -> tuple[int, float]:
    """Graver states after harmless ones, larger faces after smaller."""
    x1, y1, x2, y2 = (float(v) for v in view.track.box)
    return BAND.index(view.state), (x2 - x1) * (y2 - y1)


def _inside(view: TrackView, width: int, height: int) -> Box:
    """The face's box as far as it lies in the picture; a side that is no number lies at 0."""
    x1, y1, x2, y2 = (round(min(max(v, 0.0), 1e9)) if v == v else 0 for v in view.track.box.tolist())
    return min(x1, width - 1), min(y1, height - 1), min(x2, width - 1), min(y2, height - 1)


def _has_area(box: Box) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def _add(plates: list[Plate], forms: Iterable[Image], where: str, width: int, height: int, em: int) -> None:
    """Put the first form that fits at the top left, the bottom left, a right corner or in the middle."""
    margin = margin_of(width, em)
    taken = [plate.rect for plate in plates]
    for tile in forms:
        h, w = tile.shape[:2]
        right, low = width - margin - w, height - margin - h
        places = {
            "top": [(margin, margin)],
            "bottom": [(margin, low)],
            "right": [(right, low), (right, margin)],
            "middle": [((width - w) // 2, (height - h) // 2)],
        }[where]
        for x, y in places:
            inside = x >= 0 and y >= 0 and x + w <= width and y + h <= height
            if inside and not any(common((x, y, x + w, y + h), rect) for rect in taken):
                plates.append(Plate(x, y, tile))
                return


def _draw_track(picture: Image, view: TrackView, label: Plate | None, em: int) -> None:
    """The box: strong corners in the state's colour; the lines between them only while the face is seen."""
    height, width = picture.shape[:2]
    box = _inside(view, width, height)
    if not _has_area(box):
        return
    x1, y1, x2, y2 = box
    colour, thin = STATE_COLOUR[view.state], max(round(em / 14), 1)
    thick = max(round(em / 5), 2)
    if label is not None:
        _draw_leader(picture, label, (x1, y1, x2, y2), colour, em)
    arm = max(min(x2 - x1, y2 - y1) // 4, 1)
    corners = [
        np.array([[x, y + dy * arm], [x, y], [x + dx * arm, y]], np.int32)
        for x, dx in ((x1, 1), (x2, -1))
        for y, dy in ((y1, 1), (y2, -1))
    ]
    if view.track.seen:
        if thin > 1:
            cv2.rectangle(picture, (x1, y1), (x2, y2), BLACK, thin + 2)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thin)
    cv2.polylines(picture, corners, False, BLACK, thick + 2)
    cv2.polylines(picture, corners, False, colour, thick)


def _draw_leader(picture: Image, label: Plate, box: Box, colour: Colour, em: int) -> None:
    """A line from a label to its face where they stand apart."""
    lx1, ly1, lx2, ly2 = label.rect
    if gap_between(label.rect, box) <= 0.6 * em:
        return
    x1, y1, x2, y2 = box
    start = min(max((x1 + x2) // 2, lx1), lx2), min(max((y1 + y2) // 2, ly1), ly2)
    end = min(max(start[0], x1), x2), min(max(start[1], y1), y2)
    for ink, extra in ((BLACK, 2), (colour, 0)):
        cv2.line(picture, start, end, ink, max(em // 8, 1) + extra, cv2.LINE_AA)
