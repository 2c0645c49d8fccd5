"""Sources of pictures: one module a kind, chosen by the URL; a new kind is one new file in this folder."""

import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

from stream.coded import Tap
from stream.errors import UnknownScheme
from stream.redact import redact
from stream.values import Frame

Wanted = Callable[[float], bool]  # whether a picture that came then (s, monotonic) will be looked at
SMALLEST = 32  # px: neither side of a picture may be shorter, no face in it could be scored


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is opened. What a kind of source has no use for, it ignores."""

    rtsp_transport: str = "tcp"  # "tcp" or "udp"
    resolution: tuple[int, int] | None = None  # px, width and height; webcam and screen
    rate: float | None = None  # pictures per second; webcam and screen
    open_timeout: float = 10.0  # s until the first picture must be there
    stall: float = 5.0  # s without a picture after which a live source counts as frozen
    realtime: bool = False  # a file is played at its own speed instead of being read at once


class SourceModule(Protocol):
    """What a module in this folder offers.

    One whose pictures come encoded says PACKETS = True and takes `tap`, to which each of them goes in the
    thread that reads. One to which painting a picture costs something says SPARES = True and takes `wanted`;
    of pictures that nobody wants it yields `decode.UNPAINTED` instead.
    """

    SCHEMES: tuple[str, ...]  # of the URLs that it reads, in lower case
    LIVE: bool  # only its newest picture matters, and its end is a disconnect

    def frames(self, url: str, options: SourceOptions) -> Generator[Frame, None, None]:
        """Open the source, yield its pictures, close it. Raises a SourceError with one clear line."""
        ...


@cache
def _modules() -> dict[str, SourceModule]:
    """Every scheme with the module that reads it."""
    known: dict[str, SourceModule] = {}
    for info in pkgutil.iter_modules(__path__):
        module = cast(SourceModule, importlib.import_module(f"{__name__}.{info.name}"))
        known.update(dict.fromkeys(module.SCHEMES, module))
    return known


def schemes() -> tuple[str, ...]:
    """All schemes that can be read, sorted."""
    return tuple(sorted(_modules()))


def scheme_of(url: str) -> str:
    """The scheme of what the user names: "webcam" for 0 or /dev/video0, "file" for a path.

    A bare word is a scheme if a module claims it ("demo", "screen") and no file has that name.
    """
    if re.fullmatch(r"\d+|/dev/video\d+", url):
        return "webcam"
    # One letter before the colon is a drive of Windows, not a scheme.
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", url)
    if match and (url[match.end() :].startswith("//") or not os.path.exists(url)):
        return match[1].lower()
    if url.lower() in _modules() and not os.path.exists(url):
        return url.lower()
    return "file"


def find(url: str) -> SourceModule:
    """The module that reads `url`. Raises UnknownScheme, which names the known ones."""
    scheme = scheme_of(url)
    module = _modules().get(scheme)
    if module is None:
        raise UnknownScheme(f'unknown scheme "{redact(scheme)}:"; known are {", ".join(schemes())}')
    return module


def has_packets(url: str) -> bool:
    """Whether encoded pictures can be tapped. Raises UnknownScheme."""
    return bool(getattr(find(url), "PACKETS", False))


def open_frames(
    url: str, options: SourceOptions, tap: Tap | None = None, wanted: Wanted | None = None
) -> Generator[Frame, None, None]:
    """The pictures of a source; its encoded ones go to `tap` where there are any. Raises UnknownScheme.

    Where painting them costs something, those that are not `wanted` come empty.
    """
    module, more = find(url), dict[str, Any]()
    if tap is not None and has_packets(url):
        more["tap"] = tap
    if wanted is not None and getattr(module, "SPARES", False):
        more["wanted"] = wanted
    return cast(Generator[Frame, None, None], cast(Any, module).frames(url, options, **more))


def display_name(url: str) -> str:
    """The name of a source for logs, events and pages: its URL without credentials."""
    return redact(url)
