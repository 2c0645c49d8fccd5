"""How often somebody may try to log in: a bucket of tokens for each address and each name. Pure."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket: so many tries at once, one more every so often."""

    burst: int
    seconds: float  # until a try is given back


BY_ADDRESS = Pace(10, 15.0)
BY_NAME = Pace(20, 30.0)  # looser: else anybody could keep a user out by trying that user's name
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
    """Both kinds together. For one thread at a time."""

    def __init__(self, by_address: Pace = BY_ADDRESS, by_name: Pace = BY_NAME, most: int = MOST) -> None:
        self._kinds = (Buckets(by_address, most), Buckets(by_name, most))

    def take(self, address: str, name: str, now: float) -> float:
        """Count a try and return 0.0; or count nothing and return the s to wait."""
        keys = tuple(zip(self._kinds, (address, name), strict=True))
        wait = max(buckets.wait(key, now) for buckets, key in keys)
        if wait == 0.0:
            for buckets, key in keys:
                buckets.take(key, now)
        return wait

    def give_back(self, address: str, name: str, now: float) -> None:
        """The try was good, or was none."""
        for buckets, key in zip(self._kinds, (address, name), strict=True):
            buckets.give_back(key, now)
