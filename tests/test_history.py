import csv
import io
import json
import logging
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import alembic.autogenerate
import pytest
from alembic.runtime.migration import MigrationContext
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.backoff import Backoff
from stream.check.values import FaceReport, Failure, FileReport, Kind, Media
from stream.cli import _parser, main
from stream.errors import ConfigError, OutputError, Refused
from stream.history import database
from stream.history.address import address, default_database, shown
from stream.history.command import csv_row, moment, row
from stream.history.database import Database
from stream.history.recorder import MOST, Recorder
from stream.history.sql import alembic as alembic_package
from stream.history.sql import sa
from stream.history.store import LARGEST, History, _select
from stream.history.tables import ENTRIES, TABLES
from stream.history.values import Entry, EntryKind, Query
from stream.sinks import SinkOptions, open_sink
from stream.values import Alert, Phase, State

pytest_plugins = ("tests.mariadb_server",)
ROOT = Path(__file__).parent.parent
SERVERS = ("sqlite", "mariadb")


def report(name="call.mp4", verdict=State.CLEAR, fake: float | None = 0.25, samples=3) -> FileReport:
    face = FaceReport(1, verdict, fake, fake, 1.0, (1.0, 2.0, 3.0, 4.0), 90.0, ((0.5, 0.25),) * samples)
    return FileReport(name, "ab" * 32, 1234, Kind.VIDEO, verdict, fake, (face,), media=Media(codec="h264"))


def alert(id="door-1", phase=Phase.OPENED, peak=0.9) -> Alert:
    return Alert(id, phase, "door", 1, 8.0, 9.5, peak, 0.85, "meso 1", "2026-11-20T10:00:00+00:00")


@pytest.fixture(params=SERVERS)
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "history.db")
    return request.getfixturevalue("mariadb").fresh()


@pytest.fixture
def history(url):
    kept = History(url)
    yield kept
    kept.close()


@pytest.fixture
def sqlite(tmp_path):
    kept = History(str(tmp_path / "history.db"))
    yield kept
    kept.close()


def names(found) -> list[str]:
    return [entry.name for entry in found.entries]


# What every database must do.


def test_a_check_comes_back_as_it_was(history):
    id = history.add_check(report(), "anna", 1000.25)
    entry = history.get(id)
    expected = report().to_json()
    assert entry == Entry(id, EntryKind.CHECK, 1000.25, "call.mp4", State.CLEAR, 0.25, "anna", expected)
    assert FileReport.from_json(entry.facts) == report()
    assert history.search(Query()).entries == (entry,)
    assert history.search(Query(brief=True)).entries == (replace(entry, facts={}),)


def test_a_check_that_failed_has_no_probability(history):
    failed = replace(report(fake=None), faces=(), verdict=State.NO_FACE, error=Failure(13, "not a video"))
    assert history.get(history.add_check(failed, "", 1.0)).fake is None


def test_an_alert_is_one_entry_from_opening_to_closing(history):
    first = history.add_alert(alert(), "door", 100.0)
    other = history.add_alert(alert("door-2"), "door", 101.0)
    assert history.add_alert(alert(phase=Phase.UPDATED, peak=0.95), "door", 102.0) == first
    assert history.add_alert(alert(phase=Phase.CLOSED, peak=0.99), "door", 103.0) == first
    entry = history.get(first)
    assert (entry.at, entry.fake, entry.facts["phase"], entry.kind) == (
        100.0,
        0.99,
        "closed",
        EntryKind.ALERT,
    )
    assert (entry.verdict, entry.by, entry.name) == (State.ALERT, "", "door")
    assert history.get(other).facts["phase"] == "opened"
    assert len(history.search(Query()).entries) == 2


def test_a_closing_without_its_opening_is_kept_too(history):
    history.add_alert(alert("DOOR-1", Phase.CLOSED), "door", 5.0)
    history.add_alert(alert("door-1", Phase.CLOSED), "door", 6.0)  # ids differ by case
    assert len(history.search(Query()).entries) == 2


