"""What holds for every test: a command that was called in this process leaves no logging behind."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Put the handlers and levels of the logging back."""
    root, ours = logging.getLogger(), logging.getLogger("stream")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
