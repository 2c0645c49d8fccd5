"""Settings of `facewitness watch`: one table of options serves the flags and the TOML file alike."""

import argparse
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stream.errors import ConfigError
from stream.redact import redact


@dataclass(frozen=True, slots=True)
class Settings:
    """What `watch` does. The names are those of the flags and of the TOML file's keys, with "_" for "-"."""

    source: str
    name: str = ""  # of the stream, in URLs, paths and alerts; made from the source where it is not given
    priority: float = 1.0  # of the stream, when the machine is full
    model: str = "detector"
    provider: str = "auto"
    threads: int = 1
    min_face: int = 60  # px
    alert: tuple[str, ...] = ("console",)
    webhook_secret_file: str | None = None
    spool: str | None = None
    scores: str | None = None
    expect: str | None = None  # name of an enrolled person
    enrolled: str | None = None  # file; None: the user's own
    enrolment_key: str | None = None  # file
    show: bool = False
    explain: bool = False
    record: str | None = None
    push: str | None = None
    realtime: bool = False
    duration: float | None = None  # s
    retries: int | None = None  # None: for ever
    stall: float = 5.0  # s
    open_timeout: float = 10.0  # s
    rtsp_transport: str = "tcp"
    resolution: tuple[int, int] | None = None  # px
    rate: float | None = None  # frames a second
    cooldown: float = 10.0  # s
    alert_on: float | None = None  # 0..1; None, here and below: as the detector's card says
    alert_off: float | None = None
    suspicious_on: float | None = None
    suspicious_off: float | None = None
    analysis_rate: float | None = None  # frames a second at most
    quiet: bool = False
    log: str = "text"
    meter: str | None = None
    evidence: str | None = None  # directory
    evidence_key: str | None = None  # file; None: in the user's folder for settings
    evidence_quota: float = 10.0  # GB
    evidence_days: float | None = None  # None: as long as it fits
    serve: tuple[str, int] | None = None  # host, port
    watch_token_file: str | None = None
    cert: str | None = None
    key: str | None = None
    plain_http: bool = False
    no_check: bool = False
    history: str | None = None  # URL of a database; "": the default one
    login: bool = False

    @property
    def sinks(self) -> tuple[str, ...]:
        """Where alerts go."""
        return self.alert if self.history is None else (*self.alert, f"history:{self.history}".rstrip(":"))


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how a word becomes its value, and what the help says."""

    help: str
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    many: bool = False
    metavar: str | None = None
    const: str | None = None  # the value of the flag without a word


def number(least: float, kind: type = float) -> Callable[[str], Any]:
    """A parser of finite numbers that are at least `least`."""

    def parse(word: str) -> Any:
        value = kind(word)
        if not value >= least or value == float("inf"):
            raise ValueError(f"at least {least:g}")
        return value

    parse.__name__ = "number" if kind is float else "whole number"
    return parse


def _share(word: str) -> float:
    value = float(word)
    if not 0 <= value <= 1:
        raise ValueError("from 0 to 1")
    return value


_share.__name__ = "number from 0 to 1"


def _stream_name(word: str) -> str:
    if not NAME.fullmatch(word):
        raise ValueError("letters, digits, '-', '_' and '.', 64 at most, a letter or digit first")
    return word


def _resolution(word: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", word)
    if not match:
        raise ValueError("WIDTHxHEIGHT, such as 1280x720")
    return int(match[1]), int(match[2])


def _address(word: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT or :PORT, which means loopback."""
    host, colon, port = word.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError("[HOST]:PORT, such as :8080")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a stream; fit for URLs and file names
