"""What is known of one alert when its evidence is to be made: all that goes from the stream to the disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from export.card import Thresholds
from models.crop import CropSpec
from stream.coded import Coded
from stream.values import Alert, Health, Result

BEFORE = AFTER = 5.0  # s of the clip before an alert's first score and after the moment it was opened


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """What the stair said of one frame; its picture is left out."""

    result: Result
    health: Health

    @property
    def time(self) -> float:
        """s on the source's clock."""
        return self.result.frame.time


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds for all alerts of one stream. Nothing in it is a credential."""

    stream: str  # its name
    source: str  # as alerts call it
    settings: Mapping[str, Any] = field(repr=False)  # JSON values
    card: str = field(repr=False)  # the detector's, JSON
    model: Mapping[str, Any] = field(repr=False)  # the detector's file: its sha256, the provider
    thresholds: Thresholds
    crop: CropSpec
    window: float  # s that one score looks back


@dataclass(frozen=True, slots=True)
class Opening:
    """An alert has begun: its folder is made at once, so that even a crash leaves a trace of it."""

    alert: Alert
    facts: Facts


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """An alert whose seconds are complete."""

    facts: Facts
    events: tuple[Alert, ...]  # of the alert so far, the first is `opened`
    begin: float  # s on the source's clock, of the clip
    end: float  # s
    packets: tuple[Coded, ...]
    notes: tuple[Note, ...]
    own: bool  # the packets were encoded here: the source has none, or none that can be kept

    @property
    def alert(self) -> Alert:
        """Its first event."""
        return self.events[0]

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        return sum(len(coded.data) for coded in self.packets)