@pytest.fixture
def some(history):
    history.add_check(report("Anna 100%.mp4", State.ALERT, 0.9), "anna", 10.0)
    history.add_check(report("anna_2.png", State.CLEAR), "ben", 20.0)
    history.add_check(report("STRASSE\\1.png", State.CLEAR), "", 30.0)
    history.add_alert(alert(), "Straße", 40.0)
    return history


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), ["Straße", "STRASSE\\1.png", "anna_2.png", "Anna 100%.mp4"]),
        (Query(text="ANNA"), ["anna_2.png", "Anna 100%.mp4"]),
        (Query(text="straße"), ["Straße", "STRASSE\\1.png"]),
        (Query(text="%"), ["Anna 100%.mp4"]),
        (Query(text="_"), ["anna_2.png"]),
        (Query(text="\\"), ["STRASSE\\1.png"]),
        (Query(text="/"), []),
        (Query(text="' OR 1=1 --"), []),
        (Query(kind=EntryKind.ALERT), ["Straße"]),
        (Query(verdict=State.CLEAR), ["STRASSE\\1.png", "anna_2.png"]),
        (Query(verdict=State.ALERT, kind=EntryKind.CHECK), ["Anna 100%.mp4"]),
        (Query(by="ben"), ["anna_2.png"]),
        (Query(by=""), ["Straße", "STRASSE\\1.png"]),
        (Query(by="BEN"), []),
        (Query(mine="ben"), ["Straße", "anna_2.png"]),
        (Query(since=20.0, until=40.0), ["STRASSE\\1.png", "anna_2.png"]),
        (Query(until=10.0), []),
    ],
    ids=str,
)  # fmt: skip
def test_search(some, query, found):
    assert names(some.search(query)) == found
    assert [entry.name for entry in some.export(query)] == found


def test_pages_hold_each_entry_once_in_the_order_of_time(history):
    times = [5.0, 3.0, 5.0, 1.0, 4.0, 5.0, 2.0]  # as a queue that was held up brings them
    for number, at in enumerate(times):
        history.add_check(report(f"{number}"), "", at)
    expected = [str(i) for i in sorted(range(7), key=lambda i: (times[i], i), reverse=True)]
    seen, before = [], None
    while True:
        found = history.search(Query(limit=2, before=before))
        seen += names(found)
        if (before := found.next_cursor) is None:
            break
    assert seen == expected
    assert history.search(Query(limit=7)).next_cursor is None


def test_pages_meet_at_any_time(history):
    draw = random.Random(6)
    times = sorted((draw.random() * 2e9 for _ in range(120)), reverse=True)
    with history._database.writing() as connection:
        rows = [
            {
                "kind": "check",
                "at": at,
                "name": "",
                "folded": "",
                "verdict": "CLEAR",
                "by_user": "",
                "facts": "{}",
            }
            for at in draw.sample(times, len(times))
        ]
        connection.execute(ENTRIES.insert(), rows)
    assert [entry.at for entry in history.export(Query())] == times
    assert [entry.at for entry in history.search(Query(since=times[9], until=times[4])).entries] == times[
        5:10
    ]


def test_a_page_goes_on_where_its_cursor_was_deleted(history):
    for number in range(6):
        history.add_check(report(f"{number}"), "", float(number))
    found = history.search(Query(limit=2))
    assert history.delete(found.next_cursor)
    assert names(history.search(Query(before=found.next_cursor))) == ["3", "2", "1", "0"]
    history.forget(10.0)
    assert history.search(Query(before=found.next_cursor)).entries == ()


def test_an_export_streams_all_and_not_what_comes_meanwhile(history):
    for number in range(45):
        history.add_check(report(f"{number}"), "", float(number))
    export = history.export(Query(limit=1))
    got = [next(export).name]
    history.add_check(report("late"), "", 100.0)
    assert got + [entry.name for entry in export] == [str(n) for n in reversed(range(45))]


def test_delete_and_forget(history):
    ids = [history.add_check(report(), "", float(at)) for at in range(5)]
    assert history.delete(ids[4])
    assert not history.delete(ids[4])
    assert history.get(ids[4]) is None
    assert history.forget(2.0) == 2
    assert [entry.at for entry in history.search(Query()).entries] == [3.0, 2.0]
    assert history.add_check(report(), "", 9.0) > ids[4]  # numbers are not given twice


def test_forgetting_many_goes_on_to_the_end(history, monkeypatch):
    monkeypatch.setattr("stream.history.store._CHUNK", 3)
    for at in range(8):
        history.add_check(report(), "", float(at))
    assert history.forget(7.0) == 7


@pytest.mark.parametrize("id", [0, -1, 10**30, 1 << 63])
def test_ids_that_cannot_be_are_not_there(history, id):
    assert history.get(id) is None
    assert not history.delete(id)


