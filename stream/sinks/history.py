"""The sink `history:URL`: alerts kept in a database (stream/history), which may go away and come back."""

import time
from datetime import datetime

from stream.sinks import Sink, SinkOptions
from stream.values import Alert

SCHEMES = ("history",)


def open(spec: str, options: SinkOptions) -> Sink:
    """Open `history`, `history:PATH` or `history:mysql://…`. Raises ConfigError, OutputError."""
    return Kept(spec.partition(":")[2], options.flush)


class Kept:
    """Alerts on their way into a database."""

    def __init__(self, url: str, flush: float) -> None:
        """url: "" is the user's own database. flush: s for close(). Raises ConfigError, OutputError."""
        # On use: the packages for databases are an extra.
        from stream.history.address import default_database
        from stream.history.recorder import Recorder
        from stream.history.store import History

        self._history, self._flush = History(url or default_database()), flush
        self._recorder = Recorder(self._history)

    def __str__(self) -> str:
        return f"history:{self._history}"

    def send(self, alert: Alert) -> None:
        """Queue one event; the recorder counts and logs what it cannot keep."""
        self._recorder.put_alert(alert, alert.source, _time(alert.wall_time))

    def close(self) -> None:
        """Write what waits, `flush` s at most."""
        self._recorder.close(self._flush)
        self._history.close()


def _time(iso: str) -> float:
    """s since the epoch; now, where an event has no time."""
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return time.time()
