"""Log lines for people and for service managers; no credential passes."""

import json
import logging
import sys

from stream.redact import RedactingFilter


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{record.msecs:03.0f}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:  # where the filter leaves it, redacted
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def set_up(style: str, quiet: bool) -> None:
    """Log to stderr. style: "text" or "json". quiet: errors only."""
    handler = logging.StreamHandler(sys.stderr)
    row = "\r\x1b[K" if sys.stderr.isatty() else ""  # a status line may stand in this row of the terminal
    text = logging.Formatter(f"{row}%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(_Json() if style == "json" else text)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR if quiet else logging.WARNING)
    logging.getLogger("stream").setLevel(logging.ERROR if quiet else logging.INFO)


class Trickle:
    """Lets so many lines through in so many seconds and counts the rest: no source can flood the log."""

    def __init__(self, lines: int, seconds: float) -> None:
        self._lines, self._seconds = lines, seconds
        self._begin, self._count = -seconds, 0

    def admit(self, now: float) -> tuple[bool, int]:
        """Whether one more line may pass, and how many were held back in a time that has just ended.

        now: s, never falling.
        """
        held = 0
        if now - self._begin >= self._seconds:
            held, self._begin, self._count = max(self._count - self._lines, 0), now, 0
        self._count += 1
        return self._count <= self._lines, held
