"""What a user's name and a password may be. Pure."""

import re
import unicodedata

from stream.errors import ConfigError

SHORTEST = 12  # characters of a password
LONGEST = 1024  # bytes of one: what is longer costs without being safer
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


def user_name(word: str) -> str | None:
    """The name in the form that is kept, lower case; None if it cannot be one."""
    name = word.lower() if len(word) <= 64 else ""
    return name if _NAME.fullmatch(name) else None


def new_name(word: str) -> str:
    """As `user_name`. Raises ConfigError, with the rule."""
    name = user_name(word)
    if name is None:
        raise ConfigError(
            "a user's name has 1 to 64 letters a-z, digits and . _ @ -, a letter or digit first"
        )
    return name


def normal(password: str) -> bytes | None:
    """What is hashed; None for what is too long. NFKC: each keyboard gives the same (NIST SP 800-63B)."""
    if len(password) > LONGEST:  # before it is normalised: that may take a while
        return None
    try:
        data = unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:  # half a character
        return None
    return data if len(data) <= LONGEST else None


def new_password(password: str) -> bytes:
    """What is hashed. Raises ConfigError for one that is too short or too long; there are no other rules.

    Long ones are asked for instead of odd characters, as NIST SP 800-63B has it.
    """
    data = normal(password)
    if data is None:
        raise ConfigError(f"a password has {LONGEST} bytes at most, and whole characters")
    if len(data.decode()) < SHORTEST:
        raise ConfigError(f"a password has {SHORTEST} characters at least")
    return data
