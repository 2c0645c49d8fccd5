"""Settings of `facewitness watch`: one table of options serves the flags and the TOML file alike."""

import argparse
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """What `watch` does. The names are those of the flags and of the TOML file's keys, with "_" for "-"."""

    source: str
    model: str = "detector"
    provider: str = "auto"
    threads: int = 1
    min_face: int = 60  # px
    alert: tuple[str, ...] = ("console",)
    webhook_secret_file: str | None = None
    spool: str | None = None
    scores: str | None = None
    show: bool = False
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
    quiet: bool = False
    log: str = "text"
    meter: str | None = None
    serve: tuple[str, int] | None = None  # host, port
    watch_token_file: str | None = None
    cert: str | None = None
    key: str | None = None
    plain_http: bool = False


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


PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino", "coreml")
OPTIONS: dict[str, Option] = {
    "model": Option(
        "name of a detector that ships, or path of an .onnx file with a card", metavar="NAME|FILE"
    ),
    "provider": Option("what onnxruntime runs on; 'auto' says what it chose", choices=PROVIDERS),
    "threads": Option("threads of each network", number(1, int)),
    "min_face": Option("smallest face looked for, px", number(20, int), metavar="PX"),
    "alert": Option("where alerts go: console, jsonl:PATH, https://…; repeatable", many=True, metavar="SINK"),
    "webhook_secret_file": Option("file with the secret that signs webhooks (HMAC-SHA256)", metavar="FILE"),
    "spool": Option("directory where undelivered webhooks wait on disk", metavar="DIR"),
    "scores": Option("write every score as a JSON line; - is stdout", metavar="PATH"),
    "show": Option("open a window", parse=bool),
    "record": Option("record the annotated picture", metavar="OUT.mp4"),
    "push": Option("send the annotated picture to rtmp://, rtsp://, srt://, udp://", metavar="URL"),
    "realtime": Option("play a file at its own pace", parse=bool),
    "duration": Option("stop after this many seconds of source time", number(0), metavar="S"),
    "retries": Option("give up after this many failed tries in a row (default: never)", number(0, int)),
    "stall": Option("a live source without a picture for this long is frozen", number(0.5), metavar="S"),
    "open_timeout": Option("time allowed for opening a source", number(0.5), metavar="S"),
    "rtsp_transport": Option("how RTSP carries its media", choices=("tcp", "udp")),
    "resolution": Option("ask the webcam or screen for this size", _resolution, metavar="WxH"),
    "rate": Option("ask the webcam or screen for this rate", number(1), metavar="FPS"),
    "cooldown": Option("a relapse this soon continues the same alert", number(0), metavar="S"),
    "quiet": Option("alerts and errors only", parse=bool),
    "log": Option("how log lines look", choices=("text", "json")),
    "meter": Option(
        "measure each stage; the JSON summary goes to PATH (default: stdout)", metavar="PATH", const="-"
    ),
    "serve": Option("show the stream on a page, http://127.0.0.1:PORT/", _address, metavar="[HOST]:PORT"),
    "watch_token_file": Option("file with the tokens of those who may see the page", metavar="FILE"),
    "cert": Option("certificate chain that makes the page HTTPS, PEM", metavar="FILE"),
    "key": Option("the certificate's private key, PEM", metavar="FILE"),
    "plain_http": Option("no TLS beyond loopback: a proxy in front speaks it", parse=bool),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser the source and a flag for each option; unset flags stay out of the namespace."""
    parser.add_argument(
        "source", nargs="?", default=argparse.SUPPRESS, help="what to watch: a URL, file or camera"
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


def settings_from(flags: dict[str, Any], config: str | None) -> Settings:
    """Flags over the TOML file over the defaults. Raises ConfigError with one line for anything wrong."""
    values = merged(flags, config, OPTIONS)
    if not values.get("source"):
        raise ConfigError("no source: name a camera, URL or file, or try `facewitness watch demo`")
    return Settings(**values)


def merged(flags: dict[str, Any], config: str | None, options: Mapping[str, Option]) -> dict[str, Any]:
    """The values of flags over those of a TOML file. Raises ConfigError."""
    values = read_toml(Path(config), options) if config else {}
    return values | {name: tuple(v) if isinstance(v, list) else v for name, v in flags.items()}


def read_toml(path: Path, options: Mapping[str, Option] = OPTIONS) -> dict[str, Any]:
    """The settings in a TOML file. Raises ConfigError: unreadable, not TOML, unknown key, wrong value."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return {_key(path, key, options): _value(path, key, raw, options) for key, raw in table.items()}


def _key(path: Path, key: str, options: Mapping[str, Option]) -> str:
    name = key.replace("-", "_")
    if name not in options and (name != "source" or options is not OPTIONS):
        raise ConfigError(f"{path}: unknown key '{key}'")
    return name


def _value(path: Path, key: str, raw: Any, options: Mapping[str, Option]) -> Any:
    name = key.replace("-", "_")
    option = options.get(name, Option(""))
    try:
        if option.parse is bool:
            if not isinstance(raw, bool):
                raise ValueError("true or false")
            return raw
        if option.many:
            words = raw if isinstance(raw, list) else [raw]
            if not all(isinstance(word, str) for word in words):
                raise ValueError("a list of texts")
            return tuple(words)
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            raise ValueError("a text or a number")
        value = option.parse(str(raw))
    except ValueError as error:
        raise ConfigError(f"{path}: {key} = {raw!r} cannot be: {error}") from None
    if option.choices and value not in option.choices:
        raise ConfigError(f"{path}: {key} = {raw!r} cannot be: one of {', '.join(option.choices)}")
    return value
