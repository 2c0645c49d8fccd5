"""Which database a user means: a path, `sqlite:///…` or `mysql://…`; its password never shows."""

import os
from pathlib import Path

from stream.errors import ConfigError
from stream.history.sql import sa
from stream.redact import SECRETS
from stream.sinks import state_dir

_MYSQL = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
_WAITS = {"connect_timeout": "10", "read_timeout": "30", "write_timeout": "30"}  # s


def default_database() -> str:
    """Where the history lies if nobody says otherwise. Raises ConfigError without a home."""
    folder = state_dir()
    if str(folder).startswith("~"):
        raise ConfigError("this user has no home for a database: give --db")
    return str(folder / "history.db")


def address(url: str) -> sa.URL:
    """What SQLAlchemy connects to. Raises ConfigError, which shows no credential."""
    if any(not c.isprintable() for c in url) or not url:
        raise ConfigError("the database's URL is empty or holds characters that no URL has")
    scheme, separator, _ = url.partition("://")
    if not separator:
        return _file(url)
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError("the database's URL cannot be read: mysql://USER:PASSWORD@HOST/NAME") from None
    if parsed.password:
        SECRETS.register_value(str(parsed.password))
    if scheme.lower() == "sqlite":
        if parsed.host or parsed.query:
            raise ConfigError("a SQLite URL has three or four slashes and no options: sqlite:///history.db")
        return _file(parsed.database or "")
    if scheme.lower() in _MYSQL:
        return _server(parsed)
    raise ConfigError(f"no database is called '{scheme[:40]}'; known are sqlite, mysql and mariadb")


def shown(url: sa.URL) -> str:
    """The database's name for messages: no user, no password, no options."""
    if url.drivername == "sqlite":
        return str(url.database)
    host = f"[{url.host}]" if ":" in (url.host or "") else url.host or "localhost"
    return f"mysql://{host}{f':{url.port}' if url.port else ''}/{url.database}"


def _file(path: str) -> sa.URL:
    if not path or path.startswith(":"):
        raise ConfigError("a history needs a file that stays: give a path")
    return sa.URL.create("sqlite", database=str(Path(os.path.expanduser(path)).absolute()))


def _server(parsed: sa.URL) -> sa.URL:
    if not parsed.database:
        raise ConfigError("the database's URL names no database: mysql://USER:PASSWORD@HOST/NAME")
    options = {**_WAITS, **dict(parsed.query), "charset": "utf8mb4"}
    return parsed.set(drivername="mysql+pymysql", query=options)
