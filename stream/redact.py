"""Keeps credentials out of whatever leaves the program: log lines, events, exceptions, FFmpeg's messages."""

import base64
import json
import logging
import re
import threading
import traceback
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
SHORTEST = 3  # characters; a shorter secret is hidden inside URLs only, else every line would be riddled
MOST = 4096  # spellings of secrets that are remembered
SECRET_KEYS = (
    r"pass|passwd|password|passphrase|pwd|token|access_token|auth|authorization|key|apikey|api_key|secret|"
    r"sig|signature|sign|streamid|session|sessionid|credential|user|username|usr|login|jwt|hmac|code|"
    r"x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential"
)
# The user part reaches, as in FFmpeg, to the last @ before the path. A "user:" whose rest is no port has a
# password with an unquoted slash, which FFmpeg misreads; it is hidden all the same.
_USERINFO = re.compile(r"(?<=://)(?:[^\s/?#]*@|(?![^\s/:@]*:\d*(?:[/?#\s]|$))[^\s/:@]+:[^\s]*@)")
_QUERY = re.compile(rf"(?i)([?&;,#]\s*(?:[\w.-]*[_-])?(?:{SECRET_KEYS})=)[^&;,#\s\"'<>]+")
_HEADER = re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|digest)\s+)[^\r\n'\"]+")


def _patterns(text: str) -> str:
    """Hide what looks like a credential by where it stands."""
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    return _HEADER.sub(rf"\g<1>{HIDDEN}", text)


def _spellings(secret: str) -> set[str]:
    """The ways in which a secret may be written in a line: raw, percent-encoded, JSON, repr."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    found = set(plain)
    for each in plain:
        found |= {quote(each, safe=""), quote(each), quote_plus(each)}
        found |= {json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1], repr(each)[1:-1]}
        found |= {ascii(each)[1:-1]}
    found |= {s.lower() for s in found if "%" in s}  # %2F is also written %2f
    return found


def _parts(url: str) -> tuple[list[str], list[str]]:
    """The user and password, and the secret values of the query, of one URL, as they are written there."""
    _, _, rest = url.partition("://")
    accounts = []
    if match := _USERINFO.search(url):
        accounts = match[0][:-1].split(":", 1)
    elif "@" in re.split(r"[/?#]", rest)[0]:
        accounts = rest.rpartition("@")[0].split(":", 1)
    values = [m[0][len(m[1]) :] for m in _QUERY.finditer(url)]
    return accounts, values


class Secrets:
    """The credentials of this process's sources and sinks, hidden wherever they turn up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, url: str) -> None:
        """Remember the user, the password and the secret query values of `url`, in all their spellings.

        Raises ValueError beyond MOST spellings: forgetting an old secret silently would be worse.
        """
        accounts, values = _parts(url)
        secrets = list(accounts) + values
        if len(accounts) == 2:
            for user, word in (accounts, [unquote(a) for a in accounts]):
                secrets.append(base64.b64encode(f"{user}:{word}".encode()).decode())
        self._add(secrets)

    def register_value(self, secret: str) -> None:
        """Remember one secret that stands in no URL, e.g. a webhook's signing key."""
        self._add([secret])

    def _add(self, secrets: list[str]) -> None:
        fresh = {s for secret in secrets for s in _spellings(secret) if len(s) >= SHORTEST}
        with self._lock:
            spellings = self._spellings | fresh
            if len(spellings) > MOST:
                raise ValueError(f"more than {MOST} spellings of secrets")
            self._spellings, self._pattern = spellings, None

    def hide(self, text: str) -> str:
        """`text` without any registered secret."""
        pattern = self._pattern
        if pattern is None:
            with self._lock:
                # Longest first: a secret that begins with another one is hidden whole.
                ordered = sorted(self._spellings, key=lambda s: (-len(s), s))
                # Without any: a pattern that never matches.
                pattern = self._pattern = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
        return pattern.sub(HIDDEN, text)


SECRETS = Secrets()  # of this process


def redact(text: str) -> str:
    """`text` without credentials: user parts of URLs, secret query values, SECRETS. Keeps the rest."""
    return SECRETS.hide(_patterns(text))


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class RedactingFilter(logging.Filter):
    """Redacts a record's message, arguments, exception, stack and extra fields; drops nothing.

    Put it on handlers, not on loggers: a logger's filters do not see the records of its children.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact in place. Always True."""
        try:
            message = record.getMessage()
        except Exception as error:  # a log call with wrong arguments must neither crash nor leak them
            message = f"{record.msg} (unusable arguments: {type(error).__name__})"
        record.msg, record.args = redact(message), None
        if record.exc_info and record.exc_info[1] is not None:
            text = record.exc_text or "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_info = None  # else a formatter would print the original
            record.exc_text = redact(text)
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, value in vars(record).items():
            if name not in _STANDARD and isinstance(value, str):
                setattr(record, name, redact(value))
        return True
