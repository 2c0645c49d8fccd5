"""One signed POST of an event to a webhook, and what its answer means.

Each POST carries
    X-Facewitness-Schema      1, see `stream.sinks.to_json`
    X-Facewitness-Timestamp   unix time in s when this try was made
    X-Facewitness-Signature   sha256=HEX of HMAC-SHA256(secret, timestamp + "." + body), if there is a secret
    Idempotency-Key           the same in each try of one event, so that a receiver can tell a repetition
"""

import contextlib
import hashlib
import hmac
import http.client
import math
import socket
import ssl
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, quote, unquote

from stream.redact import redact
from stream.sinks import SCHEMA

AGAIN = frozenset({408, 425, 429})  # of the 4xx, those that another try may turn
LONGEST = 3600.0  # s, more than this no Retry-After is honoured
BODY = 65536  # bytes of the answer's body that are read, to be polite


@dataclass(frozen=True, slots=True)
class Answer:
    """What one try brought."""

    taken: bool | None  # see `taken`
    reason: str  # in words, credentials removed
    wait: float = 0.0  # s that the receiver asks for


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature header. A receiver compares it with `hmac.compare_digest` and refuses old timestamps."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def taken(status: int) -> bool | None:
    """True: the event is delivered. False: it never will be. None: another try may help."""
    if 200 <= status < 300:
        return True
    return False if 400 <= status < 500 and status not in AGAIN else None


def retry_after(header: str | None, now: float) -> float:
    """s that the receiver asks to wait (RFC 9110, 10.2.3: seconds or a date); 0 if it does not or babbles."""
    if not header:
        return 0.0
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(wait, 0.0), LONGEST) if math.isfinite(wait) else 0.0


class Poster:
    """Posts to one URL, over a new connection each time; redirects are not followed, proxies not asked."""

    def __init__(self, url: SplitResult, secret: str | None, tls: ssl.SSLContext | None) -> None:
        """url: of http without, of https with `tls`. secret: signs, if there is one."""
        self._url, self._secret, self._tls = url, secret, tls
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._target = quote(path, safe="/%?&=+$,;:@!~*'()[]-._")

    def post(self, body: bytes, key: str, timeout: float) -> Answer:
        """One try, `timeout` s to connect and `timeout` s to be answered at most. Never raises OSError."""
        connection = self._connection(timeout)
        try:
            connection.connect()
            plug = threading.Timer(timeout, _unplug, [connection.sock])  # a receiver may drip for ever
            plug.daemon = True
            plug.start()
            try:
                connection.request("POST", self._target, body, self._headers(body, key))
                return _judge(connection.getresponse())
            finally:
                plug.cancel()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Answer(None, redact(str(error) or type(error).__name__))
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._tls:
            port = self._url.port or http.client.HTTPS_PORT
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, self._url.port or http.client.HTTP_PORT, timeout=timeout)

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facewitness",
            "Connection": "close",
            "X-Facewitness-Schema": str(SCHEMA),
            "X-Facewitness-Timestamp": timestamp,
            "Idempotency-Key": key,
        }
        if self._secret:
            headers["X-Facewitness-Signature"] = sign(self._secret, timestamp, body)
        if self._url.username is not None:
            account = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(account.encode()).decode()}"
        return headers


def _judge(response: http.client.HTTPResponse) -> Answer:
    words = "".join(c for c in response.reason[:80] if c.isprintable())
    reason = redact(f"HTTP {response.status} {words}".strip())
    if 300 <= response.status < 400:
        reason += " (redirects are not followed)"
    wait = retry_after(response.getheader("Retry-After"), time.time())
    with contextlib.suppress(OSError, http.client.HTTPException):  # the status is what counts
        response.read(BODY)
    return Answer(taken(response.status), reason, wait)


def _unplug(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The base class's: shutting an SSLSocket down under the thread that reads from it is not safe.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
