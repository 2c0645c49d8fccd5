"""The command `facewitness users`: who may log in. A password is asked for or read from a file."""

import getpass
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stream import logs
from stream.accounts.names import LONGEST, new_name, new_password
from stream.errors import ConfigError
from stream.redact import SECRETS
from stream.relay.access import Role

if TYPE_CHECKING:
    from stream.accounts.store import Accounts


def users(action: str, name: str = "", role: str = "", db: str | None = None, file: str | None = None) -> int:
    """Add, list, remove users, change a password, end sessions. Returns the exit code.

    action: "add", "list", "remove", "password" or "logout"; file: holds the password. Raises ConfigError,
    OutputError.
    """
    from stream.accounts.store import Accounts  # on use: its packages are an extra
    from stream.history.address import default_database

    logs.set_up("text", quiet=True)
    accounts = Accounts(db or default_database())
    try:
        return _act(accounts, action, name, role, file)
    finally:
        accounts.close()


def _act(accounts: "Accounts", action: str, name: str, role: str, file: str | None) -> int:
    if action == "add":
        user = accounts.add(new_name(name), _password(file), Role(role))
        print(f"{user.name} may log in as {role}")
    elif action == "password":
        accounts.require(name)  # told before a password is asked for
        accounts.set_password(name, _password(file))
        print("changed; the sessions of this user have ended")
    elif action == "remove":
        accounts.remove(name)
        print("removed; the sessions of this user have ended")
    elif action == "logout":
        print(f"{accounts.logout_all(name)} sessions ended")
    else:
        now = time.time()
        for user in accounts.users():
            since = datetime.fromtimestamp(user.created, UTC).strftime("%Y-%m-%d")
            live = len(accounts.sessions(user.name, now))
            print(f"{user.name:<24}  {user.role.value:<8}  since {since}  {live} sessions")
    return 0


def _password(file: str | None) -> str:
    password = _read(Path(file)) if file else _asked()
    SECRETS.register_value(password)
    new_password(password)
    return password


def _read(path: Path) -> str:
    """The first and only line of a file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(LONGEST + 3)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConfigError(f"password file {path}: {why}") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if "\n" in password or "\r" in password:
        raise ConfigError(f"password file {path}: it holds more than one line")
    return password


def _asked() -> str:
    if not sys.stdin.isatty():
        raise ConfigError("a password is asked for at a terminal only: give --password-file FILE")
    password = getpass.getpass("Password: ")
    new_password(password)  # told before it is asked for again
    if getpass.getpass("Again: ") != password:
        raise ConfigError("these were two passwords")
    return password
