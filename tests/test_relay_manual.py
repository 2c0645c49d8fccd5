"""docs/relay.md says what is: its flags exist, its messages have the fields that are sent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stream.config import OPTIONS
from stream.relay.messages import alert_message, scores_message, stream_message
from stream.relay.settings import RELAY_OPTIONS
from stream.values import Alert, Frame, Health, Phase, Result, Score, State, Track, TrackView

MANUAL = (Path(__file__).parent.parent / "docs" / "relay.md").read_text("utf-8")


def examples() -> Iterator[dict[str, Any]]:
    """The messages in the manual."""
    for block in re.findall(r"```json\n(.*?)```", MANUAL, re.S):
        decoder, rest = json.JSONDecoder(), block.strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip()
            yield value


def sent() -> Iterator[dict[str, Any]]:
    """A message of each type, as the relay makes it."""
    points = np.zeros((5, 2), np.float32)
    track = Track(1, np.array([20, 20, 40, 60], np.float32), points, 1.0, True, True)
    view = TrackView(track, State.CLEAR, Score(1, 8.2, 0.03, 9), None, ())
    frame = Frame(np.zeros((100, 100, 3), np.uint8), 8.2, 0.0, 3)
    yield scores_message(
        "desk", Result(frame, State.CLEAR, (view,), ()), Health("x", "CPU", True, 24.0, 0.03, 9, 0)
    )
    yield alert_message(
        "desk", Alert("desk-1", Phase.OPENED, "desk", 1, 8.2, 8.7, 0.97, 0.9, "m", "2026-11-20")
    )
    yield stream_message("desk", "lost")


def test_the_flags_it_names_exist() -> None:
    named = {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", MANUAL)}
    assert named
    assert named <= RELAY_OPTIONS.keys() | OPTIONS.keys()


def test_the_messages_have_the_fields_that_are_sent() -> None:
    told = {message["type"]: message for message in examples()}
    made = {message["type"]: message for message in sent()}
    assert told.keys() == made.keys()
    for kind, message in made.items():
        assert set(told[kind]) == set(message), kind
    assert set(told["scores"]["tracks"][0]) == set(made["scores"]["tracks"][0])


def test_its_links_and_pictures_lead_somewhere() -> None:
    folder = Path(__file__).parent.parent / "docs"
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in _headings()}
    for target in re.findall(r"\]\(([^)\s]+)\)", MANUAL):
        assert target.lstrip("#") in headings or (folder / target.partition("#")[0]).is_file(), target


def _headings() -> list[str]:
    return re.findall(r"^#+ (.*)$", MANUAL, re.M)
