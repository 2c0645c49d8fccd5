"""How much the relay takes on: sessions by role and by address, half-open ones, requests a second. Pure."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from stream.relay.access import Role


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers. A session counts from its answer until it is closed."""

    publishers: int = 8
    viewers: int = 64
    per_address: int = 32  # sessions of one address, publishing and watching together
    half_open: int = 32  # sessions that were answered and have never connected
    half_open_per_address: int = 12
    half_open_seconds: float = 10.0  # s after which such a session is given up
    rate: float = 4.0  # requests a second of one address that open a session or carry a wrong token
    burst: float = 40.0  # of them at once
    addresses: int = 4096  # that are remembered; beyond that the one that was quiet for longest is forgotten


class Full(Exception):  # noqa: N818 - says what happened, as those in stream/errors.py do
    """A session that cannot be had now."""

    def __init__(self, status: int, text: str, retry_after: int) -> None:
        """status: 429 where the address asks for too much, 503 where the relay is full. retry_after: s."""
        super().__init__(text)
        self.status, self.text, self.retry_after = status, text, retry_after


@dataclass(slots=True)
class _Session:
    role: Role
    network: str
    answered: float  # s
    connected: bool = False


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float  # s


class Limits:
    """Counts what is going on. For one thread: the relay's event loop."""

    def __init__(self, bounds: Bounds | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: s, never runs backwards."""
        self.bounds, self._clock = bounds or Bounds(), clock
        self._sessions: dict[str, _Session] = {}
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the quietest address first

    def take(self, address: str | None, cost: float = 1.0) -> float:
        """Let an address spend `cost` of its tokens. Returns 0.0, or the s that it has to wait instead."""
        now, network = self._clock(), network_of(address)
        bucket = self._buckets.get(network) or _Bucket(self.bounds.burst, now)
        gained = (now - bucket.filled) * self.bounds.rate
        bucket.tokens, bucket.filled = min(bucket.tokens + gained, self.bounds.burst), now
        self._buckets[network] = bucket
        self._buckets.move_to_end(network)
        while len(self._buckets) > self.bounds.addresses:
            self._buckets.popitem(last=False)
        if bucket.tokens < cost:
            return (cost - bucket.tokens) / self.bounds.rate
        bucket.tokens -= cost
        return 0.0

    def open(self, session: str, role: Role, address: str | None) -> None:
        """Count a new session, half-open until `connected`. Raises Full, with the status to answer."""
        network, bounds = network_of(address), self.bounds
        same = [s for s in self._sessions.values() if s.network == network]
        waiting = [s for s in self._sessions.values() if not s.connected]
        most = bounds.publishers if role is Role.PUBLISH else bounds.viewers
        soon = max(1, round(bounds.half_open_seconds))
        if len(same) >= bounds.per_address:
            raise Full(429, f"this address has {len(same)} sessions, which is the most", soon)
        if sum(not s.connected for s in same) >= bounds.half_open_per_address:
            raise Full(429, "too many sessions of this address were begun and never connected", soon)
        if sum(s.role is role for s in self._sessions.values()) >= most:
            raise Full(503, f"the relay has {most} sessions to {role.value}, which is the most", soon)
        if len(waiting) >= bounds.half_open:
            raise Full(503, "too many sessions wait for their connection", soon)
        self._sessions[session] = _Session(role, network, self._clock())

    def connected(self, session: str) -> None:
        """The session's media connection stands."""
        if session in self._sessions:
            self._sessions[session].connected = True

    def closed(self, session: str) -> None:
        """The session is over. Harmless when told twice."""
        self._sessions.pop(session, None)

    def overdue(self) -> list[str]:
        """Sessions that should have connected by now and are to be closed, oldest first."""
        late = self._clock() - self.bounds.half_open_seconds
        return [n for n, s in self._sessions.items() if not s.connected and s.answered <= late]

    def count(self, role: Role) -> int:
        """Sessions of one role, the half-open ones too."""
        return sum(s.role is role for s in self._sessions.values())


def network_of(address: str | None) -> str:
    """What counts as one address: of IPv6 the /64, which is what a single customer has; else the address."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
