"""The overlay's palette and its finished pieces: words, state signs and curves as small opaque pictures.

Colours: Okabe and Ito, "Color Universal Design", 2008 (https://jfly.uni-koeln.de/color/), which people with
every kind of colour vision tell apart; each state has a word and a shape of its own besides. Words stand on
solid plates with a contrast of at least 4.5:1 (WCAG 2.2, success criterion 1.4.3).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.values import State

Image = NDArray[np.uint8]
Rows = Sequence[Sequence[Image]]  # of tiles, from top to bottom, from left to right
Colour = tuple[int, int, int]  # BGR

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
PLATE: Colour = (26, 22, 20)
DIM: Colour = (190, 184, 180)  # less important words on PLATE
GRID: Colour = (78, 70, 66)
AMBER: Colour = (0, 159, 230)  # Okabe-Ito orange
STATE_COLOUR: dict[State, Colour] = {
    State.NO_FACE: (204, 204, 204),  # a neutral grey beside the palette's hues
    State.UNCERTAIN: (233, 180, 86),  # sky blue
    State.CLEAR: (115, 158, 0),  # bluish green
    State.SUSPICIOUS: AMBER,
    State.ALERT: (0, 94, 213),  # vermilion
}
CAP_HEIGHT = 0.7  # of the em, of both type faces
CURVE_SECONDS = 10.0  # s that a curve shows
CURVE_RATE = 10  # steps a second in which a curve moves on; to draw it is a fifth of the overlay's cost
CURVE_GAP = 1.5  # s without a score that interrupt a curve
CURVE_POINTS = 600  # newest points drawn at most
LONGEST = 160  # characters of a word or name that are looked at

_FACE: Any = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None  # OpenCV 5 brings an outline font
_HERSHEY = cv2.FONT_HERSHEY_SIMPLEX  # what OpenCV 4 has


def blank(height: int, width: int, colour: Colour) -> Image:
    """A plate of one colour; several times faster than numpy.full."""
    tile = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(tile, (0, 0), (width, height), colour, cv2.FILLED)
    return tile


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio of two BGR colours, 1..21 (WCAG 2.2, "relative luminance", "contrast ratio")."""

    def luminance(colour: Colour) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)
        ]
        return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@lru_cache(maxsize=512)
def text_width(text: str, em: int, bold: bool = False) -> int:
    """Width in px of a line of text whose type size is `em` px."""
    if _FACE is not None:
        x, _, width, _ = cv2.getTextSize((1, 1), text, (0, 0), _FACE, em, _weight(bold))  # type: ignore[call-overload]
        return int(x + width) + 1
    scale, thickness = _hershey_scale(em, bold)
    return int(cv2.getTextSize(_plain(text), _HERSHEY, scale, thickness)[0][0]) + 1


@lru_cache(maxsize=256)
def text_tile(
    text: str, em: int, ink: Colour, ground: Colour, bold: bool = False, pad: float = 0.45
) -> Image:
    """A line of text on its plate, (1.6 em, width + 2 pad em, 3) uint8 BGR. Not to be written to.

    Raises ValueError if ink and ground differ by less than 4.5:1.
    """
    if contrast(ink, ground) < 4.5:
        raise ValueError(f"text of {ink} on {ground} is hard to read")
    side = round(pad * em)
    tile = blank(round(1.6 * em), text_width(text, em, bold) + 2 * side, ground)
    base = (side, round(0.8 * em + CAP_HEIGHT * em / 2))
    if _FACE is not None:
        cv2.putText(tile, text, base, ink, _FACE, em, _weight(bold))  # type: ignore[call-overload]
    else:
        scale, thickness = _hershey_scale(em, bold)
        cv2.putText(tile, _plain(text), base, _HERSHEY, scale, ink, thickness, cv2.LINE_AA)
    return _frozen(tile)


def shorten(text: str, em: int, room: int, bold: bool = False) -> str:
    """The text on one line, its middle left out where it is wider than `room` px; "" if nothing fits."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[:LONGEST]).split())
    if text_width(text, em, bold) <= room:
        return text
    low, high = 0, len(text) - 1  # characters kept
    while low < high:
        kept = (low + high + 1) // 2
        low, high = (kept, high) if text_width(_cut(text, kept), em, bold) <= room else (low, kept - 1)
    return _cut(text, low) if low >= 3 else ""


def wrap(text: str, em: int, room: int, lines: int) -> list[str]:
    """Break a text between words into at most `lines` lines of `room` px; what is left over is shortened."""
    words = shorten(text, em, 1 << 30).split()
    out: list[str] = []
    while words and len(out) < lines:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), em) <= room:
            count += 1
        last = len(out) == lines - 1
        out.append(shorten(" ".join(words if last else words[:count]), em, room))
        words = words[count:]
    return [line for line in out if line]


@lru_cache(maxsize=64)
def state_chip(state: State, em: int, words: bool = True) -> Image:
    """The state's sign and, unless there is no room, its word, black on its colour. Not to be written to."""
    colour, side = STATE_COLOUR[state], round(1.6 * em)
    sign = blank(side, side, colour)
    _draw_sign(sign, state, em)
    if not words:
        return _frozen(sign)
    word = text_tile(state.value, em, BLACK, colour, bold=True, pad=0.0)
    end = blank(side, round(0.5 * em), colour)
    return _frozen(np.hstack([sign, word, end]))


