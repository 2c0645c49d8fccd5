"""The command `facewitness history`: what was checked and what alarmed, listed, exported, forgotten."""

import csv
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from stream import logs
from stream.check.command import plain
from stream.errors import ConfigError
from stream.history.values import Entry, EntryKind, Query
from stream.sinks.console import StandardOutput
from stream.values import State

COLUMNS = ("id", "at", "kind", "verdict", "fake", "name", "by")
LISTED = 50  # entries that a list shows if nobody says how many; an export holds all
DAY = 86400.0  # s
_UNITS = {"m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
_AGO = re.compile(r"(\d{1,6})([mhdw])")


def history(
    db: str | None = None,
    since: str | None = None,
    until: str | None = None,
    text: str = "",
    verdict: str | None = None,
    kind: str | None = None,
    by: str | None = None,
    limit: int | None = None,
    json_lines: bool = False,
    csv_rows: bool = False,
    forget: float | None = None,
) -> int:
    """List what is kept, or delete what is older than `forget` days. Returns the exit code.

    since, until: as `moment` reads them; limit: entries. Raises ConfigError, OutputError.
    """
    from stream.history.address import default_database
    from stream.history.store import History  # on use: the packages for databases are an extra

    logs.set_up("text", quiet=True)
    now = time.time()
    try:
        query = Query(
            kind=EntryKind(kind) if kind else None,
            text=text,
            verdict=State(verdict) if verdict else None,
            since=moment(since, now),
            until=moment(until, now),
            by=by,
            brief=not json_lines,
        )
    except ValueError as error:
        raise ConfigError(f"history: {error}") from None
    kept = History(db or default_database())
    try:
        if forget is not None:
            print(f"{kept.forget(now - forget * DAY)} entries deleted")
            return 0
        most = limit if limit or json_lines or csv_rows else LISTED
        _write(itertools.islice(kept.export(query), most), json_lines, csv_rows)
    except BrokenPipeError:
        return 0  # `… | head` has seen enough
    finally:
        kept.close()
    return 0


def moment(word: str | None, now: float) -> float | None:
    """s since the epoch. word: `2026-11-27`, `2026-11-27T16:50` (local time, or with a zone) or `7d` (ago).

    The units are m, h, d, w. Raises ConfigError.
    """
    if word is None:
        return None
    if match := _AGO.fullmatch(word):
        return now - int(match[1]) * _UNITS[match[2]]
    try:
        return datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"'{word[:40]}' is no time: 2026-11-27, 2026-11-27T16:50 or 7d (ago)") from None


def as_json(entry: Entry) -> dict[str, Any]:
    """As JSON values, schema 1: the fields of Entry, and `time`, ISO 8601 UTC."""
    fields = {**asdict(entry), "kind": entry.kind.value, "verdict": entry.verdict.value}
    return {"schema": 1, "type": "entry", **fields, "time": iso(entry.at)}


def csv_row(entry: Entry) -> list[Any]:
    """The values of COLUMNS. A text that a spreadsheet would take for a formula gets a quote before it."""
    fake = "" if entry.fake is None else f"{entry.fake:.5g}"
    values = [entry.id, iso(entry.at), entry.kind.value, entry.verdict.value, fake, entry.name, entry.by]
    return [
        f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@", "\t", "\r") else v for v in values
    ]


def row(entry: Entry) -> str:
    """One line for a person, in local time."""
    when = _date(entry.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    fake = f"{entry.fake:4.0%} fake" if entry.fake is not None else f"{'–':>9}"
    by = f"  by {entry.by}" if entry.by else ""
    line = (
        f"{entry.id:>6}  {when}  {entry.kind.value:<5}  {entry.verdict.value:<10}  {fake}  {entry.name}{by}"
    )
    return plain(line)


def iso(at: float) -> str:
    """s since the epoch as ISO 8601, UTC."""
    return _date(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):  # another program may have written anything
        return datetime.fromtimestamp(0, UTC)


def _write(entries: Iterator[Entry], json_lines: bool, csv_rows: bool) -> None:
    out = StandardOutput()
    if csv_rows:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(COLUMNS)
        for entry in entries:
            rows.writerow(csv_row(entry))
        sys.stdout.flush()
        return
    for entry in entries:
        out.write(json.dumps(as_json(entry)) if json_lines else row(entry))
