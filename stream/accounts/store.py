"""Users and sessions in a database: who may log in, and who has."""

import contextlib
import hashlib
import secrets
import threading
import time
from typing import Any

from stream.accounts.hashing import Hasher
from stream.accounts.names import new_name, new_password, normal, user_name
from stream.accounts.tries import Tries
from stream.accounts.values import Session, TooManyTries, User, WrongPassword
from stream.errors import ConfigError, OutputError, Refused
from stream.history.database import Database
from stream.history.sql import sa
from stream.history.tables import SESSIONS, USERS
from stream.relay.access import Role
from stream.relay.limits import network_of

IDLE = 12 * 3600.0  # s after which an unused session ends
LONGEST = 7 * 24 * 3600.0  # s after which any session ends
STEP = 300.0  # s by which a session's end must move before that is written, so that not each request writes
MOST = 20  # sessions of a user; beyond them the oldest ends
_U, _S = USERS.c, SESSIONS.c
_USER = (_U.name, _U.role, _U.created.label("since"))


class Accounts:
    """Who may log in, and who has. Thread-safe; each method may wait for the database, and for Argon2."""

    def __init__(self, url: str, hasher: Hasher | None = None, tries: Tries | None = None) -> None:
        """Opens, makes or migrates the database; for `url` and what is raised see Database."""
        self._hasher = hasher or Hasher()
        self._tries, self._lock = tries or Tries(), threading.Lock()
        self._database = Database(url)

    def __repr__(self) -> str:
        return f"Accounts({self._database})"

    def add(self, name: str, password: str, role: Role) -> User:
        """A new user. Raises ConfigError for a name or password that cannot be, or a name that is taken."""
        user = User(new_name(name), role, time.time())
        hashed = self._hasher.hash(new_password(password))
        values = {"name": user.name, "role": role.value, "password": hashed, "created": user.created}
        try:
            with self._database.writing() as connection:
                connection.execute(USERS.insert(), values)
        except Refused:
            raise ConfigError(f"there is a user '{user.name}' already") from None
        return user

    def remove(self, name: str) -> None:
        """Away with a user and that user's sessions. Raises ConfigError where there is none."""
        with self._database.writing() as connection:
            number = self._number(connection, name)
            connection.execute(SESSIONS.delete().where(_S.user_id == number))
            connection.execute(USERS.delete().where(_U.id == number))

    def set_password(self, name: str, password: str) -> None:
        """Another password; the user's sessions end. Raises ConfigError."""
        hashed = self._hasher.hash(new_password(password))
        with self._database.writing() as connection:
            number = self._number(connection, name)
            connection.execute(USERS.update().where(_U.id == number).values(password=hashed))
            connection.execute(SESSIONS.delete().where(_S.user_id == number))

    def require(self, name: str) -> None:
        """Raises ConfigError where there is no such user."""
        with self._database.reading() as connection:
            self._number(connection, name)

    def users(self) -> list[User]:
        """All of them, by name."""
        with self._database.reading() as connection:
            return [_user(row) for row in connection.execute(sa.select(*_USER).order_by(_U.name))]

    def login(self, name: str, password: str, now: float, address: str) -> str:
        """Begin a session; returns its token, 256 random bits in 43 characters.

        now: s since the epoch; address: where the request came from. Raises WrongPassword; TooManyTries, then
        nothing was tried.
        """
        known, place = user_name(name) or "", network_of(address)
        with self._lock:
            wait = self._tries.take(place, known, time.monotonic())
        if wait:
            raise TooManyTries(wait)
        try:
            token = self._entered(known, password, now)
        except WrongPassword:
            raise
        except Exception:  # nothing was tried
            with self._lock:
                self._tries.give_back(place, known, time.monotonic())
            raise
        with self._lock:
            self._tries.give_back(place, known, time.monotonic())
            self._tries.welcome(place, known)
        return token

    def session(self, token: str, now: float) -> User | None:
        """Whose session this is, and let it last on; None where it is none, or has ended."""
        digest = _digest(token)
        with self._database.reading() as connection:
            found = sa.select(*_USER, _S.created, _S.expires).join_from(SESSIONS, USERS)
            row = connection.execute(found.where(_S.digest == digest)).first()
        if row is None or now >= row.expires:
            return None
        until = min(now + IDLE, row.created + LONGEST)
        if until - row.expires >= STEP:
            with self._database.writing() as connection:
                connection.execute(SESSIONS.update().where(_S.digest == digest).values(expires=until))
        return _user(row)

    def sessions(self, name: str, now: float) -> list[Session]:
        """A user's, the newest first. Raises ConfigError where there is no such user."""
        with self._database.reading() as connection:
            number = self._number(connection, name)
            columns = sa.select(*_USER, _S.digest, _S.created, _S.expires).join_from(SESSIONS, USERS)
            live = columns.where(_S.user_id == number, _S.expires > now).order_by(_S.created.desc())
            rows = connection.execute(live).all()
        return [Session(row.digest, _user(row), row.created, row.expires) for row in rows]

    def logout(self, token: str) -> None:
        """End a session; harmless where there is none."""
        with self._database.writing() as connection:
            connection.execute(SESSIONS.delete().where(_S.digest == _digest(token)))

    def logout_all(self, name: str) -> int:
        """End all sessions of a user; how many. Raises ConfigError where there is no such user."""
        with self._database.writing() as connection:
            number = self._number(connection, name)
            return connection.execute(SESSIONS.delete().where(_S.user_id == number)).rowcount

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _sweep(self, now: float) -> None:
        """Take away sessions that have ended; found first, a few at a time, so that no lock goes further."""
        with self._database.reading() as connection:
            ended = connection.scalars(sa.select(_S.digest).where(_S.expires <= now).limit(100)).all()
        if ended:
            with self._database.writing() as connection:
                connection.execute(SESSIONS.delete().where(_S.digest.in_(ended), _S.expires <= now))

    def _entered(self, name: str, password: str, now: float) -> str:
        data = normal(password)
        if data is None:  # whoever the user is: no password is like this
            raise WrongPassword
        with self._database.reading() as connection:
            row = connection.execute(sa.select(_U.id, _U.password).where(_U.name == name)).first()
        if not self._hasher.fits(None if row is None else row.password, data) or row is None:
            raise WrongPassword
        fresh = self._hasher.hash(data) if self._hasher.outdated(row.password) else row.password
        token = secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            # Removed, or given another password, while the hash was computed?
            same = sa.select(_U.id).where(_U.id == row.id, _U.password == row.password).with_for_update()
            if connection.execute(same).first() is None:
                raise WrongPassword
            if fresh != row.password:
                connection.execute(USERS.update().where(_U.id == row.id).values(password=fresh))
            _begin(connection, row.id, token, now)
        with contextlib.suppress(OutputError):  # the next log-in sweeps too
            self._sweep(now)
        return token

    @staticmethod
    def _number(connection: sa.Connection, name: str) -> int:
        number = connection.scalar(sa.select(_U.id).where(_U.name == (user_name(name) or "")))
        if number is None:
            raise ConfigError("there is no user of that name")
        return int(number)


def _begin(connection: sa.Connection, user: int, token: str, now: float) -> None:
    """Write a session, and take away the user's oldest ones beyond MOST, ended or not."""
    newest = sa.select(_S.digest).where(_S.user_id == user).order_by(_S.created.desc(), _S.digest)
    surplus = connection.scalars(newest.offset(MOST - 1).limit(1000)).all()
    if surplus:
        connection.execute(SESSIONS.delete().where(_S.digest.in_(surplus)))
    values = {"digest": _digest(token), "user_id": user, "created": now, "expires": now + IDLE}
    connection.execute(SESSIONS.insert(), values)


def _digest(token: str) -> str:
    # No slow hash: nobody guesses 256 random bits. The comparison in the database may tell how far a digest
    # fits, but a digest says nothing about its token.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _user(row: Any) -> User:
    return User(row.name, Role(row.role), row.since)
