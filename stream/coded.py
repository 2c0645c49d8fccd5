"""Encoded pictures as a source sends them, with all that a decoder or a container must know of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """How the pictures of one connection are encoded. A new connection has a new object."""

    name: str  # FFmpeg's, e.g. "h264"
    time_base: Fraction  # s a tick
    template: bytes = field(repr=False)  # a NUT file with the stream's header and one key picture
    matrix: bytes = b""  # the display matrix, 9 int32, of pictures that are to be turned; b"" = none


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """One encoded picture, in the order of decoding."""

    data: bytes = field(repr=False)
    pts: int | None  # ticks; None: the source does not say
    dts: int | None
    duration: int  # ticks; 0: unknown
    key: bool  # a decoder can begin here
    time: float  # s on the source's clock, when the picture is shown
    codec: Codec


Tap = Callable[[Coded], None]  # is called in the reading thread; must not block
