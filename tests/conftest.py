"""What holds for every test: it begins with fresh logging, whatever a command or a fixture set up."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """No handler of a command, and the levels that Python begins with; before the test and after it."""
    _fresh()
    yield
    _fresh()


def _fresh() -> None:
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if type(each) is not logging.StreamHandler]
    root.setLevel(logging.WARNING)
    logging.getLogger("stream").setLevel(logging.NOTSET)