@pytest.mark.parametrize(
    "name", ["\udcff\ud800.png", "😀" * 300, "ﬃ" * 600, "", "a\0b", "'; DROP TABLE entries; --"]
)
def test_any_name_is_kept_and_found(history, name):
    id = history.add_check(report(name), name, 1.0)
    assert history.search(Query(text=name[:200])).entries[0].id == id


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
@example("a", "\0")
@example("a\0b", "\0b")
def test_search_finds_what_python_finds(sqlite_once, name, text):
    sqlite_once.forget(1e9)
    id = sqlite_once.add_check(report(name), "", 1.0)
    safe, sought = (each.encode("utf-8", "replace").decode().replace("\0", "?") for each in (name, text))
    hit = sought.casefold() in safe.casefold()
    assert [entry.id for entry in sqlite_once.search(Query(text=text)).entries] == ([id] if hit else [])


@pytest.fixture(scope="module")
def sqlite_once(tmp_path_factory):
    kept = History(str(tmp_path_factory.mktemp("once") / "h.db"))
    yield kept
    kept.close()


def test_a_huge_report_loses_its_samples_and_says_so(history):
    huge = report(samples=200_000)
    entry = history.get(history.add_check(huge, "", 1.0))
    assert entry.facts["left_out"] == "samples"
    assert entry.facts["faces"][0]["samples"] == []
    assert len(json.dumps(entry.facts)) < LARGEST
    notes = replace(report(), notes=("x" * (2 * LARGEST),))
    entry = history.get(history.add_check(notes, "", 1.0))
    assert entry.facts["left_out"] == "all but the verdict"
    assert entry.facts["sha256"] == "ab" * 32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_everywhere(history, value):
    with pytest.raises(ValueError, match="number"):
        history.add_check(report(fake=value), "", 1.0)
    with pytest.raises(ValueError, match="number"):
        history.add_check(report(), "", value)


def test_an_entry_that_was_harmed_is_told_in_one_line(history):
    id = history.add_check(report(), "", 1.0)
    for values in ({"facts": "{"}, {"facts": "{}", "verdict": "MAYBE"}):
        with history._database.writing() as connection:
            connection.execute(ENTRIES.update().values(values))
        with pytest.raises(OutputError, match=f"harmed entry {id}$"):
            history.search(Query())
    assert history.delete(id)


def test_threads_share_a_history(history):
    def work(number: int) -> None:
        for each in range(10):
            history.add_check(report(f"{number}-{each}"), "", 1.0)
            history.search(Query(limit=3))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.search(Query(limit=500)).entries) == 60


def test_one_alert_kept_by_many_at_once_is_one_entry(history):
    problems, together = [], threading.Barrier(6)

    def work() -> None:
        try:
            for number in range(15):
                together.wait(20)
                history.add_alert(alert(f"a{number}"), "door", 1.0)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(history.search(Query()).entries) == 15


def test_ten_thousand_entries_are_searched_quickly(history, url):
    kinds = ("check", "alert")
    text = json.dumps(report(samples=50).to_json())
    values = [
        {
            "kind": kinds[i % 100 == 0], "at": float(i), "name": f"f{i}", "folded": f"f{i}",
            "verdict": "ALERT" if i % 100 == 0 else "CLEAR", "fake": 0.5, "by_user": "",
            "alert_id": f"{i}" if i % 100 == 0 else None, "facts": text,
        }
        for i in range(10_000)
    ]  # fmt: skip
    with history._database.writing() as connection:
        connection.execute(ENTRIES.insert(), values)
        if connection.dialect.name == "mysql":  # else the server counts its rows a little later by itself
            connection.exec_driver_sql("ANALYZE TABLE entries")
    queries = [
        Query(), Query(before=5000), Query(kind=EntryKind.ALERT), Query(verdict=State.ALERT),
        Query(since=9990.0),
        Query(since=100.0, until=200.0), Query(text="f77", limit=500), Query(text="nothing"),
    ]  # fmt: skip
    for query in queries:
        begin = time.perf_counter()
        history.search(query)
        assert time.perf_counter() - begin < 1.0, query
        assert "entries_" in plan(history, query), query  # one of our indexes


