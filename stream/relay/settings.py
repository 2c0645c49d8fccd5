"""Settings of `facewitness relay`: the table of its options, and what in it cannot be."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from stream.config import OPTIONS, Option, merged, number
from stream.errors import ConfigError
from stream.relay.access import Access, Role, read_tokens

STREAM = "[A-Za-z0-9._-]{1,64}"  # what a stream may be called, as a regular expression
_SHARED = (
    "model",
    "provider",
    "threads",
    "min_face",
    "explain",
    "enrolled",
    "enrolment_key",
    "no_check",
    "history",
    "login",
    "alert",
    "webhook_secret_file",
    "spool",
    "cooldown",
    "quiet",
    "log",
)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What `relay` does. The names are those of the flags and of the TOML file's keys, with "_" for "-"."""

    host: str = "127.0.0.1"
    port: int = 8080
    cert: str | None = None
    key: str | None = None
    plain_http: bool = False
    publish_token_file: str | None = None
    watch_token_file: str | None = None
    admin_token_file: str | None = None
    allow_origin: tuple[str, ...] = ()
    server_name: tuple[str, ...] = ()
    ice_server: tuple[str, ...] = ()
    turn_secret_file: str | None = None
    turn_lifetime: int = 3600  # s
    max_streams: int = 8
    max_viewers: int = 64
    analysis_rate: float | None = None  # frames a second
    explain: bool = False
    expect: tuple[tuple[str, str], ...] = ()  # streams, and the enrolled person who should be in each
    enrolled: str | None = None  # file; None: the user's own
    enrolment_key: str | None = None  # file
    no_check: bool = False
    history: str | None = None
    login: bool = False
    push: str | None = None
    model: str = "detector"
    provider: str = "auto"
    threads: int = 1
    min_face: int = 60  # px
    alert: tuple[str, ...] = ("console",)
    webhook_secret_file: str | None = None
    spool: str | None = None
    cooldown: float = 10.0  # s
    quiet: bool = False
    log: str = "text"

    @property
    def sinks(self) -> tuple[str, ...]:
        """Where alerts go."""
        return self.alert if self.history is None else (*self.alert, f"history:{self.history}".rstrip(":"))


def _expectation(word: str) -> tuple[str, str]:
    stream, _, person = word.partition("=")
    if not (re.fullmatch(STREAM, stream) and person):
        raise ValueError("STREAM=NAME, such as desk=anna")
    return stream, person


_expectation.__name__ = "STREAM=NAME"


RELAY_OPTIONS: dict[str, Option] = {
    "host": Option("address to listen on; beyond loopback tokens and TLS are demanded", metavar="ADDRESS"),
    "port": Option("port of HTTP or HTTPS; 0: any that is free", number(0, int)),
    "cert": Option("certificate chain for HTTPS, PEM", metavar="FILE"),
    "key": Option("the certificate's private key, PEM", metavar="FILE"),
    "plain_http": OPTIONS["plain_http"],
    "publish_token_file": Option("file with the tokens of those who may publish", metavar="FILE"),
    "watch_token_file": Option("file with the tokens of those who may watch", metavar="FILE"),
    "admin_token_file": Option("file with the tokens of administrators", metavar="FILE"),
    "allow_origin": Option(
        "another site whose scripts may use the relay; repeatable", many=True, metavar="URL"
    ),
    "server_name": Option("a name under which the relay is reached; repeatable", many=True, metavar="NAME"),
    "ice_server": Option("stun:HOST or turn:HOST, none by default; repeatable", many=True, metavar="URL"),
    "turn_secret_file": Option("file with the secret shared with the TURN server", metavar="FILE"),
    "turn_lifetime": Option("how long a TURN credential holds", number(60, int), metavar="S"),
    "max_streams": Option("streams that may be published at once", number(1, int)),
    "max_viewers": Option("viewers at once, of all streams together", number(1, int)),
    "analysis_rate": Option("analyse no more frames a second of each stream", number(0.1), metavar="FPS"),
    "expect": Option(
        "say whether each face of a stream looks like an enrolled person; repeatable",
        _expectation,
        many=True,
        metavar="STREAM=NAME",
    ),
    "push": Option("send each annotated picture on; {name} is the stream's name", metavar="URL"),
} | {name: OPTIONS[name] for name in _SHARED}


def relay_settings(flags: dict[str, Any], config: str | None) -> RelaySettings:
    """Flags over the TOML file over the defaults. Raises ConfigError with one line for anything wrong."""
    settings = RelaySettings(**merged(flags, config, RELAY_OPTIONS))
    if settings.port > 65535:
        raise ConfigError(f"--port {settings.port}: 65535 at most")
    if (settings.cert is None) != (settings.key is None):
        raise ConfigError("--cert and --key go together")
    streams = [stream for stream, _ in settings.expect]
    if twice := next((stream for stream in streams if streams.count(stream) > 1), None):
        raise ConfigError(f"--expect: two people are expected in {twice}")
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def access_of(host: str, files: dict[Role, str | None], login: bool = False) -> Access:
    """Who may do what. Without tokens and log-in all may, on loopback; elsewhere that is a ConfigError."""
    tokens = {role: read_tokens(file) for role, file in files.items() if file}
    if not tokens and not login and not is_loopback(host):
        raise ConfigError(
            f"--host {host} can be reached from elsewhere: it needs --publish-token-file, "
            "--watch-token-file, --admin-token-file or --login"
        )
    given = [token for group in tokens.values() for token in group]
    if len(set(given)) != len(given):
        raise ConfigError("the same token stands in two token files")
    return Access(tokens, open_to_all=not tokens and not login)
