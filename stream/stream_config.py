"""From the command line and streams.toml to the settings of each stream, named and checked. Pure.

    provider = "cpu"                # at the top: what is one for the whole program (PROCESS)

    [defaults]                      # what holds for every stream that does not say otherwise
    alert = ["console", "jsonl:alerts.jsonl"]
    min-face = 80

    [[stream]]
    name = "front-door"
    source = "rtsp://user:password@camera/1"
    priority = 2

A file without [[stream]] and [defaults] is what it always was: the settings of one stream, all at the top.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.card import Thresholds
from stream.config import Settings, given, read_table
from stream.errors import ConfigError
from stream.redact import redact
from stream.sources import display_name

MOST = 256  # streams of one process
PROCESS = (
    frozenset(("provider", "threads", "duration", "quiet", "log", "meter"))
    | frozenset(("serve", "watch_token_file", "cert", "key", "plain_http", "no_check", "history", "login"))
    | frozenset(("evidence", "evidence_key", "evidence_quota", "evidence_days"))
)
IN_PLACE = frozenset(("priority", "analysis_rate"))  # a running stream takes these up as they are
_TARGETS = ("record", "push", "scores")  # what no two streams can share

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the program is to watch. The names of the streams are given and unique."""

    streams: tuple[Settings, ...]
    file: str | None = None  # the TOML file that lists streams, and is watched for changes

    @property
    def many(self) -> bool:
        """Whether it is more than the one source of a plain `facewitness watch SOURCE`."""
        return len(self.streams) > 1 or self.file is not None


def plan_from(flags: dict[str, Any], table: Table | None, file: str = "") -> Plan:
    """Flags over [[stream]] over [defaults] over what a setting is by itself.

    flags: as argparse leaves them, `source` a list. table: the TOML file's. file: its name, for errors.
    Sources on the command line stand beside those of the file. Raises ConfigError.
    """
    values = given(flags)
    sources = [{"source": source} for source in values.pop("source", ())]
    table = table or {}
    lists = "stream" in table or "defaults" in table
    shared, listed = _streams(table, file) if lists else (read_table(table, file), [])
    if not lists and not sources and "source" in shared:
        sources = [{}]
    given_streams = [shared | own | values for own in [*listed, *sources]]
    if not given_streams or not all(each.get("source") for each in given_streams):
        raise ConfigError("no source: name a camera, URL or file, or try `facewitness watch demo`")
    if len(given_streams) > MOST:
        raise ConfigError(f"{len(given_streams)} streams: {MOST} are the most")
    streams = _named([Settings(**each) for each in given_streams], file)
    _check_targets(streams)
    return Plan(streams, file if "stream" in table else None)