def plan(history: History, query: Query) -> str:
    select = _select(query, (5000.0, 5000) if query.before else None).limit(50)
    with history._database.reading() as connection:
        dialect = connection.dialect
        sql = str(select.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        sql = sql.replace("%%", "%")
        explain = "EXPLAIN QUERY PLAN" if dialect.name == "sqlite" else "EXPLAIN"
        rows = connection.exec_driver_sql(
            f"{explain} {sql}".replace("%", "%%" if dialect.name == "mysql" else "%")
        )
        told = [str(tuple(row)) for row in rows]
    assert not any("TEMP B-TREE" in line or "filesort" in line for line in told), told
    return " ".join(told)


# Migrations.


def at_step(url: str, step: str) -> Database:
    """A database as an older version left it."""
    where = Database.__new__(Database)
    older = alembic_package.command.upgrade
    try:
        database.alembic.command.upgrade = lambda config, _: older(config, step)  # type: ignore[assignment]
        where.__init__(url)  # type: ignore[misc]
    finally:
        database.alembic.command.upgrade = older
    return where


def test_migrations_make_the_tables_that_the_program_uses(url):
    made = Database(url)
    with made.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "facewitness_schema"})
        assert alembic.autogenerate.compare_metadata(context, TABLES) == []
        assert set(sa.inspect(connection).get_table_names()) == {*TABLES.tables, "facewitness_schema"}
    made.close()


def test_an_older_database_is_brought_up_and_keeps_what_it_holds(url):
    older = at_step(url, "v1")
    with older.writing() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"entries", "facewitness_schema"}
        connection.execute(
            ENTRIES.insert(),
            {
                "kind": "check",
                "at": 1.0,
                "name": "a",
                "folded": "a",
                "verdict": "CLEAR",
                "by_user": "",
                "facts": "{}",
            },
        )
    older.close()
    kept = History(url)
    assert names(kept.search(Query())) == ["a"]
    with kept._database.reading() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {*TABLES.tables, "facewitness_schema"}
    kept.close()


def test_a_newer_database_is_refused(url):
    kept = Database(url)
    with kept.writing() as connection:
        connection.execute(sa.text("UPDATE facewitness_schema SET version_num = 'v99'"))
    kept.close()
    with pytest.raises(ConfigError, match="a newer facewitness made it"):
        History(url)


def test_another_programs_database_is_left_alone(mariadb, tmp_path):
    path = tmp_path / "places.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (id)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"belongs to another program .*bookmarks"):
        History(str(path))
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    assert before
    url = mariadb.fresh()
    mariadb.run("CREATE TABLE users (id INT)", url.rpartition("/")[2])
    with pytest.raises(ConfigError, match=r"belongs to another program .*users"):
        History(url)


def test_many_processes_may_open_a_new_database_at_once(url):
    code = (
        "import sys; from stream.history.store import History; from stream.history.values import Query\n"
        "h = History(sys.argv[1]); h.search(Query()); h.close()"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for run in runs:
        _, problems = run.communicate(timeout=120)
        assert run.returncode == 0, problems


def test_threads_may_open_a_new_database_at_once(url):
    problems = []

    def work() -> None:
        try:
            History(url).close()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


# SQLite.


def test_two_processes_write_one_file_at_once(tmp_path):
    path = str(tmp_path / "h.db")
    kept = History(path)
    code = (
        "import sys; from stream.history.store import History; from tests.test_history import report\n"
        "h = History(sys.argv[1])\nfor n in range(150): h.add_check(report(f'other {n}'), '', float(n))"
    )
    other = subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT)
    own = 0
    while other.poll() is None or own < 150:
        kept.add_check(report(f"own {own}"), "", float(own))
        own += 1
    assert other.returncode == 0
    assert sum(1 for _ in kept.export(Query(text="other"))) == 150
    assert sum(1 for _ in kept.export(Query(text="own"))) == own
    kept.close()


def test_the_file_is_its_owners_alone_and_writes_ahead(tmp_path):
    kept = History(str(tmp_path / "new" / "h.db"))
    mode = (tmp_path / "new" / "h.db").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    with kept._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    kept.close()


def test_what_is_forgotten_leaves_the_file(sqlite, tmp_path):
    sqlite.add_check(report("a-very-private-name.mp4"), "", 1.0)
    sqlite.forget(2.0)
    sqlite.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a-very-private-name" not in left


def test_what_is_no_database_is_told_in_one_line(tmp_path):
    (tmp_path / "text").write_text("no database, but a text that is long enough to be taken for one" * 50)
    (tmp_path / "file").write_text("x")
    for path, why in (
        (tmp_path / "text", "file is not a database"),
        (tmp_path, "Is a directory"),
        (tmp_path / "file" / "h.db", "Not a directory|File exists"),
    ):
        with pytest.raises(OutputError, match=why) as caught:
            History(str(path))
        assert "\n" not in str(caught.value)
    assert (tmp_path / "text").read_text().startswith("no database")


