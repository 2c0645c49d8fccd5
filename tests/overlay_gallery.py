"""Renders the overlay in many situations, to be looked at: `python -m tests.overlay_gallery DIR`."""

import math
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.overlay import draw
from stream.values import Frame, Health, Quality, Result, Score, State, Track, TrackView

SIZES = {
    "small": (320, 240),
    "vga": (640, 480),
    "720p": (1280, 720),
    "4k": (3840, 2160),
    "portrait": (1080, 1920),
}
STATES = (State.ALERT, State.CLEAR, State.UNCERTAIN, State.SUSPICIOUS, State.CLEAR)
VALUES = {
    State.ALERT: 0.93,
    State.SUSPICIOUS: 0.61,
    State.CLEAR: 0.04,
    State.UNCERTAIN: None,
    State.NO_FACE: None,
}
LONG = "rtsp://***@reception-camera-building-7.floor-3.example.org:8554/h264/ch1/main/av_stream?profile=high"


def background(width: int, height: int, kind: str) -> NDArray[np.uint8]:
    """A picture to draw on: dark, bright, or busy."""
    if kind in ("dark", "bright"):
        return np.full((height, width, 3), 6 if kind == "dark" else 250, np.uint8)
    row, column = np.mgrid[0:height, 0:width] / max(width, height)
    planes = [127 + 110 * np.sin(9 * row * k + 14 * column / k + k) for k in (1, 2, 3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def face(
    number: int, box: tuple[float, float, float, float], state: State, now: float, reason: str = "too small"
) -> TrackView:
    """A face with ten seconds of history that ends at its state's score."""
    x1, y1, x2, y2 = box
    points = [
        (x1 + u * (x2 - x1), y1 + v * (y2 - y1))
        for u, v in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    ]
    value = VALUES[state]
    last = 0.3 if value is None else value
    history = tuple(
        (now - 10 + t, min(max(last * t / 10 + 0.1 * math.sin(3 * t + number), 0), 1))
        for t in np.arange(0, 10.1, 0.2)
    )
    track = Track(
        number, np.array(box, np.float32), np.array(points, np.float32), 0.99, True, number % 4 != 3
    )
    score = Score(number, now, value, 16, reason if value is None else "")
    quality = Quality(x2 - x1, 90.0, 4.0, 1.0, 0.0 if value is None else 1.0, reason if value is None else "")
    return TrackView(track, state, score, quality, history)


def crowd(width: int, height: int, count: int, now: float) -> tuple[TrackView, ...]:
    """`count` faces side by side, in rows."""
    columns = max(math.ceil(math.sqrt(count * width / height)), 1)
    rows = max(math.ceil(count / columns), 1)
    cell_w, cell_h = width / columns, height / rows
    side = 0.45 * min(cell_w, cell_h)
    boxes = [((i % columns + 0.5) * cell_w, (i // columns + 0.55) * cell_h) for i in range(count)]
    return tuple(
        face(
            i + 1,
            (x - 0.42 * side, y - 0.5 * side, x + 0.42 * side, y + 0.5 * side),
            STATES[i % len(STATES)],
            now,
        )
        for i, (x, y) in enumerate(boxes)
    )


def result(image: NDArray[np.uint8], views: tuple[TrackView, ...], now: float = 60.0) -> Result:
    """A result whose state is that of its worst face."""
    worst = max((view.state for view in views), key=list(State).index, default=State.NO_FACE)
    return Result(Frame(image, now, now, 1800), worst, views, ())


def health(**changes: object) -> Health:
    """A stream that does well, but for `changes`."""
    fields = {"source": "front-door", "provider": "CPU", "connected": True, "fps": 29.8, "age": 0.054}
    fields |= {"frames": 1801, "dropped": 12, "note": ""}
    return Health(**{**fields, **changes})  # type: ignore[arg-type]


def names() -> list[str]:
    """The gallery's pictures: a size and a situation."""
    kinds = ("0", "1", "2", "5", "12", "edges", "huge", "lost")
    return [f"{size}-{kind}" for size in SIZES for kind in kinds]


def scene(name: str) -> tuple[Result, Health]:
    """One picture of the gallery before it is drawn on, and the stream's health in it."""
    size, kind = name.split("-")
    w, h = SIZES[size]
    if kind.isdigit():
        light = ("busy", "dark", "bright")[int(kind) % 3]
        return result(background(w, h, light), crowd(w, h, int(kind), 60)), health()
    if kind == "edges":
        ill = health(source=LONG, provider="TensorRT", age=2.31)
        return result(background(w, h, "busy"), at_the_edges(w, h)), ill
    if kind == "huge":
        one = (face(1, (-0.1 * w, -0.2 * h, 1.1 * w, 1.2 * h), State.SUSPICIOUS, 60),)
        return result(background(w, h, "bright"), one), health(note="the server sends damaged pictures")
    gone = health(
        connected=False, fps=0.0, age=8.2, source=LONG, note="reconnecting in 4 s: connection refused"
    )
    return result(background(w, h, "busy"), crowd(w, h, 2, 60)), gone


def at_the_edges(w: int, h: int) -> tuple[TrackView, ...]:
    """Faces half outside at the four corners, and two that overlap in the middle."""
    s = 0.4 * min(w, h)
    corners = [(-s / 3, -s / 3), (w - 0.7 * s, -s / 4), (-s / 4, h - 0.7 * s), (w - 0.6 * s, h - 0.6 * s)]
    corners += [(w / 2 - s * 0.6, h / 2 - s / 2), (w / 2 - s * 0.1, h / 2 - s / 2)]
    return tuple(
        face(i + 1, (x, y, x + 0.85 * s, y + s), STATES[i % 5], 60, "turned away")
        for i, (x, y) in enumerate(corners)
    )


def main(folder: str) -> None:
    """Write the gallery as PNG files, and what each cost."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name in names():
        what, how = scene(name)
        draw(what, how)
        begin = time.perf_counter()
        picture = draw(what, how)
        sys.stdout.write(f"{name:18} {1000 * (time.perf_counter() - begin):6.2f} ms\n")
        cv2.imwrite(str(target / f"{name}.png"), picture)


if __name__ == "__main__":
    main(sys.argv[1])