LARGEST = 1 << 20  # bytes of a TOML file
PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "tensorrt-fp16", "openvino", "coreml")
OPTIONS: dict[str, Option] = {
    "model": Option(
        "name of a detector that ships, or path of an .onnx file with a card", metavar="NAME|FILE"
    ),
    "name": Option("what the stream is called on the page, in paths and alerts", _stream_name),
    "priority": Option("of the stream, against that of others when the machine is full", number(0.1)),
    "provider": Option("what onnxruntime runs on; 'auto' says what it chose", choices=PROVIDERS),
    "threads": Option("threads of each network", number(1, int)),
    "min_face": Option("smallest face looked for, px", number(20, int), metavar="PX"),
    "alert": Option(
        "where alerts go: console, jsonl:PATH, history:DB, https://…; repeatable", many=True, metavar="SINK"
    ),
    "webhook_secret_file": Option("file with the secret that signs webhooks (HMAC-SHA256)", metavar="FILE"),
    "spool": Option("directory where undelivered webhooks wait on disk", metavar="DIR"),
    "scores": Option("write every score as a JSON line; - is stdout", metavar="PATH"),
    "expect": Option("say whether each face looks like this enrolled person", metavar="NAME"),
    "enrolled": Option("file of the enrolled people (default: in the user's state)", metavar="FILE"),
    "enrolment_key": Option("key of that file, where it is encrypted", metavar="FILE"),
    "show": Option("open a window", parse=bool),
    "record": Option("record the annotated picture", metavar="OUT.mp4"),
    "push": Option("send the annotated picture to rtmp://, rtsp://, srt://, udp://", metavar="URL"),
    "explain": Option("show heat: where in a face the detector sees more than is usual there", parse=bool),
    "realtime": Option("play a file at its own pace", parse=bool),
    "duration": Option("stop after this many seconds of source time", number(0), metavar="S"),
    "retries": Option("give up after this many failed tries in a row (default: never)", number(0, int)),
    "stall": Option("a live source without a picture for this long is frozen", number(0.5), metavar="S"),
    "open_timeout": Option("time allowed for opening a source", number(0.5), metavar="S"),
    "rtsp_transport": Option("how RTSP carries its media", choices=("tcp", "udp")),
    "resolution": Option("ask the webcam or screen for this size", _resolution, metavar="WxH"),
    "rate": Option("ask the webcam or screen for this rate", number(1), metavar="FPS"),
    "cooldown": Option("a relapse this soon continues the same alert", number(0), metavar="S"),
    "alert_on": Option("an alert begins at this score, instead of the card's", _share, metavar="SCORE"),
    "alert_off": Option("… and ends below this one", _share, metavar="SCORE"),
    "suspicious_on": Option("SUSPICIOUS begins at this score", _share, metavar="SCORE"),
    "suspicious_off": Option("… and ends below this one", _share, metavar="SCORE"),
    "analysis_rate": Option("analyse no more frames a second of a live stream", number(0.1), metavar="FPS"),
    "quiet": Option("alerts and errors only", parse=bool),
    "log": Option("how log lines look", choices=("text", "json")),
    "meter": Option(
        "measure each stage; the JSON summary goes to PATH (default: stdout)", metavar="PATH", const="-"
    ),
    "evidence": Option("keep signed evidence of each alert in this directory", metavar="DIR"),
    "evidence_key": Option("private key that signs it, made if it is not there", metavar="FILE"),
    "evidence_quota": Option("room for it on disk; the oldest goes first", number(0.001), metavar="GB"),
    "evidence_days": Option("delete what is older (default: keep what fits)", number(0.001), metavar="N"),
    "serve": Option("show the stream on a page, http://127.0.0.1:PORT/", _address, metavar="[HOST]:PORT"),
    "watch_token_file": Option("file with the tokens of those who may see the page", metavar="FILE"),
    "cert": Option("certificate chain that makes the page HTTPS, PEM", metavar="FILE"),
    "key": Option("the certificate's private key, PEM", metavar="FILE"),
    "plain_http": Option("no TLS beyond loopback: a proxy in front speaks it", parse=bool),
    "history": Option(
        "keep checks and alerts in a database: a path or mysql://… (alone: one in the user's state)",
        metavar="URL",
        const="",
    ),
    "login": Option("the page asks for a user and a password (facewitness users add)", parse=bool),
    "no_check": Option("no checking of uploaded files on the page", parse=bool),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser the sources and a flag for each option; unset flags stay out of the namespace."""
    parser.add_argument(
        "source", nargs="*", default=argparse.SUPPRESS, help="what to watch: URLs, files or cameras"
    )
    add_options(parser, OPTIONS, Settings)


def add_options(parser: argparse.ArgumentParser, options: Mapping[str, Option], settings: type) -> None:
    """Give a parser a flag for each option; unset flags stay out of the namespace.

    settings: the dataclass whose defaults the help tells.
    """
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same names; flags win over it")
    defaults = {f.name: f.default for f in fields(settings)}
    for name, option in options.items():
        flag = "--" + name.replace("_", "-")
        if option.parse is bool:
            parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=option.help)
            continue
        shown = defaults[name]
        text = option.help if shown in (None, (), ("console",)) else f"{option.help} (default: {shown})"
        extra: dict[str, Any] = {"choices": option.choices} if option.choices else {"type": option.parse}
        if option.many:
            extra["action"] = "append"
        if option.const is not None:
            extra |= {"nargs": "?", "const": option.const}
        metavar = option.metavar if not option.choices else None
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, metavar=metavar, **extra)


def merged(flags: dict[str, Any], config: str | None, options: Mapping[str, Option]) -> dict[str, Any]:
    """The values of flags over those of a TOML file. Raises ConfigError."""
    values = read_table(load_toml(Path(config)), config, options) if config else {}
    return values | given(flags)


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags as argparse leaves them, as values of settings."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in flags.items()}


def load_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError: unreadable, too large, not TOML."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: {LARGEST >> 20} MiB is the most")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOMLDecodeError, UnicodeDecodeError, numbers beyond all bounds
        raise ConfigError(f"{path}: not TOML: {error}") from None


def read_table(
    table: Mapping[str, Any], where: str, options: Mapping[str, Option] = OPTIONS
) -> dict[str, Any]:
    """The settings in one table. where: names it in errors. Raises ConfigError: unknown key, wrong value."""
    return {_key(where, key, options): _value(where, key, raw, options) for key, raw in table.items()}


def _key(where: str, key: str, options: Mapping[str, Option]) -> str:
    name = key.replace("-", "_")
    if name not in options and (name != "source" or options is not OPTIONS):
        raise ConfigError(f"{where}: unknown key {redact(repr(key))}")
    return name


def _value(where: str, key: str, raw: Any, options: Mapping[str, Option]) -> Any:
    option = options.get(key.replace("-", "_"), Option(""))
    shown = "this value"  # a number beyond all bounds cannot even be shown
    try:
        shown = redact(repr(raw))  # a source or a sink may hold a password
        if option.parse is bool:
            if not isinstance(raw, bool):
                raise ValueError("true or false")
            return raw
        if option.many:
            words = raw if isinstance(raw, list) else [raw]
            if not all(isinstance(word, str) for word in words):
                raise ValueError("a list of texts")
            return tuple(option.parse(word) for word in words)
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            raise ValueError("a text or a number")
        value = option.parse(str(raw))
    except ValueError as error:
        raise ConfigError(f"{where}: {key} = {shown} cannot be: {error}") from None
    if option.choices and value not in option.choices:
        raise ConfigError(f"{where}: {key} = {shown} cannot be: one of {', '.join(option.choices)}")
    return value
