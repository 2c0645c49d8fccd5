"""Sessions and requests are counted, bounded and given up, on a clock of the test's own."""

import pytest

from stream.relay.access import Role
from stream.relay.limits import Bounds, Full, Limits, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(**bounds) -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(Bounds(**bounds), clock), clock


def fill(limit: Limits, count: int, role: Role = Role.WATCH, address: str = "10.0.0.1", connect=True) -> None:
    for number in range(count):
        name = f"{role.value} {address} {number}"
        limit.open(name, role, address)
        if connect:
            limit.connected(name)


def test_sessions_of_a_role_are_bounded_and_a_closed_one_makes_room():
    limit, _ = limits(publishers=3, viewers=2)
    fill(limit, 3, Role.PUBLISH)
    with pytest.raises(Full, match="3 sessions to publish") as caught:
        limit.open("x", Role.PUBLISH, "10.0.0.2")
    assert (caught.value.status, caught.value.retry_after) == (503, 10)
    fill(limit, 2, Role.WATCH)  # the roles do not take each other's places
    assert (limit.count(Role.PUBLISH), limit.count(Role.WATCH)) == (3, 2)
    limit.closed("publish 10.0.0.1 1")
    limit.closed("publish 10.0.0.1 1")
    limit.open("x", Role.PUBLISH, "10.0.0.2")


def test_sessions_of_an_address_are_bounded():
    limit, _ = limits(per_address=4)
    fill(limit, 4)
    with pytest.raises(Full) as caught:
        limit.open("x", Role.PUBLISH, "10.0.0.1")
    assert caught.value.status == 429
    limit.open("x", Role.PUBLISH, "10.0.0.2")


def test_half_open_sessions_of_an_address_and_of_all_are_bounded():
    limit, _ = limits(half_open=5, half_open_per_address=3)
    fill(limit, 3, connect=False)
    with pytest.raises(Full, match="never connected") as caught:
        limit.open("x", Role.WATCH, "10.0.0.1")
    assert caught.value.status == 429
    limit.connected("watch 10.0.0.1 0")
    limit.open("x", Role.WATCH, "10.0.0.1")
    fill(limit, 2, address="10.0.0.2", connect=False)
    with pytest.raises(Full, match="wait for their connection") as caught:
        limit.open("y", Role.WATCH, "10.0.0.3")
    assert caught.value.status == 503


def test_a_session_that_never_connects_is_overdue_and_others_are_not():
    limit, clock = limits(half_open_seconds=10)
    limit.open("first", Role.WATCH, "10.0.0.1")
    limit.open("good", Role.WATCH, "10.0.0.1")
    limit.connected("good")
    clock.now += 6
    limit.open("second", Role.PUBLISH, "10.0.0.2")
    assert limit.overdue() == []
    clock.now += 4
    assert limit.overdue() == ["first"]
    clock.now += 100
    assert limit.overdue() == ["first", "second"]
    limit.closed("first")
    assert limit.overdue() == ["second"]


def test_a_hundred_half_open_sessions_leave_room_after_their_time():
    limit, clock = limits()
    refusals = []
    for number in range(100):
        try:
            limit.open(str(number), Role.WATCH, f"10.0.{number // 4}.1")
        except Full as full:
            refusals.append(full.status)
    assert refusals == [503] * (100 - limit.bounds.half_open)
    clock.now += limit.bounds.half_open_seconds
    for name in limit.overdue():
        limit.closed(name)
    limit.open("good", Role.WATCH, "10.0.0.1")


def test_requests_are_let_through_at_the_rate_and_in_bursts():
    limit, clock = limits(rate=2, burst=5)
    assert [limit.take("10.0.0.1") for _ in range(5)] == [0.0] * 5
    assert limit.take("10.0.0.1") == pytest.approx(0.5)
    assert limit.take("10.0.0.2") == 0.0
    clock.now += 0.4
    assert limit.take("10.0.0.1") == pytest.approx(0.1)
    clock.now += 0.1
    assert limit.take("10.0.0.1") == 0.0
    clock.now += 1000
    assert sum(limit.take("10.0.0.1") == 0.0 for _ in range(20)) == 5
    assert limit.take("10.0.0.9", cost=6) > 0


def test_the_table_of_addresses_is_bounded_and_forgets_the_quietest():
    limit, clock = limits(addresses=100, burst=1)
    for number in range(10_000):
        clock.now += 0.001
        limit.take(f"10.0.{number >> 8}.{number & 255}")
        limit.take("192.0.2.1")  # one that goes on asking is not forgotten
    assert len(limit._buckets) == 100
    assert limit.take("192.0.2.1") > 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("/run/relay.sock", "/run/relay.sock"),
    ],
)
def test_what_counts_as_one_address(address, network):
    assert network_of(address) == network
