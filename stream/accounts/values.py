"""Users, sessions, and why somebody is not let in."""

from dataclasses import dataclass

from stream.relay.access import Role


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in."""

    name: str  # in lower case
    role: Role
    created: float  # s since the epoch

    def may(self, role: Role) -> bool:
        """Whether the user may act in a role: administrators in all, publishers may watch too."""
        grades = {Role.WATCH: {Role.WATCH}, Role.PUBLISH: {Role.WATCH, Role.PUBLISH}}
        return role in grades.get(self.role, set(Role))


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in, until it ends."""

    digest: str  # SHA-256 of the token, hexadecimal; the token itself is kept nowhere
    user: User
    created: float  # s since the epoch
    expires: float  # s since the epoch; each use moves it on


class WrongPassword(Exception):  # noqa: N818 - says what happened, as those in stream/errors.py do
    """The name or the password is wrong; which of them is not told."""

    def __init__(self) -> None:
        super().__init__("wrong name or password")


class TooManyTries(Exception):  # noqa: N818
    """Nothing was tried: too much was tried before, or is being tried."""

    def __init__(self, retry_after: float) -> None:
        """retry_after: s, above zero."""
        super().__init__(f"too many tries: wait {retry_after:.0f} s")
        self.retry_after = retry_after
