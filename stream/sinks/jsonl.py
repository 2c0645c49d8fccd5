"""The sink `jsonl:PATH`: one line of JSON per event, appended to a file (`jsonl:-` is standard output)."""

import json
import os
import stat
from pathlib import Path

from stream.errors import ConfigError, OutputError
from stream.sinks import Sink, SinkOptions, to_json
from stream.sinks.console import StandardOutput
from stream.values import Alert, Phase

SCHEMES = ("jsonl",)


def open(spec: str, options: SinkOptions) -> Sink:
    """Open `jsonl:PATH`. Raises ConfigError without a path, OutputError if it cannot be written."""
    name = spec.partition(":")[2]
    if not name:
        raise ConfigError("the alert sink 'jsonl' needs a file, jsonl:alerts.jsonl, or jsonl:- for stdout")
    return JsonLinesOut() if name == "-" else JsonLines(Path(os.path.expanduser(name)))


class JsonLinesOut:
    """Lines of JSON on standard output."""

    def __init__(self) -> None:
        self._out = StandardOutput()

    def __str__(self) -> str:
        return "jsonl:-"

    def send(self, alert: Alert) -> None:
        """Write one line. Raises OSError if nobody reads."""
        self._out.write(json.dumps(to_json(alert)))

    def close(self) -> None:
        """Nothing is held back."""


class JsonLines:
    """Lines of JSON at the end of a file. What stands in it is never touched.

    A line is in the file when send() returns; openings and closings are on the disk. A half line, left by a
    crash or a full disk, is ended before the next one. A file that was moved away (logrotate) is made anew.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for appending. Raises OutputError."""
        self._path = path
        try:
            self._file = self._open()
        except OSError as error:
            raise OutputError(f"cannot write alerts to {path}: {error.strerror}") from error

    def __str__(self) -> str:
        return f"jsonl:{self._path}"

    def send(self, alert: Alert) -> None:
        """Append one line. Raises OSError."""
        self._follow()
        kind = os.fstat(self._file)
        plain = stat.S_ISREG(kind.st_mode)
        data = json.dumps(to_json(alert)).encode() + b"\n"
        if plain and kind.st_size:
            os.lseek(self._file, -1, os.SEEK_END)
            if os.read(self._file, 1) != b"\n":
                data = b"\n" + data
        while data:
            data = data[os.write(self._file, data) :]
        if plain and alert.phase is not Phase.UPDATED:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        binary = getattr(os, "O_BINARY", 0)  # Windows
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | binary, 0o644)

    def _follow(self) -> None:
        """Open the path again if it is no longer the file that we hold."""
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._file)):
                return
        except FileNotFoundError:
            pass
        fresh = self._open()
        os.close(self._file)
        self._file = fresh
