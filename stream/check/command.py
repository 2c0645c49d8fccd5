"""The command `facewitness check FILE…`: a row a file, and JSON, CSV and a page where they are asked for."""

import contextlib
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

from stream import logs
from stream.check.checker import Checker
from stream.check.order import Checked, CheckOptions
from stream.check.page import html
from stream.check.values import FileReport, Limits
from stream.errors import ConfigError, FileMissing, OutputError
from stream.networks import open_networks
from stream.providers import choose
from stream.values import State

if TYPE_CHECKING:
    from stream.history.recorder import Recorder

FOUND, SUSPECTED = 50, 51  # exit codes: an ALERT among the files, a SUSPICIOUS and no ALERT
# What is looked for in folders.
_PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"))
_VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv"))
SUFFIXES = _PICTURES | _VIDEOS | {".heif", ".flv", ".3gp", ".ogv"}
COLUMNS = (
    "file", "verdict", "fake", "real", "faces", "kind", "seconds", "width", "height", "codec", "sha256",
    "model", "error_code", "error",
)  # fmt: skip
MOST = 10_000  # files of one run
_BAR = 24  # characters
_PATIENCE = 10.0  # s that the history has at the end


def check(
    files: Sequence[str],
    model: str = "detector",
    provider: str = "auto",
    threads: int = 1,
    seconds: float | None = None,
    json_file: str | None = None,
    csv_file: str | None = None,
    report: str | None = None,
    explain: bool = True,
    quiet: bool = False,
    history: bool = False,
    db: str | None = None,
) -> int:
    """Check files and all media in folders; returns the exit code.

    json_file, csv_file, report: where these go; "-" is stdout, but for the report. history: keep the checks,
    in the database db if that is given. Raises a FacewitnessError
    for what can be told before the first file.
    """
    logs.set_up("text", quiet=True)
    if [json_file, csv_file].count("-") > 1:
        raise ConfigError("--json and --csv cannot both go to stdout")
    paths = list(media_in(files))
    if len(paths) > MOST:
        raise ConfigError(f"{len(paths)} files: {MOST} are the most")
    limits = Limits() if seconds is None else replace(Limits(), seconds=seconds)
    options = CheckOptions(model, choose(provider), threads, limits, explain)
    open_networks(model, options.providers, threads, min_face=60)  # a model that is none is told once
    done: list[tuple[Path, Checked]] = []
    with contextlib.ExitStack() as stack:
        outputs = _Outputs(stack, json_file, csv_file, report)
        recorder = _recorder(stack, db) if history or db else None
        bar = Bar(sys.stderr, len(paths)) if sys.stderr.isatty() and not quiet else None
        checker = Checker()
        stack.callback(checker.stop)
        for number, path in enumerate(paths):
            checked = checker.check(path, options, bar.of(number, path.name) if bar else None)
            if bar:
                bar.clear()
            outputs.add(path, checked.report)
            if recorder:
                recorder.put_check(checked.report, "", time.time())
            if not outputs.takes_stdout:
                print(row(path, checked.report), flush=True)
            done.append((path, _kept(checked, report is not None)))
        outputs.finish(done)
    lost = OutputError.exit_code if recorder and recorder.dropped else 0  # the log tells why
    return exit_code([checked.report for _, checked in done]) or lost


def _recorder(stack: contextlib.ExitStack, db: str | None) -> "Recorder":
    from stream.history.address import default_database  # on use: the packages for databases are an extra
    from stream.history.recorder import Recorder
    from stream.history.store import History

    kept = History(db or default_database())
    stack.callback(kept.close)
    recorder = Recorder(kept)
    stack.callback(recorder.close, _PATIENCE)
    return recorder


def _kept(checked: Checked, whole: bool) -> Checked:
    """Pictures are kept for the report alone."""
    return checked if whole else replace(checked, pictures={})


def media_in(files: Sequence[str]) -> Iterator[Path]:
    """The files, and the pictures and videos below the folders. Raises FileMissing for an empty folder."""
    for given in files:
        path = Path(given)
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise FileMissing(f"{given}: no pictures or videos in this folder")
        yield from found


def exit_code(reports: Sequence[FileReport]) -> int:
    """The gravest finding first, then the first error, then suspicion."""
    states = {report.verdict for report in reports}
    if State.ALERT in states:
        return FOUND
    for report in reports:
        if report.error is not None:
            return report.error.code
    return SUSPECTED if State.SUSPICIOUS in states else 0


