"""History by REST, /api/v1/history: search, one entry, export as CSV, delete."""

import asyncio
import csv
import io
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from stream.errors import OutputError
from stream.history.command import COLUMNS, as_json, csv_row
from stream.history.values import Entry, EntryKind, Query
from stream.relay.access import Role
from stream.relay.requests import RequestError, need, who
from stream.values import State

if TYPE_CHECKING:
    from stream.history.store import History

HISTORY: "web.AppKey[History]" = web.AppKey("history")
LATEST = 1e11  # s since the epoch
FITTING = frozenset(("kind", "text", "verdict", "since", "until"))
AT_ONCE = 200  # rows of an export that are read before they are sent
T = TypeVar("T")


def add_history(app: web.Application, history: "History") -> None:
    """Serve what was kept."""
    app[HISTORY] = history
    app.router.add_get("/api/v1/history", search)
    app.router.add_get("/api/v1/history.csv", export)
    app.router.add_get("/api/v1/history/{id:[^/]+}", one)
    app.router.add_delete("/api/v1/history/{id:[^/]+}", delete)


async def search(request: web.Request) -> web.Response:
    """A page of entries, the newest first."""
    need(request, Role.WATCH)
    query = query_of(request, FITTING | {"limit", "before"})
    found = await _asked(request, lambda history: history.search(query))
    entries = [as_json(entry) for entry in found.entries]
    return web.json_response({"entries": entries, "next": found.next_cursor})


async def export(request: web.Request) -> web.StreamResponse:
    """All that fits as a table, sent as it is read."""
    need(request, Role.WATCH)
    entries = request.app[HISTORY].export(query_of(request, FITTING))
    part = await _asked(request, lambda history: _rows(entries))  # an error is told before anything is sent
    response = web.StreamResponse()
    response.content_type, response.charset = "text/csv", "utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="facewitness.csv"'
    await response.prepare(request)
    await response.write(_csv([list(COLUMNS)]))
    while part:
        await response.write(part)
        part = await _asked(request, lambda history: _rows(entries))
    await response.write_eof()
    return response


async def one(request: web.Request) -> web.Response:
    """One entry; a user sees his own checks, and alerts."""
    need(request, Role.WATCH)
    return web.json_response(as_json(await _entry(request)))


async def delete(request: web.Request) -> web.Response:
    """Remove an entry: administrators alone."""
    need(request, Role.ADMIN)
    entry = await _entry(request)
    await _asked(request, lambda history: history.delete(entry.id))
    return web.Response(status=204)


async def _entry(request: web.Request) -> Entry:
    name = request.match_info["id"]
    if not (name.isascii() and name.isdecimal() and len(name) < 20):
        raise RequestError(400, "an id is a whole number")
    entry = await _asked(request, lambda history: history.get(int(name)))
    mine = _only(request)
    if entry is None or (mine is not None and entry.kind is EntryKind.CHECK and entry.by != mine):
        raise RequestError(404, "no such entry")
    return entry


def query_of(request: web.Request, known: frozenset[str]) -> Query:
    """What the URL asks for. Raises RequestError 400."""
    given = request.query
    for name in given:
        if name not in known or len(given.getall(name)) > 1:
            raise RequestError(400, f"no parameter, or one too many: {name[:40]}")
    try:
        return Query(
            kind=EntryKind(given["kind"]) if "kind" in given else None,
            text=given.get("text", ""),
            verdict=State(given["verdict"]) if "verdict" in given else None,
            since=_number(given.get("since")),
            until=_number(given.get("until")),
            limit=_whole(given.get("limit", "50")),
            before=_whole(given["before"]) if "before" in given else None,
            mine=_only(request),
            brief=known is FITTING,  # a table has no room for facts
        )
    except ValueError as error:
        raise RequestError(400, f"a parameter has a value that cannot be ({str(error)[:80]})") from None


def _number(word: str | None) -> float | None:
    if word is None:
        return None
    value = float(word)
    if not 0 <= value <= LATEST:
        raise ValueError("no time")
    return value


def _whole(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 20):
        raise ValueError("no whole number")
    return int(word)


def _only(request: web.Request) -> str | None:
    """The user whose checks alone are shown; None for administrators, and where nobody logs in."""
    user = request.get("user")
    return None if user is None or user.role is Role.ADMIN else who(request)


def _rows(entries: Iterator[Entry]) -> bytes:
    """The next rows, some at once; nothing at the end."""
    return _csv([csv_row(entry) for entry in itertools.islice(entries, AT_ONCE)])


def _csv(rows: list[list[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


async def _asked(request: web.Request, ask: "Callable[[History], T]") -> T:
    """Ask the database in a thread. Raises RequestError 503."""
    try:
        return await asyncio.to_thread(ask, request.app[HISTORY])
    except OutputError:
        raise RequestError(503, "the database does not answer", {"Retry-After": "5"}) from None
