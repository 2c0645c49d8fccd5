"""The history: checks and alerts kept, searched, exported and forgotten."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from stream.check.values import FileReport
from stream.errors import OutputError, Refused
from stream.history.database import Database
from stream.history.sql import sa
from stream.history.tables import ENTRIES, LONGEST_FOLDED, LONGEST_NAME
from stream.history.values import LARGEST_ID, Entry, EntryKind, Found, Query
from stream.sinks import to_json
from stream.values import Alert, State

LARGEST = 1 << 20  # bytes of an entry's facts; beyond them the samples are left out
_PAGE = 20  # entries read at a time where facts are read too
_CHUNK = 500  # entries deleted at a time, so that a writer need not wait for long
_C = ENTRIES.c


class History:
    """Checks and alerts in a database. Thread-safe; each method may wait for the database."""

    def __init__(self, url: str) -> None:
        """Opens, makes or migrates the database; for `url` and what is raised see Database."""
        self._database = Database(url)

    def __repr__(self) -> str:
        return f"History({self._database})"

    def __str__(self) -> str:
        return str(self._database)

    def add_check(self, report: FileReport, by: str, at: float) -> int:
        """Keep the check of a file. by: the user, "" for none; at: s since the epoch, when it ended.

        Returns the entry's id. Raises OutputError, Refused, ValueError for what is no number.
        """
        values = {
            **_named(report.name),
            "kind": EntryKind.CHECK.value,
            "at": _finite(at),
            "verdict": report.verdict.value,
            "fake": _finite(report.fake),
            "by_user": _clean(by)[:64],
            "facts": _text(report.to_json()),
        }
        with self._database.writing() as connection:
            return _id(connection.execute(ENTRIES.insert(), values))

    def add_alert(self, alert: Alert, stream: str, at: float) -> int:
        """Keep an event of an alert: later ones alter the entry of its opening, but not its time.

        stream: its name; at: s since the epoch, of this event. Returns the entry's id. Raises OutputError,
        Refused.
        """
        values = {
            **_named(stream),
            "kind": EntryKind.ALERT.value,
            "at": _finite(at),
            "verdict": State.ALERT.value,
            "fake": _finite(alert.peak),
            "by_user": "",
            "alert_id": _clean(alert.id)[:255],
            "facts": _text(to_json(alert)),
        }
        try:
            return self._put_alert(values)
        except Refused:  # another process has just kept the same alert
            return self._put_alert(values)

    def search(self, query: Query) -> Found:
        """One page of entries, the newest first. Raises OutputError."""
        with self._database.reading() as connection:
            start = _start(connection, query.before) if query.before else None
            if query.before and start is None:
                return Found((), None)
            # One more than is asked for tells whether there is another page.
            rows = connection.execute(_select(query, start).limit(query.limit + 1)).all()
        entries = tuple(_entry(row) for row in rows[: query.limit])
        return Found(entries, entries[-1].id if len(rows) > query.limit else None)

    def get(self, id: int) -> Entry | None:
        """The entry of that id. Raises OutputError."""
        if not 0 < id <= LARGEST_ID:
            return None
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*_COLUMNS, _C.facts).where(_C.id == id)).first()
        return None if row is None else _entry(row)

    def delete(self, id: int) -> bool:
        """Forget one entry; whether there was one. Raises OutputError."""
        return 0 < id <= LARGEST_ID and self._delete([id]) > 0

    def forget(self, before: float) -> int:
        """Delete the entries from before a time (s since the epoch); how many. Raises OutputError."""
        gone = 0
        while True:
            with self._database.reading() as connection:
                old = sa.select(_C.id).where(_C.at < before).order_by(_C.at).limit(_CHUNK)
                ids = connection.scalars(old).all()
            if not ids:
                return gone
            gone += self._delete(ids)

    def export(self, query: Query) -> Iterator[Entry]:
        """All that is found, the newest first, whatever the query's limit; few entries are in memory at once.

        What is added meanwhile is not in it. Raises OutputError, also between two entries.
        """
        before = query.before
        while True:
            found = self.search(replace(query, limit=_PAGE, before=before))
            yield from found.entries
            if found.next_cursor is None:
                return
            before = found.next_cursor

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _put_alert(self, values: dict[str, Any]) -> int:
        same = _C.alert_id == values["alert_id"]
        later = {name: values[name] for name in ("fake", "facts")}
        with self._database.writing() as connection:
            if connection.execute(ENTRIES.update().where(same).values(later)).rowcount:
                return int(connection.execute(sa.select(_C.id).where(same)).scalar_one())
            return _id(connection.execute(ENTRIES.insert(), values))

    def _delete(self, ids: Sequence[int]) -> int:
        with self._database.writing() as connection:
            return connection.execute(ENTRIES.delete().where(_C.id.in_(ids))).rowcount


_COLUMNS = (_C.id, _C.kind, _C.at, _C.name, _C.verdict, _C.fake, _C.by_user)


def _select(query: Query, start: tuple[float, int] | None) -> sa.Select[Any]:
    """What the query chooses. start: time and id of the last entry of the page before."""
    chosen = []
    if query.kind is not None:
        chosen.append(_C.kind == query.kind.value)
    if query.verdict is not None:
        chosen.append(_C.verdict == query.verdict.value)
    if query.text:
        chosen.append(_C.folded.contains(_clean(query.text).casefold(), autoescape=True))
    if query.since is not None:
        chosen.append(_C.at >= query.since)
    if query.until is not None:
        chosen.append(_C.at < query.until)
    if query.by is not None:
        chosen.append(_C.by_user == _clean(query.by))
    if query.mine is not None:
        alert = _C.kind == EntryKind.ALERT.value
        chosen.append(sa.or_(alert, _C.by_user == _clean(query.mine)))
    if start is not None:
        at, id = start
        # The first condition says nothing new; it lets the index begin at the right place.
        chosen += [_C.at <= at, sa.or_(_C.at < at, _C.id < id)]
    columns = _COLUMNS if query.brief else (*_COLUMNS, _C.facts)
    return sa.select(*columns).where(*chosen).order_by(_C.at.desc(), _C.id.desc())


def _start(connection: sa.Connection, cursor: int) -> tuple[float, int] | None:
    """Time and id of that entry; where it was deleted meanwhile, just after the one kept before it."""
    near = sa.select(_C.at, _C.id).where(_C.id <= cursor).order_by(_C.id.desc()).limit(1)
    row = connection.execute(near).first()
    if row is None:
        return None
    return row.at, row.id if row.id == cursor else row.id + 1


def _entry(row: Any) -> Entry:
    facts = getattr(row, "facts", None)
    try:
        return Entry(
            *(row.id, EntryKind(row.kind), row.at, row.name, State(row.verdict), row.fake, row.by_user),
            {} if facts is None else json.loads(facts),
        )
    except ValueError:
        raise OutputError(f"database: another program has harmed entry {row.id}") from None


def _id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _named(name: str) -> dict[str, str]:
    name = _clean(name)[:LONGEST_NAME]
    return {"name": name, "folded": name.casefold()[:LONGEST_FOLDED]}


def _finite(value: float | None) -> float | None:
    """As it is. Raises ValueError for what not all databases can hold."""
    if value is not None and not math.isfinite(value):
        raise ValueError("not a number that could be kept")
    return value


def _clean(text: str) -> str:
    """A text that UTF-8 and SQL can hold: file names may be any bytes, and SQLite's LIKE ends at a NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _text(facts: dict[str, Any]) -> str:
    """As JSON in ASCII. A report that is too large loses its samples, then its faces, and says so."""
    text = json.dumps(facts, separators=(",", ":"))
    if len(text) > LARGEST:
        faces = [{**face, "samples": []} for face in facts.get("faces", ())]
        text = json.dumps({**facts, "faces": faces, "left_out": "samples"}, separators=(",", ":"))
    if len(text) > LARGEST:
        facts = {name: facts[name] for name in ("schema", "type", "sha256", "sentence") if name in facts}
        text = json.dumps({**facts, "left_out": "all but the verdict"}, separators=(",", ":"))
    return text