def test_a_harmed_file_is_told_in_one_line(tmp_path):
    path = tmp_path / "h.db"
    kept = History(str(path))
    for number in range(50):
        kept.add_check(report(f"{number}", samples=100), "", 1.0)
    kept.close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(OutputError, match=r"malformed|not a database"):
        list(History(str(path)).export(Query()))


# Addresses and secrets.


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u:hunter2@h/d", "known are sqlite, mysql"),
        ("mysql+mysqldb://u:hunter2@h/d", "known are sqlite, mysql"),
        ("mysql://u:hunter2@h:port/d", "cannot be read"),
        ("mysql://u:hunter2@h", "names no database"),
        ("mysql://u:hunter2@h/", "names no database"),
        ("mysql://u:hunter2@127.0.0.1:9/d?nonsense=1", "options that cannot be"),
        ("sqlite://", "a file that stays"),
        ("sqlite:///:memory:", "a file that stays"),
        (":memory:", "a file that stays"),
        ("sqlite:///h.db?mode=ro", "no options"),
        ("sqlite://u:hunter2@h/d", "no options"),
        ("", "empty"),
        ("a\nb", "no URL has"),
        ("a\0b", "no URL has"),
    ],
)  # fmt: skip
def test_addresses_that_cannot_be(url, why):
    with pytest.raises(ConfigError, match=why) as caught:
        History(url)
    assert "hunter2" not in str(caught.value)


