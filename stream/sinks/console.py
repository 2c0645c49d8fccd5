"""The sink `console`: one line for humans per event, on standard output."""

import os
import sys

from stream.errors import ConfigError
from stream.sinks import Sink, SinkOptions
from stream.values import Alert, Phase

SCHEMES = ("console",)


def open(spec: str, options: SinkOptions) -> Sink:
    """Open `console`. Raises ConfigError if anything follows the word."""
    if spec.lower() != "console":
        raise ConfigError("the alert sink 'console' takes nothing behind its name")
    return Console()


def clock(seconds: float) -> str:
    """Seconds as 0:08.2 or 1:02:03.4."""
    tenths = round(max(seconds, 0.0) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def line(alert: Alert) -> str:
    """One event in words. Control characters in names are escaped: a source must not steer the terminal."""
    source = "".join(c if c.isprintable() else repr(c)[1:-1] for c in alert.source)
    when = f"at {clock(alert.start)}"
    if alert.phase is not Phase.OPENED:
        when = f"from {clock(alert.start)} to {clock(alert.end)}"
    text = f"ALERT {alert.phase.value}  {source}  face {alert.track}  {when}  peak {alert.peak:.2f}"
    return text if alert.phase is Phase.OPENED else f"{text}  mean {alert.mean:.2f}"


class StandardOutput:
    """Lines on standard output that survive a reader who goes away (`facewitness … | head -1`)."""

    def __init__(self) -> None:
        self._gone = False

    def write(self, text: str) -> None:
        """Write one line and flush it. Raises OSError if nobody reads any more."""
        if self._gone:
            raise BrokenPipeError("nobody reads standard output any more")
        out = sys.stdout
        # A status line may stand in this row of the terminal.
        text = f"\r\x1b[K{text}\n" if out.isatty() else f"{text}\n"
        encoding = out.encoding or "utf-8"
        try:
            out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            out.flush()
        except BrokenPipeError:
            self._gone = True
            self._silence()
            raise BrokenPipeError("nobody reads standard output any more") from None

    @staticmethod
    def _silence() -> None:
        """Point standard output at nothing, or the interpreter complains about it when it ends."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, sys.stdout.fileno())
        finally:
            os.close(nothing)


class Console:
    """Tells a human."""

    def __init__(self) -> None:
        self._out = StandardOutput()

    def __str__(self) -> str:
        return "console"

    def send(self, alert: Alert) -> None:
        """Print one line. Raises OSError if nobody reads."""
        self._out.write(line(alert))

    def close(self) -> None:
        """Nothing is held back."""
