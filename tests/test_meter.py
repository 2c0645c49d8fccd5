"""The meter's figures, and that measuring for a day costs no more memory than for a minute."""

import sys

import numpy as np

from stream import meter
from stream.meter import Meter, many_table


def test_percentiles_and_counts():
    ours = Meter()
    for ms in range(1, 101):
        ours.note("detect", ms / 1000)
    ours.counts["frames"] += 7
    summary = ours.summary()
    stage = summary["stages"]["detect"]
    assert stage["runs"] == 100
    assert stage["p50_ms"] == 50.5
    assert stage["p95_ms"] == 95.05
    assert stage["first_third_ms"] == 17
    assert stage["last_third_ms"] == 84
    assert summary["counts"] == {"frames": 7}
    assert "detect" in ours.table()
    assert "frames 7" in ours.table()


def test_only_the_newest_are_kept_in_order():
    ring = meter._Ring()
    for i in range(meter._KEPT + 10):
        ring.add(i / 1000)
    values = ring.values()
    assert len(values) == meter._KEPT
    assert values[0] == 10
    assert (np.diff(values) > 0).all()


def test_memory_does_not_grow():
    ring = meter._Ring()
    before = ring._ms.nbytes + sys.getsizeof(ring.__dict__)
    for _ in range(100_000):
        ring.add(0.01)
    assert ring._ms.nbytes + sys.getsizeof(ring.__dict__) == before


def test_a_stage_is_timed_even_if_it_fails():
    ours = Meter()
    try:
        with ours.stage("encode"):
            raise ValueError
    except ValueError:
        pass
    assert ours.summary()["stages"]["encode"]["runs"] == 1


def test_many_streams_have_a_line_each_the_one_that_saw_nothing_too():
    ours = Meter()
    ours.note("age", 0.031)
    ours.counts["frames"] += 7
    table = many_table([("front-door", ours.summary()), ("dead", Meter().summary())])
    lines = table.splitlines()
    assert len(lines) == 3
    assert "front-door" in lines[1]
    assert "31.0" in lines[1]
    assert lines[2].split()[:2] == ["dead", "0"]