def test_addresses(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shown(address("h.db")) == shown(address("sqlite:///h.db")) == str(tmp_path / "h.db")
    assert shown(address("~/h.db")) == str(tmp_path / "h.db")
    assert shown(address("sqlite:////a/h.db")) == "/a/h.db"
    assert shown(address("mysql://u:hunter2@db:33/x?ssl_ca=/a")) == "mysql://db:33/x"
    assert shown(address("mariadb://u@[::1]/x")) == "mysql://[::1]/x"
    assert address("mysql://u@h/x").query["charset"] == "utf8mb4"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if sys.platform == "linux":
        assert default_database() == str(tmp_path / "state" / "facewitness" / "history.db")


def test_a_server_that_does_not_answer_is_told_in_one_line():
    with pytest.raises(OutputError, match=r"Connection refused|Can't connect") as caught:
        History("mysql://witness:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_passwords_never_show(mariadb, caplog):
    url = mariadb.fresh(password="wr0ng/pass@word")
    with pytest.raises(OutputError, match="Access denied") as caught:
        History(url)
    kept = History(mariadb.fresh())
    mariadb.run("DROP TABLE entries", f"t{mariadb._made}")
    with pytest.raises(OutputError) as other:
        kept.search(Query(text="x"))
    told = [
        str(caught.value),
        repr(caught.value),
        repr(kept),
        str(kept),
        repr(kept._database),
        repr(kept._database._engine),
    ]
    told += [str(other.value), caplog.text]
    kept.close()
    for text in told:
        assert "wr0ng" not in text
        assert "s3cret" not in text
        assert mariadb.password not in text


def test_a_password_may_stand_in_a_file(mariadb, tmp_path):
    mariadb.fresh()
    settings = tmp_path / "my.cnf"
    settings.write_text(
        f"[client]\nuser=witness\npassword={mariadb.password}\nhost=127.0.0.1\nport={mariadb.port}\n"
    )
    kept = History(f"mysql:///t{mariadb._made}?read_default_file={settings}")
    assert kept.search(Query()).entries == ()
    kept.close()


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic"])
def test_without_the_packages_one_line_says_how_to_get_them(missing, tmp_path):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\nfrom stream.cli import main\n"
        "sys.exit(main(['history', '--db', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "h.db")], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "facewitness: a database needs more packages: pip install 'facewitness[server]'\n"


# The recorder.


class Flaky:
    """A history that is down until it is told to be up."""

    def __init__(self, up: bool = False) -> None:
        self.up = threading.Event()
        self.tried = threading.Event()
        self.names: list[str] = []
        if up:
            self.up.set()

    def __str__(self) -> str:
        return "flaky"

    def add_check(self, report, by, at) -> int:
        self.tried.set()
        if not self.up.is_set():
            raise OutputError("database flaky: down")
        if report.name == "bad":
            raise Refused("database flaky: no such value")
        if report.name == "worse":
            raise RuntimeError("mysql://u:hunter2@h/d")
        self.names.append(report.name)
        return len(self.names)

    def add_alert(self, alert, stream, at) -> int:
        return self.add_check(report(f"{alert.id} {alert.phase.value}"), "", at)


def quick() -> Backoff:
    return Backoff(0.01, 0.05)


def until(condition, seconds=20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_nobody_waits_and_nothing_is_lost_within_the_bound(caplog):
    caplog.set_level(logging.INFO, "stream")
    kept = Flaky()
    recorder = Recorder(kept, quick(), most=100)
    begin = time.perf_counter()
    for number in range(100):
        recorder.put_check(report(f"{number}"), "", 1.0)
    assert time.perf_counter() - begin < 1.0
    time.sleep(0.2)
    assert recorder.waiting == 100
    kept.up.set()
    recorder.close(10.0)
    assert kept.names == [str(n) for n in range(100)]
    assert (recorder.dropped, recorder.written) == (0, 100)
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "trying again" in line]) == 1
    assert "history flaky takes entries again" in told


def test_beyond_the_bound_updates_go_first_then_the_oldest(caplog):
    kept = Flaky()
    recorder = Recorder(kept, quick(), most=4)
    recorder.put_check(report("first"), "", 1.0)
    until(kept.tried.is_set)
    for phase in (Phase.OPENED, Phase.UPDATED, Phase.CLOSED):
        recorder.put_alert(alert(phase=phase), "door", 1.0)
    recorder.put_check(report("a"), "", 1.0)
    recorder.put_check(report("b"), "", 1.0)
    kept.up.set()
    recorder.close(10.0)
    assert kept.names == ["first", "door-1 closed", "a", "b"]
    assert recorder.dropped == 2
    assert "2 entries lost" in caplog.text or "1 entries lost" in caplog.text


def test_heavy_reports_are_bounded_too(monkeypatch):
    monkeypatch.setattr("stream.history.recorder.HEAVIEST", 1000)
    kept = Flaky()
    recorder = Recorder(kept, quick())
    for number in range(10):
        recorder.put_check(report(f"{number}", samples=400), "", 1.0)
    assert recorder.waiting == 2
    recorder.put_check(report("huge", samples=5000), "", 1.0)
    assert recorder.waiting == 1
    kept.up.set()
    recorder.close(10.0)
    assert recorder.dropped + recorder.written == 11


def test_one_bad_entry_does_not_hold_up_the_others(caplog):
    kept = Flaky(up=True)
    recorder = Recorder(kept, quick())
    for name in ("a", "bad", "worse", "b"):
        recorder.put_check(report(name), "", 1.0)
    recorder.close(10.0)
    assert kept.names == ["a", "b"]
    assert recorder.dropped == 2
    assert "no such value" in caplog.text
    assert "hunter2" not in caplog.text


def test_closing_is_bounded_and_tells_what_is_lost(caplog):
    recorder = Recorder(Flaky(), quick())
    for _ in range(3):
        recorder.put_check(report(), "", 1.0)
    begin = time.perf_counter()
    recorder.close(0.5)
    assert time.perf_counter() - begin < 2.0
    assert recorder.dropped == 3
    assert "3 entries could not be written in time" in caplog.text
    recorder.put_check(report(), "", 1.0)
    assert recorder.dropped == 4


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_restarts_costs_no_entry(own_mariadb, how):
    url = own_mariadb.fresh()
    kept = History(url)
    recorder = Recorder(kept, quick())
    for number in range(100):
        recorder.put_check(report(f"{number}"), "", float(number))
        recorder.put_alert(alert(f"a{number}"), "door", float(number))
        if number == 30:
            own_mariadb.stop(how)
        if number == 70:
            own_mariadb.start()
        time.sleep(0.01)
    recorder.close(30.0)
    assert recorder.dropped == 0
    assert {int(entry.name) for entry in kept.export(Query(kind=EntryKind.CHECK))} == set(range(100))
    assert len(list(kept.export(Query(kind=EntryKind.ALERT)))) == 100
    kept.close()


@pytest.fixture
def own_mariadb(mariadb):
    """One that may be stopped; up again for the others."""
    yield mariadb
    if mariadb._process is None:
        mariadb.start()


def test_a_file_that_another_program_holds_costs_no_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY", 0.1)
    path = str(tmp_path / "h.db")
    kept = History(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder = Recorder(kept, quick())
    for number in range(20):
        recorder.put_check(report(f"{number}"), "", 1.0)
    until(lambda: "locked" in recorder._trouble)
    assert kept.search(Query()).entries == ()  # readers do not wait
    other.execute("COMMIT")
    other.close()
    recorder.close(20.0)
    assert (recorder.written, recorder.dropped) == (20, 0)
    kept.close()


def test_a_full_disk_costs_no_entry(tmp_path):
    kept = History(str(tmp_path / "h.db"))

    def bound(pages: int) -> None:
        kept._database._engine.dispose()
        bounds[0] = pages

    bounds = [0]
    sa.event.listen(
        kept._database._engine,
        "connect",
        lambda link, _: bounds[0] and link.execute(f"PRAGMA max_page_count={bounds[0]}"),
    )
    bound(40)
    recorder = Recorder(kept, quick())
    for number in range(60):
        recorder.put_check(report(f"{number}", samples=200), "", 1.0)
    until(lambda: "full" in recorder._trouble)
    assert kept.search(Query(limit=500)).entries  # reading goes on
    bound(1 << 20)
    recorder.close(20.0)
    assert (recorder.written, recorder.dropped) == (60, 0)
    kept.close()


# The alert sink and the command.


def test_sinks_are_found_without_the_packages(tmp_path):
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from stream.sinks import SinkOptions, known_sinks, open_sink\n"
        "from stream.errors import ConfigError\n"
        "assert 'history' in known_sinks()\n"
        "try: open_sink('history:x.db', SinkOptions())\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'facewitness[server]'" in done.stdout, done.stderr


def command(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "stream.cli", *map(str, words)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=240)


def test_the_demo_leaves_its_alert_and_a_check_its_verdict_in_the_history(mariadb):
    url = mariadb.fresh()
    done = command("watch", "demo", "--provider", "cpu", "--alert", f"history:{url}")
    assert done.returncode == 0, done.stderr
    portrait = ROOT / "stream" / "assets" / "eileen_collins.jpg"
    checked = command("check", portrait, "--db", url, "--provider", "cpu", "--json")
    assert checked.returncode in (0, 50, 51), checked.stderr
    for text in (done.stdout, done.stderr, checked.stdout, checked.stderr):
        assert "s3cret" not in text
    listed = command("history", "--db", url, "--json")
    assert listed.returncode == 0, listed.stderr
    check, event = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (event["kind"], event["verdict"], event["facts"]["phase"]) == ("alert", "ALERT", "closed")
    assert abs(time.time() - event["at"]) < 300
    assert (check["kind"], check["name"]) == ("check", "eileen_collins.jpg")
    (told,) = json.loads(checked.stdout)["files"]
    assert check["facts"] == {name: told[name] for name in told if name != "path"}


def test_a_check_that_cannot_be_kept_is_told_before_the_first_file(tmp_path):
    (tmp_path / "text").write_text("no database" * 1000)
    done = command("check", ROOT / "stream" / "assets" / "eileen_collins.jpg", "--db", tmp_path / "text")
    assert (done.returncode, done.stdout) == (33, "")
    assert done.stderr.endswith("file is not a database\n")


# The manual.

MANUAL = (ROOT / "docs" / "history.md").read_text("utf-8")


def test_the_rights_that_the_manual_gives_are_enough(mariadb):
    statements = re.search(r"```sql\n(.*?)```", MANUAL, re.S)[1]
    for statement in statements.replace("…", "a-passw0rd").strip().split(";\n"):
        mariadb.run(statement.strip(";").replace("'witness'", "'fromthemanual'"))
    kept = History(f"mysql://fromthemanual:a-passw0rd@127.0.0.1:{mariadb.port}/facewitness")
    id = kept.add_alert(alert(), "door", 1.0)
    kept.add_alert(alert(phase=Phase.CLOSED), "door", 2.0)
    assert kept.delete(id)
    kept.close()


def test_the_flags_of_the_manual_exist():
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", MANUAL))
    known, parsers = set(), [_parser()]
    while parsers:
        for action in parsers.pop()._actions:
            known |= {word.removeprefix("--") for word in action.option_strings}
            if isinstance(action.choices, dict):
                parsers += action.choices.values()
    assert len(named) > 10
    assert named <= known


def test_the_bounds_of_the_manual_are_those_of_the_program():
    assert f"up to {MOST} entries wait" in MANUAL
    assert f"more than {LARGEST >> 20} MB" in MANUAL
    assert database.BUSY == 10.0
    assert "a writer waits ten" in MANUAL
    assert SinkOptions().flush == 5.0
    assert "five seconds are given" in MANUAL


def test_the_sink_keeps_alerts(url):
    sink = open_sink(f"history:{url}", SinkOptions())
    sink.send(alert())
    sink.send(replace(alert(phase=Phase.CLOSED), wall_time=""))
    assert "s3cret" not in str(sink)
    sink.close()
    kept = History(url)
    (entry,) = kept.search(Query()).entries
    assert (entry.name, entry.facts["phase"]) == ("door", "closed")
    assert entry.at == 1763632800.0 + 365 * 86400  # 2026-11-20 10:00 UTC
    kept.close()


def test_the_sink_has_a_database_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sink = open_sink("history", SinkOptions())
    sink.close()
    assert (tmp_path / "facewitness" / "history.db").exists() or sys.platform != "linux"


@pytest.fixture
def filled(tmp_path) -> str:
    path = str(tmp_path / "h.db")
    kept = History(path)
    kept.add_check(report("=cmd|' /C calc'!A0\x1b[31m", State.ALERT, 0.93), "anna", 1_700_000_000.0)
    for number in range(60):
        kept.add_check(report(f"f{number}.png"), "", 1_600_000_000.0 + number)
    kept.close()
    return path


def test_a_list(filled, capsys):
    assert main(["history", "--db", filled, "--limit", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "1"
    assert "check  ALERT        93% fake  =cmd|' /C calc'!A0?[31m  by anna" in first
    assert "f59.png" in second
    assert main(["history", "--db", filled]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 50


def test_an_export_as_csv(filled, capsys):
    assert main(["history", "--db", filled, "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 62
    assert rows[0] == ["id", "at", "kind", "verdict", "fake", "name", "by"]
    assert rows[1][1:3] == ["2023-11-14T22:13:20Z", "check"]
    assert rows[1][5].startswith("'=cmd")


def test_an_export_as_json(filled, capsys):
    assert main(["history", "--db", filled, "--json", "--text", "F5", "--until", "2021-01-01"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == [f"f{n}.png" for n in range(59, 49, -1)] + ["f5.png"]
    assert lines[0]["facts"] == report("f59.png").to_json()
    assert (
        main(["history", "--db", filled, "--json", "--verdict", "ALERT", "--kind", "check", "--by", "anna"])
        == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_forgetting_by_days(filled, capsys):
    days = (time.time() - 1_650_000_000) / 86400
    assert main(["history", "--db", filled, "--forget", str(days)]) == 0
    assert capsys.readouterr().out == "60 entries deleted\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--text", "x" * 201], "200 characters"),
        (["--db", "oracle://u:hunter2@h/d"], "known are sqlite"),
    ],
)
def test_the_command_tells_mistakes_in_one_line(words, why, capsys, tmp_path):
    assert main(["history", "--db", str(tmp_path / "h.db"), *words]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "hunter2" not in told
    assert told.count("\n") == 1


def test_moments():
    assert moment(None, 0.0) is None
    assert moment("2h", 10_000.0) == 2800.0
    assert moment("2026-11-20T10:00:00+00:00", 0.0) == 1763632800.0 + 365 * 86400
    for word in ("", "h", "-1d", "9999999d", "2026-13-01"):
        with pytest.raises(ConfigError, match="is no time"):
            moment(word, 0.0)


@given(st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False))
def test_rows_of_anything(name, at):
    entry = Entry(1, EntryKind.CHECK, at, name, State.CLEAR, None, "", {})
    assert "\n" not in row(entry)
    assert row(entry).isprintable()
    assert str(csv_row(entry)[5])[:1] not in ("=", "+", "-", "@")


def test_a_reader_of_the_list_may_leave(filled):
    command = f"'{sys.executable}' -m stream.cli history --db '{filled}' --csv | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "id,at,kind,verdict,fake,name,by\n"
    assert done.stderr == ""


def test_pages_of_a_query_are_bounded():
    for wrong in ({"limit": 0}, {"limit": 501}, {"before": 0}, {"before": 1 << 63}, {"since": float("nan")}):
        with pytest.raises(ValueError, match=r"limit|before|since"):
            Query(**wrong)


def test_the_mariadb_of_the_tests_is_one(mariadb):
    assert "MariaDB" in mariadb.run("SELECT VERSION()")[0][0]
