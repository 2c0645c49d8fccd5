"""From the command line and streams.toml to each stream's settings: names, layers, what cannot be."""

import dataclasses
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.card import Thresholds
from stream.config import NAME, OPTIONS, Settings
from stream.errors import ConfigError
from stream.stream_config import (
    IN_PLACE,
    MOST,
    PROCESS,
    in_place,
    kept_process,
    label,
    plan_from,
    slug,
    thresholds_of,
)

FILE = """
provider = "cpu"
serve = ":8080"

[defaults]
min-face = 80
alert = ["console", "jsonl:{name}.jsonl"]
record = "{name}.mp4"

[[stream]]
name = "front-door"
source = "rtsp://guard:s3cr3t@camera/1"
priority = 2
alert-on = 0.9

[[stream]]
source = "rtsp://guard:s3cr3t@camera/2"
min-face = 100
alert = "console"
"""


def plan(text: str = "", *sources: str, **flags: object):
    table = tomllib.loads(text) if text else None
    return plan_from({"source": list(sources), **flags}, table, "streams.toml")


def wrong(text: str, *sources: str, **flags: object) -> str:
    with pytest.raises(ConfigError) as error:
        plan(text, *sources, **flags)
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in str(error.value)
    return str(error.value)


def test_every_setting_is_of_the_process_or_of_a_stream():
    assert OPTIONS.keys() >= PROCESS | IN_PLACE
    assert not PROCESS & IN_PLACE


def test_defaults_hold_where_a_stream_says_nothing():
    first, second = plan(FILE).streams
    assert (first.name, first.min_face, first.priority, first.alert_on) == ("front-door", 80, 2.0, 0.9)
    assert (second.min_face, second.priority, second.alert_on) == (100, 1.0, None)
    assert first.provider == second.provider == "cpu"
    assert first.serve == second.serve == ("127.0.0.1", 8080)


def test_the_name_fills_paths_and_sinks_and_comes_from_the_url_without_credentials():
    first, second = plan(FILE).streams
    assert first.record == "front-door.mp4"
    assert first.alert == ("console", "jsonl:front-door.jsonl")
    assert second.name == "rtsp-camera-2"
    assert second.record == "rtsp-camera-2.mp4"
    assert label(first) == "front-door"
    assert label(second) == "rtsp://***@camera/2"


def test_flags_win_and_sources_of_the_command_line_stand_beside_the_file():
    streams = plan(FILE, "demo", "demo", min_face=64).streams
    assert [each.min_face for each in streams] == [64] * 4
    assert [each.name for each in streams] == ["front-door", "rtsp-camera-2", "demo", "demo-2"]
    assert label(streams[3]) == "demo-2"  # two of one source are told apart


def test_one_source_is_what_it_was_and_a_list_is_watched():
    assert not plan("", "demo").many
    assert not plan('source = "demo"\nmin-face = 80').many
    assert plan("", "a", "b").many
    assert plan("", "a", "b").file is None
    assert plan('[[stream]]\nsource = "demo"').many
    assert plan(FILE).file == "streams.toml"
    assert plan('source = "a"', "b").streams[0].source == "b"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[stream]]\nsource = 'a'\ncolour = 1", "streams.toml: [[stream]] 1: unknown key 'colour'"),
        ("[[stream]]\nname = 'x'\nsource = 'a'\nstall = 'soon'", "[[stream]] 1 ('x'): stall = 'soon'"),
        ("[[stream]]\nsource = 'a'\n[[stream]]\nmin-face = 80", "[[stream]] 2: no source"),
        ("[[stream]]\nsource = 'a'\nprovider = 'cpu'", "'provider' is one for all streams"),
        ("[defaults]\nsource = 'a'\n[[stream]]\nsource = 'b'", "[defaults]: 'source' belongs into"),
        ("[defaults]\ncolour = 1\n[[stream]]\nsource = 'b'", "[defaults]: unknown key 'colour'"),
        ("min-face = 80\n[[stream]]\nsource = 'b'", "'min-face' belongs into [defaults]"),
        ("stream = 'b'", "write [[stream]]"),
        ("[stream]\nsource = 'b'", "write [[stream]]"),
        ("defaults = 1\n[[stream]]\nsource = 'b'", "write [defaults]"),
        ("[[stream]]\nname='x'\nsource='a'\n[[stream]]\nname='x'\nsource='b'", "two streams are called 'x'"),
        ("[[stream]]\nname='../x'\nsource='a'", "letters, digits"),
        ("[[stream]]\nname='rtsp://guard:s3cr3t@x'\nsource='a'", "[[stream]] 1 ("),
        ("stream = []", "no source"),
        (
            "[[stream]]\nsource = 'a'\nrecord = 'x.mp4'\n[[stream]]\nsource = 'b'\nrecord = './x.mp4'",
            "{name}",
        ),
        (
            "[[stream]]\nsource = 'a'\n[[stream]]\nsource = 'b'\n[defaults]\npush = 'rtmp://u:s3cr3t@h/x'",
            "***",
        ),
    ],
)
def test_what_cannot_be_is_one_line_that_names_its_table(text, says):
    assert says in wrong(text)


