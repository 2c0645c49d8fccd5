"""The JSON messages of the relay, made from results and alerts, and how score messages are thinned. Pure."""

import math
from typing import Any

from stream.identity.teller import likeness_json
from stream.sinks import to_json
from stream.values import Alert, Health, Result, TrackView

SCHEMA = 1  # of all messages; a field that changes its meaning raises it, a new field does not
PERIOD = 0.2  # s between two score messages of a stream whose states stay
STREAMS = 1024  # whose last score message is remembered

Message = dict[str, Any]


def scores_message(name: str, result: Result, health: Health) -> Message:
    """What one frame brought. name: the stream's. box: x, y, width, height in 0..1 of the picture.

    time: s on the source's clock; age: s, null where nothing is known; score: 0..1, null with a reason.
    """
    height, width = result.frame.image.shape[:2]
    return {
        "schema": SCHEMA,
        "type": "scores",
        "stream": name,
        "time": round(result.frame.time, 3),
        "state": result.state.value,
        "fps": round(health.fps, 1),
        "age": _number(health.age, 3),
        "tracks": [track_json(view, width, height) for view in result.tracks],
    }


def track_json(view: TrackView, width: int, height: int) -> Message:
    """One face as messages and the list of streams show it. width, height: px of the picture.

    person, likeness (a probability), answer: of who is expected. drift: 1 - cosine to the track's beginning.
    """
    x1, y1, x2, y2 = (float(value) for value in view.track.box)
    left, right = (_share(x, width) for x in (x1, x2))
    top, bottom = (_share(y, height) for y in (y1, y2))
    score = view.score
    reason = score.reason if score is not None else ""
    return {
        "id": view.track.id,
        "state": view.state.value,
        "score": None if score is None else _number(score.value, 4),
        "reason": reason or (view.quality.reason if view.quality is not None else ""),
        "box": [left, top, max(round(right - left, 4), 0.0), max(round(bottom - top, 4), 0.0)],
        **likeness_json(view.likeness),
    }


def alert_message(name: str, alert: Alert) -> Message:
    """An event of an alert, with the fields of stream.sinks.to_json. name: the stream's."""
    return {**to_json(alert), "stream": name}


def stream_message(name: str, event: str, note: str = "") -> Message:
    """What became of a stream. event: "live", "lost" or "ended"."""
    return {"schema": SCHEMA, "type": "stream", "stream": name, "event": event, "note": note}


class Thinner:
    """Lets one score message a PERIOD of each stream pass, and at once any whose states are new. Pure."""

    def __init__(self, period: float = PERIOD) -> None:
        """period: s."""
        self._period = period
        self._last: dict[str, tuple[float, tuple[Any, ...]]] = {}  # when (s), and the states told then

    def passes(self, message: Message, now: float) -> bool:
        """Whether to send a score message. now: s, never runs backwards."""
        name = message["stream"]
        states = (message["state"], *((track["id"], track["state"]) for track in message["tracks"]))
        told = self._last.get(name)
        if told is not None and told[1] == states and now - told[0] < self._period:
            return False
        self._last.pop(name, None)  # so that the order is that of the last messages
        self._last[name] = (now, states)
        while len(self._last) > STREAMS:
            del self._last[next(iter(self._last))]
        return True


def _number(value: float | None, digits: int) -> float | None:
    """Rounded; None for what JSON cannot say."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _share(position: float, size: int) -> float:
    return 0.0 if not math.isfinite(position) else round(min(max(position / size, 0.0), 1.0), 4)
