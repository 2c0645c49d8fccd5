"""What the governor learns of a stream, and what it does to it."""

import math
import time
from types import SimpleNamespace

import pytest

from stream.governed import Governed
from stream.governor import Effort
from stream.work import Work


@pytest.fixture
def parts() -> SimpleNamespace:
    pump = SimpleNamespace(work=Work(), rate=None, note="")
    tracker = SimpleNamespace(key_frames=SimpleNamespace(stretch=1.0))
    analysis = SimpleNamespace(thrift=1, risky=False)
    return SimpleNamespace(
        pump=pump, tracker=tracker, analysis=analysis, governed=Governed("a", pump, tracker, analysis)
    )


def test_a_load_is_of_the_time_since_the_last_one(
    parts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    parts.governed.load(1000)
    now += 2.0
    parts.pump.work.frames, parts.pump.work.busy, parts.pump.work.ages = 20, 1.5, 0.8
    parts.analysis.risky = True
    load = parts.governed.load(1060, priority=2.0, most=25.0)
    assert (load.name, load.priority, load.most, load.risky) == ("a", 2.0, 25.0, True)
    assert load.offered == pytest.approx(30)
    assert load.busy == pytest.approx(0.75)
    assert load.age == pytest.approx(0.04)
    assert load.lost == pytest.approx(2 / 3)  # 20 of 60
    now += 1.0
    again = parts.governed.load(1060)
    assert (again.offered, again.busy, again.age, again.lost) == (0, 0, None, 0)


def test_what_the_rate_leaves_out_is_not_lost(
    parts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    parts.governed.load(0)
    now += 1.0
    parts.pump.rate, parts.pump.work.frames = 10.0, 9
    assert parts.governed.load(30).lost == pytest.approx(0.1)
    now += 1.0
    parts.pump.work.frames = 20
    assert parts.governed.load(60).lost == 0


def test_a_reader_that_begins_anew_is_no_negative_load(parts: SimpleNamespace) -> None:
    parts.governed.load(1000)
    load = parts.governed.load(3)
    assert load.offered == 0
    assert math.isfinite(load.busy)


@pytest.mark.parametrize(
    ("decided", "most", "rate"), [(None, None, None), (7.0, None, 7.0), (7.0, 5.0, 5.0), (None, 5.0, 5.0)]
)
def test_the_lower_rate_counts(
    parts: SimpleNamespace, decided: float | None, most: float | None, rate: float | None
) -> None:
    parts.governed.apply(Effort(decided, 1.5, 2, "full"), most)
    assert parts.pump.rate == rate
    assert (parts.pump.note, parts.tracker.key_frames.stretch, parts.analysis.thrift) == ("full", 1.5, 2)