def curve_tile(
    history: tuple[tuple[float, float], ...], now: float, colour: Colour, width: int, height: int, em: int
) -> Image:
    """The scores of the last `CURVE_SECONDS` s up to `now`, (height, width, 3): 0 below, 1 above.

    It moves on CURVE_RATE times a second. Not to be written to.
    """
    return _curve(history, math.ceil(now * CURVE_RATE) / CURVE_RATE, colour, width, height, em)


@lru_cache(maxsize=64)
def _curve(
    history: tuple[tuple[float, float], ...], now: float, colour: Colour, width: int, height: int, em: int
) -> Image:
    line = max(round(em / 9), 2)
    inset = 2 * line + 1
    tile = _curve_ground(width, height, em, line).copy()
    points = np.array(history[-CURVE_POINTS:], np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[(points[:, 0] >= now - CURVE_SECONDS) & (points[:, 0] <= now)]
    if not len(points):
        return _frozen(tile)
    x = inset + (points[:, 0] - now + CURVE_SECONDS) / CURVE_SECONDS * (width - 1 - 2 * inset)
    y = inset + (1 - np.clip(points[:, 1], 0, 1)) * (height - 1 - 2 * inset)
    pixels = np.stack([x, y], axis=1).round().astype(np.int32)
    runs = np.split(pixels, np.flatnonzero(np.diff(points[:, 0]) > CURVE_GAP) + 1)
    cv2.polylines(tile, runs, False, colour, line, cv2.LINE_AA)
    cv2.circle(tile, (int(pixels[-1, 0]), int(pixels[-1, 1])), 2 * line, colour, -1, cv2.LINE_AA)
    return _frozen(tile)


@lru_cache(maxsize=64)
def _curve_ground(width: int, height: int, em: int, line: int) -> Image:
    """What stands behind a curve of lines that wide: the middle dotted, the bottom ruled."""
    tile, inset, dot = blank(height, width, PLATE), 2 * line + 1, max(em // 16, 1)
    for left in range(inset, width - inset, max(em // 3, 2)):
        tile[height // 2 : height // 2 + dot, left : left + dot] = DIM
    tile[height - inset : height - inset + max(line // 2, 1), inset : width - inset] = GRID
    return _frozen(tile)


def extent(rows: Rows) -> tuple[int, int]:
    """Width and height in px of what `stack` makes of the rows."""
    width = max(sum(tile.shape[1] for tile in row) for row in rows)
    return width, sum(max(tile.shape[0] for tile in row) for row in rows)


def stack(rows: Rows) -> Image:
    """Rows of tiles, left-aligned, on one plate. Not to be written to."""
    width, height = extent(rows)
    plate = blank(height, width, PLATE)
    y = 0
    for row in rows:
        x = 0
        for tile in row:
            plate[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            x += tile.shape[1]
        y += max(tile.shape[0] for tile in row)
    return _frozen(plate)


def _draw_sign(tile: Image, state: State, em: int) -> None:
    """NO FACE: square; UNCERTAIN: ring; CLEAR: tick; SUSPICIOUS: diamond; ALERT: warning triangle."""
    side, line = tile.shape[0], max(round(em / 7), 2)
    middle, reach = side / 2, 0.46 * em

    def at(*pairs: tuple[float, float]) -> NDArray[np.int32]:
        return np.array([[(middle + u * reach) * 16, (middle + v * reach) * 16] for u, v in pairs]).astype(
            np.int32
        )

    if state is State.NO_FACE:
        cv2.polylines(
            tile, [at((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8))], True, BLACK, line, cv2.LINE_AA, 4
        )
    elif state is State.UNCERTAIN:
        centre = round(middle * 16), round(middle * 16)
        cv2.circle(tile, centre, round(0.85 * reach * 16), BLACK, line, cv2.LINE_AA, 4)
    elif state is State.CLEAR:
        cv2.polylines(
            tile, [at((-0.9, 0.1), (-0.25, 0.75), (0.95, -0.7))], False, BLACK, line, cv2.LINE_AA, 4
        )
    elif state is State.SUSPICIOUS:
        cv2.fillPoly(tile, [at((0, -1), (1, 0), (0, 1), (-1, 0))], BLACK, cv2.LINE_AA, 4)
    else:
        cv2.fillPoly(tile, [at((0, -1), (1.1, 0.9), (-1.1, 0.9))], BLACK, cv2.LINE_AA, 4)
        cv2.polylines(
            tile, [at((0, -0.35), (0, 0.25))], False, STATE_COLOUR[state], max(line // 2, 1), cv2.LINE_AA, 4
        )
        cv2.polylines(
            tile, [at((0, 0.6), (0, 0.62))], False, STATE_COLOUR[state], max(line // 2, 1), cv2.LINE_AA, 4
        )


def _frozen(tile: Image) -> Image:
    """A tile kept for later frames: nobody may draw on it."""
    tile.setflags(write=False)
    return tile


def _cut(text: str, kept: int) -> str:
    head = math.ceil(kept / 2)
    return text[:head] + "..." + text[len(text) - (kept - head) :]


def _weight(bold: bool) -> int:
    return 650 if bold else 450


def _hershey_scale(em: int, bold: bool) -> tuple[float, int]:
    thickness = max(round(em / (9 if bold else 14)), 1)
    return cv2.getFontScaleFromHeight(_HERSHEY, round(CAP_HEIGHT * em), thickness), thickness


def _plain(text: str) -> str:
    """Hershey's strokes know ASCII only."""
    return text.encode("ascii", "replace").decode("ascii")
