"""The sink `https://…`: posts each event as JSON, signed, and keeps on disk what nobody has taken yet.

An event is delivered at least once and in order: the next one waits until this one was answered with 2xx, or
with a 4xx (but 408, 425, 429) that says it will never be taken: then it is put into `rejected/` beside the
queue. Anything else, a redirect too, is tried again. `stream.sinks.post` tells what a POST looks like.
"""

import json
import logging
import math
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from stream.backoff import Backoff
from stream.errors import ConfigError, OutputError
from stream.redact import SECRETS, redact
from stream.sinks import Sink, SinkOptions, to_json
from stream.sinks.post import Answer, Poster
from stream.sinks.spool import Entry, Spool, folder_for
from stream.values import Alert

log = logging.getLogger(__name__)

SCHEMES = ("http", "https")
RESCAN = 2.0  # s between two looks for events that another program put in, and for its lock


def open(spec: str, options: SinkOptions) -> Sink:
    """Open `http(s)://…`. Raises ConfigError for a bad URL, OutputError without a place on disk."""
    try:
        url = urlsplit(spec)
        port = url.port
    except ValueError:
        raise ConfigError("the webhook's URL cannot be read: host or port are wrong") from None
    if not url.hostname or port == 0 or any(c.isspace() or not c.isprintable() for c in spec):
        raise ConfigError("the webhook's URL needs a host and no blanks: https://example.org/alerts")
    if options.hmac_secret == "":
        raise ConfigError("the webhook's secret is empty")
    SECRETS.register(spec)
    if options.hmac_secret:
        SECRETS.register_value(options.hmac_secret)
    return Webhook(url, options)


class Webhook:
    """One receiver. `send` puts an event on disk; a thread of its own delivers from there."""

    def __init__(self, url: SplitResult, options: SinkOptions) -> None:
        """Raises OutputError if the queue cannot be kept on disk, or the certificates cannot be read."""
        self._options = options
        # Paths and queries of webhooks are often secrets themselves: only the host is ever shown.
        self._name = f"webhook {url.scheme}://{url.netloc.rpartition('@')[2]}/…"
        try:
            tls = ssl.create_default_context(cafile=options.ca_file) if url.scheme == "https" else None
            folder = _home(options.spool_dir) / folder_for(url)
            self._spool = Spool(folder, options.spool_events, options.spool_bytes)
            waiting = len(self._spool.entries())
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise OutputError(f"{self._name}: {where}{error.strerror or error}") from error
        if waiting:
            log.info("%s: %d alert events wait from before and go first", self._name, waiting)
        self._poster = Poster(url, options.hmac_secret, tls)
        self.delivered = self.rejected = 0
        self._trouble = ""
        self._until = math.inf  # time.monotonic() after which nothing more is tried
        self._closing, self._fresh = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def __str__(self) -> str:
        return self._name

    @property
    def dropped(self) -> int:
        """Events that the bounds of the queue on disk cost."""
        return self._spool.dropped

    def send(self, alert: Alert) -> None:
        """Keep one event on disk and wake the delivery. Raises OSError if it can be neither kept nor sent."""
        body = json.dumps(to_json(alert), separators=(",", ":")).encode()
        try:
            gone = self._spool.put(alert.phase, body)
        except OSError as error:
            # Better out of order than lost.
            answer = self._post(body, time.time_ns() // 1000, self._options.timeout)
            if answer.taken is not True:
                reason = f"not kept on disk ({error.strerror}), not delivered ({answer.reason})"
                raise OSError(reason) from error
            log.error("%s: delivered, but not kept on disk: %s", self._name, error.strerror)
            self.delivered += 1
            return
        if gone:
            log.error("%s: the queue on disk is full; %d events lost so far", self._name, self.dropped)
        self._fresh.set()

    def close(self) -> None:
        """Try once more to deliver what waits, `flush` s at most; the rest stays for the next start."""
        self._until = time.monotonic() + self._options.flush
        self._closing.set()
        self._fresh.set()
        self._thread.join(self._options.flush + 1.0)
        if waiting := len(self._spool.entries()):
            log.warning("%s: %d alert events stay on disk and go with the next start", self._name, waiting)

    def _run(self) -> None:
        backoff = Backoff(self._options.retry_first, self._options.retry_most)
        while True:
            ending = self._closing.is_set()
            try:
                wait = self._round(backoff)
            except Exception as error:  # this thread must not end before the program does
                self._tell(redact(f"{type(error).__name__}: {error}"))
                wait = backoff.next()
            if ending:
                break
            if wait is None:
                self._fresh.wait(RESCAN)
                self._fresh.clear()
            else:
                self._closing.wait(wait)
        self._spool.unlock()

    def _round(self, backoff: Backoff) -> float | None:
        """Deliver all that waits; s to pause if that failed, None if there is nothing left to do for now."""
        if not self._spool.lock():
            return None  # another program delivers to this receiver, our events too
        for entry in self._spool.entries():
            if time.monotonic() >= self._until:
                break
            answer = self._deliver(entry)
            if answer is None:
                continue
            if answer.taken is None:
                self._tell(answer.reason)
                return max(backoff.next(), answer.wait)
            backoff.reset()
            self._tell("")
        return None

    def _deliver(self, entry: Entry) -> Answer | None:
        """Try to deliver one event; None if the bounds have cost it meanwhile."""
        body = self._spool.read(entry)
        if body is None:
            return None
        timeout = min(self._options.timeout, self._until - time.monotonic())
        try:
            answer = self._post(body, entry.sequence, max(timeout, 0.1))
        except (ValueError, KeyError, TypeError):
            answer = Answer(False, "its file is damaged")
        if answer.taken is True:
            self._spool.remove(entry)
            self.delivered += 1
        elif answer.taken is False:
            self._spool.reject(entry)
            self.rejected += 1
            log.error("%s: an event will never be delivered: %s; see rejected/", self._name, answer.reason)
        return answer

    def _post(self, body: bytes, sequence: int, timeout: float) -> Answer:
        event = json.loads(body)
        key = f"{quote(event['id'], safe='', errors='backslashreplace')}-{event['phase']}-{sequence}"
        return self._poster.post(body, key, timeout)

    def _tell(self, trouble: str) -> None:
        """Log when trouble begins, changes or ends; not each try."""
        if trouble and trouble != self._trouble:
            log.warning("%s does not take alerts, trying again: %s", self._name, trouble)
        elif self._trouble and not trouble:
            log.info("%s takes alerts again", self._name)
        self._trouble = trouble


def _home(folder: Path) -> Path:
    if str(folder).startswith("~"):
        raise OSError("this user has no home; say where to keep undelivered alerts")
    return folder
