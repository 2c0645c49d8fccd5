"""How often somebody may try to log in: a bucket of tokens for each address and each name. Pure."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket: so many tries at once, one more every so often."""

    burst: int
    seconds: float  # until a try is given back


BY_ADDRESS = Pace(10, 15.0)
BY_NAME = Pace(20, 30.0)
MOST = 4096  # buckets of a kind; beyond them the one that was quiet for longest is forgotten


class Buckets:
    """One bucket for each key. Times are s on a clock that may stand still but never runs backwards."""

    def __init__(self, pace: Pace, most: int = MOST) -> None:
        self._pace, self._most = pace, most
        self._spent: OrderedDict[str, tuple[float, float]] = (
            OrderedDict()
        )  # tokens gone, and when; the quietest first

    def __len__(self) -> int:
        return len(self._spent)

    def wait(self, key: str, now: float) -> float:
        """s until this key may try; 0.0: now."""
        spent = self._now(key, now)
        return max((spent + 1 - self._pace.burst) * self._pace.seconds, 0.0)

    def take(self, key: str, now: float) -> None:
        """Count a try."""
        self._set(key, min(self._now(key, now) + 1, self._pace.burst), now)

    def give_back(self, key: str, now: float) -> None:
        """Do not count one after all."""
        self._set(key, self._now(key, now) - 1, now)

    def _now(self, key: str, now: float) -> float:
        spent, at = self._spent.get(key, (0.0, now))
        return max(spent - (now - at) / self._pace.seconds, 0.0)

    def _set(self, key: str, spent: float, now: float) -> None:
        self._spent.pop(key, None)
        if spent > 0:  # a full bucket needs no memory
            self._spent[key] = (spent, now)
        while len(self._spent) > self._most:
            self._spent.popitem(last=False)


class Tries:
    """Both kinds together. For one thread at a time.

    An address from which a user has logged in counts by itself: strangers who try that user's name elsewhere
    do not keep the user out.
    """

    def __init__(self, by_address: Pace = BY_ADDRESS, by_name: Pace = BY_NAME, most: int = MOST) -> None:
        self._addresses, self._names = Buckets(by_address, most), Buckets(by_name, most)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # address and name; the oldest first
        self._most = most

    def take(self, address: str, name: str, now: float) -> float:
        """Count a try and return 0.0; or count nothing and return the s to wait."""
        kinds = self._kinds(address, name)
        wait = max(buckets.wait(key, now) for buckets, key in kinds)
        if wait == 0.0:
            for buckets, key in kinds:
                buckets.take(key, now)
        return wait

    def give_back(self, address: str, name: str, now: float) -> None:
        """The try that was just taken was good, or was none."""
        for buckets, key in self._kinds(address, name):
            buckets.give_back(key, now)

    def welcome(self, address: str, name: str) -> None:
        """The user has logged in from there."""
        self._known[address, name] = None
        self._known.move_to_end((address, name))
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def _kinds(self, address: str, name: str) -> tuple[tuple[Buckets, str], ...]:
        by_address = (self._addresses, address)
        return (by_address,) if (address, name) in self._known else (by_address, (self._names, name))
