"""The governor's promises under any load: fair by priority, floors kept, recovery, and no swinging."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.governor import SPARED, Effort, Governor, Load, Rules, effort, is_calm, is_full, is_losing

RULES = Rules()
rates = st.floats(0, 120, allow_nan=False)
loads = st.builds(
    Load,
    name=st.text("abc", min_size=1, max_size=3),
    offered=rates,
    busy=st.floats(0, 1),
    age=st.none() | st.floats(0, 10),
    lost=st.floats(0, 1),
    risky=st.booleans(),
    priority=st.floats(0.1, 10),
    most=st.none() | st.floats(0.1, 60),
)
fleets = st.lists(loads, max_size=8, unique_by=lambda load: load.name)


class Machine:
    """Streams of 30 fps on a machine that can do so many frames a second in all, `spared` times that where
    what is dear comes less often.
    """

    def __init__(
        self,
        capacity: float,
        *priorities: float,
        risky: Sequence[int] = (),
        spared: float = 1.0,
    ) -> None:
        self.capacity, self.priorities, self.risky = capacity, priorities, risky
        self.spared = spared
        self.governor = Governor()
        self.efforts = {str(i): Effort() for i in range(len(priorities))}

    def second(self) -> dict[str, float]:
        """One second; gives the rates of each stream that was asked of the machine in it."""
        asked = {name: min(each.rate or 30.0, 30.0) for name, each in self.efforts.items()}
        can = self.capacity * (self.spared if self.governor.sparing else 1.0)
        use = sum(asked.values()) / can
        busy, age, lost = min(use, 1.0), 0.03 if use < 0.9 else 0.3, max(1 - 1 / use, 0.0)
        now = [
            Load(str(i), 30.0, busy, age, lost, i in self.risky, priority)
            for i, priority in enumerate(self.priorities)
        ]
        self.efforts = self.governor.step(now, min(use, 1.0), 1.0)
        return asked

    def run(self, seconds: int) -> list[dict[str, float]]:
        return [self.second() for _ in range(seconds)]


@given(st.lists(fleets, max_size=20), st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_whatever_comes_nobody_gets_less_than_its_risk_needs_nor_more_than_it_wants(history, cpus):
    governor = Governor()
    for fleet, cpu in zip(history, cpus, strict=False):
        efforts = governor.step(fleet, cpu, 1.0)
        assert efforts.keys() == {load.name for load in fleet}
        for load in fleet:
            got = efforts[load.name]
            if got.rate is None:
                stretch = 1.0 if load.risky else RULES.sparing
                assert got in (Effort(), Effort(None, stretch, RULES.thrift, SPARED))
                continue
            need = RULES.risky if load.risky else RULES.least
            assert min(need, load.wanted) <= got.rate < load.wanted
            assert "the machine is full" in got.note
            if load.risky:
                assert got.stretch == 1.0


@given(fleets, st.floats(0.1, 100))
def test_rates_fall_evenly_by_priority(fleet, level):
    given_rates = {load.name: effort(load, True, level, RULES).rate for load in fleet}
    limited = [
        (load, given_rates[load.name])
        for load in fleet
        if given_rates[load.name] is not None and given_rates[load.name] > RULES.risky
    ]
    for load, rate in limited:  # above all floors each gets its share of the level, no matter who it is
        assert rate == pytest.approx(level * load.priority)
    for a in fleet:
        for b in fleet:
            if a.priority >= b.priority and a.wanted == b.wanted and a.risky is b.risky:
                assert (given_rates[a.name] or a.wanted) >= (given_rates[b.name] or b.wanted)


@given(fleets, st.floats(0.1, 100), st.floats(0.1, 100))
def test_a_lower_level_gives_nobody_more(fleet, one, other):
    low, high = sorted((one, other))
    for load in fleet:
        assert (effort(load, True, low, RULES).rate or load.wanted) <= (
            effort(load, True, high, RULES).rate or load.wanted
        )


def test_without_trouble_nothing_is_limited():
    machine = Machine(400, 1, 1, 1, 1)
    assert all(set(asked.values()) == {30.0} for asked in machine.run(60))


def test_what_is_dear_is_spared_before_a_frame_is_left_out():
    machine = Machine(110, 1, 1, 1, 1, risky=[3], spared=1.3)
    asked = machine.run(300)
    assert all(set(each.values()) == {30.0} for each in asked)
    efforts = machine.efforts
    assert {efforts[name] for name in "012"} == {Effort(None, RULES.sparing, RULES.thrift, SPARED)}
    assert efforts["3"] == Effort(None, 1.0, RULES.thrift, SPARED)
    assert "less often" in machine.governor.measure
    machine.capacity = 400
    machine.run(int(RULES.longest) + 10)
    assert set(machine.efforts.values()) == {Effort()}
    assert machine.governor.measure == ""


def test_lost_frames_are_a_reason_to_spare_only_where_the_processor_has_nothing_left():
    losing, well = Load("a", 30, 0.6, 0.03, lost=0.1), Load("b", 30, 0.6, 0.03, lost=0.03)
    assert is_losing([losing, well], 0.9, RULES)
    assert not is_losing([losing, well], 0.5, RULES)
    assert not is_losing([well], 0.9, RULES)
    governor = Governor()
    for _ in range(60):  # it is no reason to leave out yet more
        efforts = governor.step([losing, well], 0.9, 1.0)
    assert efforts["a"] == Effort(None, RULES.sparing, RULES.thrift, SPARED)


def test_it_settles_at_what_the_machine_can_do_and_uses_it():
    machine = Machine(60, 1, 1, 1, 1)  # half of what is asked for
    machine.run(30)
    for asked in machine.run(300):
        assert len(set(asked.values())) == 1
    used = [sum(asked.values()) for asked in machine.run(120)]
    assert min(used) >= 0.5 * 60
    assert sum(use > 0.95 * 60 for use in used) <= 12  # seldom too much


def test_it_does_not_swing_between_full_and_free():
    machine = Machine(118, 1, 1, 1, 1)  # a little less than what is asked for: free, it is always full
    levels = []
    for _ in range(900):
        machine.second()
        levels.append(machine.governor.level)
    late = levels[300:]
    turns = sum((a is None) != (b is None) for a, b in pairwise(late))
    assert turns <= 2 * len(late) / RULES.longest


def test_a_higher_priority_keeps_more_and_suspicion_keeps_what_it_needs():
    machine = Machine(40, 1, 2, 1, risky=[2])
    machine.run(60)
    rate = {name: each.rate for name, each in machine.efforts.items()}
    assert rate["1"] == pytest.approx(max(2 * rate["0"], RULES.least)) or rate["0"] == RULES.least
    assert rate["2"] >= RULES.risky
    assert machine.efforts["2"].stretch == 1.0
    assert machine.efforts["0"].stretch == RULES.sparing


def test_it_recovers_by_itself():
    machine = Machine(30, 1, 1, 1)
    machine.run(60)
    assert all(each.rate is not None and each.rate < 15 for each in machine.efforts.values())
    machine.capacity, back = 400, []
    for _ in range(int(RULES.longest) + 60):
        machine.second()
        back.append((machine.governor.level is not None, machine.governor.sparing))
    assert all(each == Effort() for each in machine.efforts.values())
    assert back == sorted(back, reverse=True)  # all frames first, and a while later all that is dear
    assert back.count((False, True)) >= RULES.patience


def test_a_moment_of_trouble_is_no_reason():
    governor, busy, calm = Governor(), Load("a", 30, 1.0, 0.4), Load("a", 30, 0.2, 0.02)
    for load in (calm, busy, calm, busy, calm):
        assert governor.step([load], 0.9, 1.0) == {"a": Effort()}


def test_one_slow_stream_is_its_own_affair():
    slow, quick = Load("slow", 60, 1.0, 0.5), [Load(str(i), 30, 0.3, 0.02) for i in range(3)]
    assert not is_full([slow, *quick], 0.5, RULES)
    assert is_calm([slow, *quick], 0.5, RULES)
    assert is_full([slow, *quick], 0.95, RULES)


def test_age_that_is_not_our_doing_is_no_reason_to_look_less():
    far = [Load(str(i), 30, 0.4, 0.3) for i in range(3)]
    assert not is_full(far, 0.4, RULES)
    assert is_calm(far, 0.4, RULES)
    assert is_full(far, 0.9, RULES)


def test_streams_that_go_leave_no_limit_behind():
    machine = Machine(30, 1, 1)
    machine.run(30)
    assert machine.governor.level is not None
    assert machine.governor.step([], 0.1, 1.0) == {}
    assert machine.governor.level is None
    assert not machine.governor.sparing
    assert machine.governor.step([Load("new", 0.0, 0.0, None)], 0.1, 1.0) == {"new": Effort()}


def test_what_the_settings_forbid_is_not_counted_as_wanted():
    load = Load("a", 30, 0.5, 0.02, most=5)
    assert effort(load, True, 6.0, RULES).rate is None
    assert effort(load, True, 1.0, RULES).rate == RULES.least
    assert "4 of 30 frames" in effort(load, True, 1.0, RULES).note