def test_several_sources_cannot_share_an_output_or_a_name():
    assert "{name}" in wrong("", "a", "b", record="out.mp4")
    assert "{name}" in wrong("", "a", "b", scores="-")
    assert "two streams are called 'x'" in wrong("", "a", "b", name="x")
    assert [each.scores for each in plan("", "a", "b", scores="{name}.jsonl").streams] == [
        "a.jsonl",
        "b.jsonl",
    ]


def test_the_number_of_streams_is_bounded():
    assert "256 are the most" in wrong("", *(f"rtsp://h/{i}" for i in range(MOST + 1)))


@given(st.lists(st.text(min_size=1, max_size=50), min_size=1, max_size=12))
def test_names_are_unique_and_fit_into_urls_whatever_the_sources(sources):
    names = [each.name for each in plan("", *sources).streams]
    assert len(set(names)) == len(sources)
    assert all(NAME.fullmatch(name) for name in names)


@given(st.text(max_size=80))
def test_a_slug_is_a_name(text):
    assert NAME.fullmatch(slug(text))


def test_thresholds_replace_the_cards_one_by_one():
    card = Thresholds(0.5, 0.4, 0.8, 0.6)
    assert thresholds_of(card, Settings("a", "a")) == card
    assert thresholds_of(card, Settings("a", "a", alert_on=0.9)) == Thresholds(0.5, 0.4, 0.9, 0.6)
    for name, value in (("alert_on", 0.55), ("suspicious_off", 0.7), ("suspicious_on", 0.85)):
        with pytest.raises(ConfigError, match="lies above"):
            thresholds_of(card, dataclasses.replace(Settings("a", "a"), **{name: value}))


def test_priority_and_rate_are_taken_up_in_place_and_nothing_else():
    old = Settings("rtsp://h/1", "a")
    assert in_place(old, dataclasses.replace(old, priority=3.0, analysis_rate=5.0))
    assert not in_place(old, dataclasses.replace(old, priority=3.0, cooldown=5.0))


def test_what_is_the_process_own_stays():
    old, new = Settings("a", "a", provider="cpu"), Settings("a", "a", provider="cuda", min_face=80, threads=2)
    assert kept_process(old, new) == (
        Settings("a", "a", provider="cpu", min_face=80),
        ("provider", "threads"),
    )


_tables = st.recursive(
    st.integers() | st.floats() | st.booleans() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*OPTIONS, "source", "stream", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["stream", "defaults", "source", *OPTIONS]), _tables, max_size=4),
    st.lists(st.text(max_size=8), max_size=3),
)
def test_any_table_is_a_plan_or_a_config_error(table, sources):
    try:
        streams = plan_from({"source": sources}, table, "x.toml").streams
    except ConfigError:
        return
    assert streams
    assert len({each.name for each in streams}) == len(streams)
