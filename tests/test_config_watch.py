"""Edits of a file as editors make them: each settled version once, half ones and lost ones never."""

import os

import pytest

from stream.config_watch import ConfigWatch, version_of
from tests.servers import wait_for

PERIOD = 0.02  # s


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "streams.toml"
    path.write_text("a = 1\n")
    return path


@pytest.fixture
def watch(file):
    watching = ConfigWatch(file, version_of(file), PERIOD)
    yield watching
    watching.close()
    watching._thread.join(5)


def taken(watch: ConfigWatch) -> dict:
    found: list[dict] = []
    assert wait_for(lambda: found.append(watch.take()) or found[-1] is not None, 5)
    return found[-1]


def nothing_comes(watch: ConfigWatch) -> bool:
    return not wait_for(lambda: watch.take() is not None, 20 * PERIOD)


def test_what_is_known_is_not_told(watch):
    assert nothing_comes(watch)


def test_each_version_is_handed_over_once(watch, file):
    file.write_text("a = 22\n")
    assert taken(watch) == {"a": 22}
    assert nothing_comes(watch)
    fresh = file.with_suffix(".new")
    fresh.write_text("a = 33\n")
    os.replace(fresh, file)
    assert taken(watch) == {"a": 33}


def test_a_file_that_is_gone_for_a_moment_or_no_file_is_no_edit(watch, file):
    file.unlink()
    assert nothing_comes(watch)
    file.mkdir()
    assert nothing_comes(watch)
    file.rmdir()
    os.mkfifo(file)  # reading it would wait for ever
    assert nothing_comes(watch)
    file.unlink()
    file.write_text("a = 44\n")
    assert taken(watch) == {"a": 44}


def test_broken_versions_are_told_and_the_next_good_one_is_taken(watch, file, caplog):
    file.write_text("a = = 1\n")
    assert wait_for(lambda: "nothing is changed" in caplog.text, 5)
    assert nothing_comes(watch)
    file.write_text("a = 5\n")
    assert taken(watch) == {"a": 5}


def test_a_change_before_the_watch_began_is_seen(file):
    known = version_of(file)
    file.write_text("a = 66\n")
    watching = ConfigWatch(file, known, PERIOD)
    assert taken(watching) == {"a": 66}
    watching.close()
