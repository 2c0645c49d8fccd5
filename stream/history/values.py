"""What the history holds, and how it is asked."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stream.values import State

LONGEST_TEXT = 200  # characters that are searched for
LARGEST_ID = (1 << 63) - 1


class EntryKind(Enum):
    """What an entry is about."""

    CHECK = "check"  # of a file
    ALERT = "alert"  # of a stream


@dataclass(frozen=True, slots=True)
class Entry:
    """One check of a file, or one alert from its opening to its closing."""

    id: int  # 1, 2, 3 …; never used again
    kind: EntryKind
    at: float  # s since the epoch, UTC: when the check ended, when the alert opened
    name: str  # of the file, without its folder; of the stream
    verdict: State
    fake: float | None  # 0..1; of an alert the peak
    by: str  # the user who asked; "" for none
    facts: dict[str, Any]  # the whole report or alert as JSON; {} where the query is brief


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries are looked for; None and "" let all pass. Raises ValueError for what cannot be."""

    kind: EntryKind | None = None
    text: str = ""  # part of the name, upper or lower case
    verdict: State | None = None
    since: float | None = None  # s since the epoch: from then on
    until: float | None = None  # s since the epoch: before then
    by: str | None = None  # "": those without a user
    mine: str | None = None  # of checks this user's alone, and all alerts
    limit: int = 50  # 1..500 entries
    before: int | None = None  # `next_cursor` of the page before this one
    brief: bool = False  # without `facts`, as a list needs it: they may be 1 MB each

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= 500:
            raise ValueError("limit: 1 to 500 entries")
        if len(self.text) > LONGEST_TEXT:
            raise ValueError(f"text: {LONGEST_TEXT} characters at most")
        if self.before is not None and not 0 < self.before <= LARGEST_ID:
            raise ValueError("before: not a cursor")
        if not all(t is None or math.isfinite(t) for t in (self.since, self.until)):
            raise ValueError("since, until: seconds since the epoch")


@dataclass(frozen=True, slots=True)
class Found:
    """One page, newest first."""

    entries: tuple[Entry, ...]
    next_cursor: int | None  # for the page after this one; None at the end
