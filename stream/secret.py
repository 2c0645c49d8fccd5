"""Reads a secret from its file: never from the command line, where every user of the machine sees it."""

from pathlib import Path

from stream.errors import ConfigError
from stream.redact import SECRETS


def secret_in(path: str, what: str) -> str:
    """The text in a file, which is kept out of all logs from now on. what: names it in errors.

    Raises ConfigError where it cannot be read or holds nothing.
    """
    try:
        secret = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path}: {error}") from None
    if not secret:
        raise ConfigError(f"{what} {path}: the file is empty")
    SECRETS.register_value(secret)
    return secret
