"""Hashes of passwords: Argon2id (RFC 9106) by argon2-cffi; one at a time, for the videos need the machine."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stream.accounts.values import TooManyTries
from stream.errors import ConfigError

try:
    import argon2
except ModuleNotFoundError:
    raise ConfigError("a log-in needs more packages: pip install 'facewitness[server]'") from None

AT_ONCE = 1  # computations: each takes 64 MiB and a core for about 0.15 s
IN_LINE = 3  # that wait for it: each holds a thread of the server's


class Hasher:
    """Makes and checks hashes. Thread-safe."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        """hasher: with the parameters of new hashes; None: RFC 9106's second choice, on one core."""
        self._hasher = hasher or argon2.PasswordHasher(parallelism=1)
        self._line = threading.BoundedSemaphore(AT_ONCE + IN_LINE)
        self._work = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys = self._hasher.hash(secrets.token_bytes(32))

    def hash(self, password: bytes) -> str:
        """With its parameters and salt. Raises TooManyTries."""
        with self._turn():
            return self._hasher.hash(password)

    def fits(self, known: str | None, password: bytes) -> bool:
        """Whether the password is the one of the hash. known: None: of a user who does not exist.

        Takes as long for a user who does not exist. Raises TooManyTries.
        """
        with self._turn():
            try:
                self._hasher.verify(known or self._nobodys, password)
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False
        return known is not None

    def outdated(self, known: str) -> bool:
        """Whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(known)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._line.acquire(blocking=False):
            raise TooManyTries(1.0)
        try:
            with self._work:
                yield
        finally:
            self._line.release()
