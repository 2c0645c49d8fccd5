"""The scores around an alert, as data and as a picture: a curve a face, the thresholds, the opening."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.evidence.job import Job
from stream.overlay_text import AMBER, DIM, GRID, PLATE, STATE_COLOUR, WHITE, Colour, blank, text_tile
from stream.values import State

WIDTH, HEIGHT, EM = 960, 360, 16  # px
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 36, 40  # px around the plot
GAP = 1.5  # s without a score that interrupt a curve


def curve_data(job: Job) -> dict[str, Any]:
    """The scores as JSON values; times are s on the source's clock, 0 of the picture is the alert's start.

    A face's entry: time, value (probability of fake, null with a reason), state, size (px of the face).
    """
    faces: dict[str, list[dict[str, Any]]] = {}
    for note in job.notes:
        for view in note.result.tracks:
            score = view.score
            if score is None or score.time != note.time:
                continue
            entry = {
                "time": round(score.time, 3),
                "value": None if score.value is None else round(score.value, 5),
                "reason": score.reason,
                "state": view.state.value,
                "size": None if view.quality is None else round(view.quality.size, 1),
            }
            faces.setdefault(str(score.track), []).append(entry)
    limits, alert = job.facts.thresholds, job.alert
    return {
        "schema": 1,
        "type": "scores",
        "track": alert.track,
        "start": round(alert.start, 3),
        "opened": round(alert.end, 3),
        "from": round(job.begin, 3),
        "to": round(job.end, 3),
        "thresholds": {"suspicious": limits.suspicious_on, "alert": limits.alert_on},
        "faces": faces,
    }


def draw_curve(data: dict[str, Any]) -> NDArray[np.uint8]:
    """The picture, (HEIGHT, WIDTH, 3) uint8 BGR."""
    picture = blank(HEIGHT, WIDTH, PLATE)
    begin, end = data["from"], max(data["to"], data["from"] + 1e-3)

    def at(time: float, value: float) -> tuple[int, int]:
        x = LEFT + (time - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)
        y = TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)
        return round(x), round(y)

    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        cv2.line(picture, at(begin, value), at(end, value), GRID, 1)
        _words(picture, f"{value:.2f}", 6, at(begin, value)[1] - EM)
    for second in range(int(np.ceil(begin - data["start"])), int(end - data["start"]) + 1):
        x, y = at(data["start"] + second, 0)
        cv2.line(picture, (x, y), (x, y + 5), DIM, 1)
        _words(picture, f"{second:+d} s" if second else "start", x - EM, y + 8)
    for name, colour in (("suspicious", AMBER), ("alert", STATE_COLOUR[State.ALERT])):
        level = data["thresholds"][name]
        cv2.line(picture, at(begin, level), at(end, level), colour, 1)
    opened = at(data["opened"], 0)[0]
    cv2.line(picture, (opened, TOP), (opened, HEIGHT - BOTTOM), STATE_COLOUR[State.ALERT], 2)
    for track, entries in data["faces"].items():
        _curve(picture, [(e["time"], e["value"]) for e in entries], at, _ink(data, track))
    title = f"probability of fake, face {data['track']}; the upright line: the alert was opened"
    _words(picture, title, LEFT, 4)
    return picture


def _ink(data: dict[str, Any], track: str) -> Colour:
    return WHITE if track == str(data["track"]) else DIM


def _curve(picture: NDArray[np.uint8], points: list[Any], at: Any, ink: Colour) -> None:
    before: tuple[float, float] | None = None
    for time, value in points:
        if value is not None and before is not None and time - before[0] <= GAP:
            cv2.line(picture, at(*before), at(time, value), ink, 2, cv2.LINE_AA)
        before = None if value is None else (time, value)


def _words(picture: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    """A line of text with its upper left corner there, as far as it fits."""
    tile = text_tile(text, EM, WHITE, PLATE, pad=0.0)
    y, x = max(y, 0), max(x, 0)
    height, width = min(tile.shape[0], HEIGHT - y), min(tile.shape[1], WIDTH - x)
    if height > 0 and width > 0:
        picture[y : y + height, x : x + width] = tile[:height, :width]
