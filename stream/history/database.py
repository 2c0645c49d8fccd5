"""One database: opened, brought to our shape, shared by threads; its errors told in one line."""

import contextlib
import importlib.resources
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream.errors import ConfigError, OutputError, Refused
from stream.history.address import address, shown
from stream.history.migrations.env import VERSION_TABLE
from stream.history.sql import MigrationContext, alembic, sa
from stream.history.tables import TABLES
from stream.redact import redact

BUSY = 10.0  # s that a writer waits for another one
_TURN = threading.Lock()  # Alembic keeps what it works on in global variables


class Database:
    """A pool of connections to a database of our shape. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Opens, makes or migrates the database.

        url: a path, `sqlite:///FILE` or `mysql://USER:PASSWORD@HOST/NAME`. Raises ConfigError for a URL that
        cannot be and for a database of another program or of a newer version, OutputError for one that cannot
        be reached or written.
        """
        where = address(url)
        self._name = shown(where)
        self._sqlite = where.drivername == "sqlite"
        if self._sqlite:
            _make_file(Path(str(where.database)))
        self._engine = self._made(where)
        try:
            with self.told():
                if self._sqlite:
                    self._write_ahead()
                self._migrate()
        except (TypeError, ValueError):  # the driver's constructor
            raise ConfigError(f"database {self._name}: its URL holds options that cannot be") from None
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Database({self._name})"

    def __str__(self) -> str:
        return self._name

    def close(self) -> None:
        """Let go of all connections; those in use end with their work."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that reads. Raises OutputError, Refused."""
        with self.told(), self._engine.execution_options(reads=True).connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction, which is kept at the end. Raises OutputError, Refused."""
        with self.told(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn the library's errors into one line."""
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            reason = redact(_reason(error))
            if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError | sa.exc.NotSupportedError):
                raise Refused(f"database {self._name}: {reason}") from None
            raise OutputError(f"database {self._name}: {reason}") from None

    def _made(self, where: sa.URL) -> sa.Engine:
        pool: dict[str, Any] = {"pool_size": 4, "max_overflow": 8, "pool_timeout": BUSY}
        if self._sqlite:
            engine = sa.create_engine(where, hide_parameters=True, connect_args={"timeout": BUSY}, **pool)
            sa.event.listen(engine, "connect", _prepare)
            sa.event.listen(engine, "begin", _begin)
            return engine
        try:
            # What is read must be fresh, not locked: then two writers lock nothing but their own rows.
            pool |= {"pool_pre_ping": True, "pool_recycle": 1800, "isolation_level": "READ COMMITTED"}
            return sa.create_engine(where, hide_parameters=True, **pool)
        except ModuleNotFoundError:
            raise ConfigError("MySQL needs one more package: pip install 'facewitness[mysql]'") from None

    def _write_ahead(self) -> None:
        """Readers and a writer do not wait for each other (SQLite's WAL); the file remembers it."""
        for _ in range(100):  # this one statement does not wait for others by itself
            try:
                with self._engine.connect() as connection:
                    held = connection.connection.dbapi_connection
                    assert held is not None
                    held.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise OutputError(f"database {self._name}: {error}") from None
                time.sleep(0.05)
            except sqlite3.DatabaseError as error:
                raise OutputError(f"database {self._name}: {error}") from None

    def _migrate(self) -> None:
        config = alembic.config.Config()
        place = str(importlib.resources.files("stream.history.migrations"))
        config.set_main_option("script_location", place.replace("%", "%%"))
        steps = alembic.script.ScriptDirectory.from_config(config)
        with self.reading() as connection:
            if _revision(connection) == steps.get_current_head():
                return
        # What is there is judged only now: another process may have been in the middle of it.
        with _TURN, self.writing() as connection, self._alone(connection):
            if not self._at_head(connection, steps):
                config.attributes["connection"] = connection
                alembic.command.upgrade(config, "head")

    def _at_head(self, connection: sa.Connection, steps: Any) -> bool:
        """Whether the database has our shape. Raises ConfigError where it cannot be brought to it."""
        current = _revision(connection)
        if current is None:
            tables = set(sa.inspect(connection).get_table_names())
            foreign = tables - {VERSION_TABLE} if self._sqlite else tables & set(TABLES.tables)
            if foreign:
                # MySQL keeps each table by itself: a step that broke off leaves some of them.
                broken = "" if self._sqlite else ", or making it broke off"
                raise ConfigError(
                    f"database {self._name}: it belongs to another program (table '{min(foreign)}'){broken}"
                )
            return False
        if current not in {step.revision for step in steps.walk_revisions()}:
            raise ConfigError(
                f"database {self._name}: a newer facewitness made it ({redact(current)}); upgrade this one"
            )
        return bool(current == steps.get_current_head())

    @contextlib.contextmanager
    def _alone(self, connection: sa.Connection) -> Iterator[None]:
        """No other process migrates; with SQLite the transaction sees to that."""
        if self._sqlite:
            yield
            return
        name = {"name": f"facewitness:{self._engine.url.database}"[:64]}
        if not connection.scalar(sa.text("SELECT GET_LOCK(:name, 60)"), name):
            raise OutputError(f"database {self._name}: another program has been migrating it for a minute")
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), name)


def _revision(connection: sa.Connection) -> str | None:
    """The last step that the database has seen."""
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _make_file(path: Path) -> None:
    """A file for its owner's eyes only: it will hold names, and hashes of passwords."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise OutputError(f"database {path}: {error.strerror or error}") from None


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # _begin says when a transaction begins
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # what is forgotten leaves the file too


def _begin(connection: sa.Connection) -> None:
    # A reader that turned writer would be refused without waiting.
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """The driver's own words, without the statement and without its number."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    words = [arg for arg in getattr(cause, "args", ()) if isinstance(arg, str) and arg]
    return " ".join((words[-1] if words else type(error).__name__).split())[:300]