def _streams(table: Table, file: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all streams share, and what each says itself."""
    top = {key: raw for key, raw in table.items() if key not in ("stream", "defaults")}
    shared = read_table(top, file)
    if strays := [key for key in top if _option(key) not in PROCESS]:
        raise ConfigError(f"{file}: '{strays[0]}' belongs into [defaults] or a [[stream]]")
    defaults, listed = table.get("defaults", {}), table.get("stream", [])
    if not isinstance(defaults, dict):
        raise ConfigError(f"{file}: defaults is no table: write [defaults]")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ConfigError(f"{file}: stream is no list of tables: write [[stream]]")
    shared |= _stream_table(defaults, f"{file}: [defaults]")
    if strays := [name for name in ("source", "name") if name in shared]:
        raise ConfigError(f"{file}: [defaults]: '{strays[0]}' belongs into a [[stream]]")
    own = [_stream_table(each, f"{file}: {_title(i, each)}") for i, each in enumerate(listed, 1)]
    for i, (each, raw) in enumerate(zip(own, listed, strict=True), 1):
        if not each.get("source"):
            raise ConfigError(f"{file}: {_title(i, raw)}: no source")
    return shared, own


def _stream_table(table: Table, where: str) -> dict[str, Any]:
    values = read_table(table, where)
    if strays := [key for key in table if _option(key) in PROCESS]:
        raise ConfigError(f"{where}: '{strays[0]}' is one for all streams: it stands at the top of the file")
    return values


def _title(number: int, table: Table) -> str:
    """A stream's table as errors name it."""
    name = table.get("name")
    return f"[[stream]] {number} ('{redact(name)}')" if isinstance(name, str) else f"[[stream]] {number}"


def _option(key: str) -> str:
    return key.replace("-", "_")


def _named(streams: Iterable[Settings], file: str) -> tuple[Settings, ...]:
    """Each stream with a name of its own, which stands for {name} in what it writes."""
    streams = list(streams)
    taken: set[str] = set()
    for name in (each.name for each in streams if each.name):
        if name in taken:
            raise ConfigError(f"{file or '--name'}: two streams are called '{name}'")
        taken.add(name)
    named = []
    for each in streams:
        name = each.name or _free(slug(display_name(each.source)), taken)
        taken.add(name)
        named.append(_filled(each, name))
    return tuple(named)


def _free(name: str, taken: set[str]) -> str:
    """The name itself, or with the first number that makes it a new one."""
    return next(n for n in [name, *(f"{name}-{i}" for i in range(2, MOST + 2))] if n not in taken)


def slug(name: str) -> str:
    """What of a source's name can stand in a URL, its last 40 characters."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[-40:].strip("-") or "stream"


def _filled(settings: Settings, name: str) -> Settings:
    """The settings with the stream's name where {name} stands."""

    def fill(text: str | None) -> str | None:
        return text and text.replace("{name}", name)

    return replace(
        settings,
        name=name,
        record=fill(settings.record),
        push=fill(settings.push),
        scores=fill(settings.scores),
        alert=tuple(spec.replace("{name}", name) for spec in settings.alert),
    )


def _check_targets(streams: Iterable[Settings]) -> None:
    """No two streams may write to one place. Alerts may: their sinks are made for it."""
    owners: dict[str, str] = {}
    for settings in streams:
        for option in _TARGETS:
            target = getattr(settings, option)
            if target is None:
                continue
            key = target if option == "push" or target == "-" else os.path.abspath(target)
            other = owners.setdefault(key, settings.name)
            if other != settings.name:
                both = f"'{other}' and '{settings.name}' would both write there"
                raise ConfigError(f"--{option} {redact(target)}: {both}; put {{name}} into it")


def label(settings: Settings) -> str:
    """What a stream is called in alerts, logs and pictures: its name, or its URL without credentials.

    A name that was merely made from the URL says less than the URL.
    """
    shown = display_name(settings.source)
    return shown if settings.name == slug(shown) else settings.name


def thresholds_of(card: Thresholds, settings: Settings) -> Thresholds:
    """The card's thresholds with those that the settings put in their place. Raises ConfigError."""
    limits = Thresholds(
        *(
            getattr(card, name) if getattr(settings, name) is None else getattr(settings, name)
            for name in ("suspicious_on", "suspicious_off", "alert_on", "alert_off")
        )
    )
    pairs = (
        ("suspicious-off", limits.suspicious_off, "suspicious-on", limits.suspicious_on),
        ("alert-off", limits.alert_off, "alert-on", limits.alert_on),
        ("suspicious-on", limits.suspicious_on, "alert-on", limits.alert_on),
    )
    for low, lower, high, higher in pairs:
        if lower > higher:
            raise ConfigError(f"{settings.name}: {low} {lower:g} lies above {high} {higher:g}")
    return limits


def in_place(old: Settings, new: Settings) -> bool:
    """Whether a running stream can take up the new settings without being started anew."""
    return replace(old, **{name: getattr(new, name) for name in IN_PLACE}) == new


def kept_process(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """New settings with the old ones of the process, which no edit changes while it runs; and their names."""
    held = {name: getattr(old, name) for name in sorted(PROCESS) if getattr(old, name) != getattr(new, name)}
    return replace(new, **held), tuple(held)
