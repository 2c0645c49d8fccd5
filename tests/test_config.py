"""Flags and the TOML file: the same names, flags win, anything unknown or impossible is one clear line."""

import argparse
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import OPTIONS, Settings, add_flags, load_toml, read_table
from stream.errors import ConfigError
from stream.stream_config import plan_from


def parse(*words: str, config: str | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    flags = vars(parser.parse_args(words))
    flags.pop("config")
    (settings,) = plan_from(flags, load_toml(Path(config)) if config else None, config or "").streams
    return settings


def test_every_setting_is_an_option_and_back():
    assert {f.name for f in dataclasses.fields(Settings)} == OPTIONS.keys() | {"source"}


def test_defaults():
    assert parse("demo") == Settings("demo", "demo")


def test_flags(tmp_path):
    got = parse(
        "0", "--alert", "console", "--alert", "jsonl:a", "--resolution", "640x480", "--meter", "--quiet"
    )
    assert got.alert == ("console", "jsonl:a")
    assert got.resolution == (640, 480)
    assert got.meter == "-"
    assert got.quiet is True


def test_the_file_has_the_same_names_and_flags_win(tmp_path):
    path = tmp_path / "watch.toml"
    path.write_text(
        'source = "rtsp://cam/1"\nmin-face = 80\nstall = 3\nalert = ["console", "jsonl:x"]\n'
        'realtime = true\nresolution = "1280x720"\nretries = 2\n'
    )
    got = parse("--min-face", "100", config=str(path))
    assert got.source == "rtsp://cam/1"
    assert got.min_face == 100
    assert got.stall == 3.0
    assert got.alert == ("console", "jsonl:x")
    assert got.realtime
    assert got.resolution == (1280, 720)
    assert got.retries == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("stall = 'soon'", "stall"),
        ("stall = -1", "at least"),
        ("quiet = 'yes'", "true or false"),
        ("provider = 'gpu'", "one of auto"),
        ("min-face = 1.5", "min-face"),
        ("alert = [1]", "a list of texts"),
        ("resolution = [640, 480]", "a text or a number"),
        ("resolution = '640'", "WIDTHxHEIGHT"),
        ("source = ", "not TOML"),
        ("[watch]\nstall = 3", "unknown key 'watch'"),
        ("name = 'front door'", "letters, digits"),
        ("alert-on = 1.5", "from 0 to 1"),
        ("threads = 0x" + "f" * 5000, "threads = this value cannot be"),
        ("threads = " + "9" * 5000, "not TOML"),
        ("a" + ".a" * 5000 + " = 1\n" + "[" * 5000, "not TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        parse("demo", config=str(path))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_password_in_a_wrong_value_is_not_shown(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('source = ["rtsp://guard:s3cr3t@camera/1"]')
    with pytest.raises(ConfigError) as error:
        parse(config=str(path))
    assert "s3cr3t" not in str(error.value)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.toml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="1 MiB"):
        parse("demo", config=str(path))


def test_missing_file_and_missing_source(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        parse("demo", config=str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="no source"):
        parse()


@given(st.text(max_size=60))
def test_no_text_gets_past_as_anything_else(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "x.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        values = read_table(load_toml(path), "x.toml")
    except ConfigError:
        return
    assert values.keys() <= OPTIONS.keys() | {"source"}
