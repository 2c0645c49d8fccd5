"""Who may do what on the relay: bearer tokens for three roles, compared in constant time. Pure."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path

from stream.errors import ConfigError
from stream.redact import SECRETS

SHORTEST = 16  # characters; what is shorter can be guessed
LONGEST = 512  # characters
MOST = 64  # tokens of one role

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token, RFC 6750 section 2.1
_BEARER = re.compile(r"bearer +(\S.*)", re.I | re.S)


class Role(Enum):
    """What a token is good for."""

    PUBLISH = "publish"  # send video in (WHIP)
    WATCH = "watch"  # see pictures, scores and alerts
    ADMIN = "admin"  # everything, ending streams too


class Access:
    """The tokens of a relay, and whether it needs any."""

    def __init__(self, tokens: Mapping[Role, str | Iterable[str] | None], open_to_all: bool) -> None:
        """tokens: one or several for a role; a text may hold one a line. They are kept out of all logs.

        open_to_all: no token is needed. Else a role without tokens is open to administrators only.
        """
        self.open_to_all = open_to_all
        self._digests: dict[Role, list[bytes]] = {}
        for role, given in tokens.items():
            texts = given.split() if isinstance(given, str) else list(given or ())
            for token in texts:
                SECRETS.register_value(token)
            self._digests[role] = [_digest(token) for token in texts]

    def allows(self, role: Role, authorization: str | None) -> bool:
        """Whether the bearer of an Authorization header (None: there was none) may act in `role`.

        Takes the same time for each wrong token; whatever the header holds, it never raises.
        """
        if self.open_to_all:
            return True
        match = _BEARER.fullmatch(authorization or "")
        offered = _digest(match[1].rstrip() if match else "")
        known = self._digests.get(role, [])
        if role is not Role.ADMIN:
            known = known + self._digests.get(Role.ADMIN, [])
        found = False
        for digest in known:  # no early end: the time must not tell which token came close
            found |= hmac.compare_digest(offered, digest)
        return found and match is not None


def read_tokens(path: str | Path) -> tuple[str, ...]:
    """The tokens in a file, one a line; empty lines and lines that begin with # do not count.

    Raises ConfigError, which never shows a token: unreadable, none in it, too many, one that is too short or
    holds characters that no Authorization header carries (RFC 6750 section 2.1).
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConfigError(f"token file {path}: {why}") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    tokens = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    if not tokens:
        raise ConfigError(f"token file {path}: there is no token in it")
    if len(tokens) > MOST:
        raise ConfigError(f"token file {path}: {len(tokens)} tokens, {MOST} at most")
    for number, token in tokens:
        if not SHORTEST <= len(token) <= LONGEST:
            raise ConfigError(
                f"token file {path}, line {number}: {SHORTEST} to {LONGEST} characters, not {len(token)}"
            )
        if not _TOKEN.fullmatch(token):
            raise ConfigError(f"token file {path}, line {number}: only letters, digits and . _ ~ + / - =")
    return tuple(token for _, token in tokens)


def _digest(token: str) -> bytes:
    """Of equal length for all, so that the comparison does not tell a token's length."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