def row(path: Path, report: FileReport) -> str:
    """One line for a person."""
    if report.error is not None and not report.faces:
        return plain(f"{'ERROR':<11}{'':>16}  {report.error.line}")
    real, fake = report.real, report.fake
    shares = f"{real:4.0%} real {fake:4.0%} fake" if real is not None and fake is not None else f"{'–':>20}"
    more = f", {len(report.faces)} faces" if len(report.faces) > 1 else ""
    reasons = {face.reason for face in report.faces if face.reason}
    why = f" ({', '.join(sorted(reasons))})" if report.verdict is State.UNCERTAIN and reasons else ""
    cut = f" — {report.error.line}" if report.error is not None else ""
    return plain(f"{report.verdict.value:<11}{shares}  {path}{more}{why}{cut}")


def plain(line: str) -> str:
    """A line that cannot steer a terminal: names of files may come from anybody."""
    return "".join(c if c.isprintable() else "?" for c in line).encode("utf-8", "replace").decode()


def csv_row(path: Path, report: FileReport) -> list[Any]:
    """The values of COLUMNS. A text that a spreadsheet would take for a formula gets a quote before it."""
    model = f"{report.model.name} {report.model.version}" if report.model else ""
    error = report.error
    values: list[Any] = [
        str(path), report.verdict.value, _number(report.fake), _number(report.real), len(report.faces),
        report.kind.value, _number(report.media.seconds), report.media.width, report.media.height,
        report.media.codec, report.sha256, model, error.code if error else "", error.line if error else "",
    ]  # fmt: skip
    return [f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for v in values]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


class _Outputs:
    """The files that are written; opened before anything is checked, so that a bad name is told at once."""

    def __init__(
        self, stack: contextlib.ExitStack, json_file: str | None, csv_file: str | None, report: str | None
    ) -> None:
        self._json = _opened(stack, json_file)
        self._csv = _opened(stack, csv_file)
        self._page = _opened(stack, report)
        self.takes_stdout = "-" in (json_file, csv_file)
        self._rows = csv.writer(self._csv, lineterminator="\n") if self._csv else None
        if self._rows:
            self._rows.writerow(COLUMNS)
        self._reports: list[dict[str, Any]] = []

    def add(self, path: Path, report: FileReport) -> None:
        if self._rows and self._csv:
            self._rows.writerow(csv_row(path, report))
            self._csv.flush()
        self._reports.append({**report.to_json(), "path": str(path)})

    def finish(self, done: Sequence[tuple[Path, Checked]]) -> None:
        if self._json:
            json.dump({"schema": 1, "type": "checks", "files": self._reports}, self._json, indent=1)
            self._json.write("\n")
        if self._page:
            self._page.write(html([checked for _, checked in done]))


def _opened(stack: contextlib.ExitStack, name: str | None) -> IO[str] | None:
    if name is None:
        return None
    if name == "-":
        return sys.stdout
    try:
        return stack.enter_context(open(name, "w", encoding="utf-8", newline="", errors="replace"))
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror or error}") from None


class Bar:
    """A line on a terminal about the file in work, with the time that is left for all."""

    def __init__(self, stream: TextIO, files: int) -> None:
        self._stream, self._files, self._begin = stream, files, time.monotonic()

    def of(self, number: int, name: str) -> "_OfOne":
        """The progress of file `number`, from 0 on."""
        return _OfOne(self, number, name)

    def show(self, number: int, name: str, share: float) -> None:
        """Rewrite the line."""
        done = (number + share) / self._files
        left = (time.monotonic() - self._begin) / done * (1 - done) if done > 0 else 0.0
        bar = f"[{'#' * round(done * _BAR):<{_BAR}}] {done:4.0%} {left:.0f} s left"
        self._stream.write(plain(f"{bar}  {name}")[:100].join(("\r\x1b[K", "")))
        self._stream.flush()

    def clear(self) -> None:
        """Leave the terminal clean for a row."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class _OfOne:
    def __init__(self, bar: Bar, number: int, name: str) -> None:
        self._bar, self._number, self._name = bar, number, name
        self(0.0)

    def __call__(self, share: float) -> None:
        self._bar.show(self._number, self._name, share)
