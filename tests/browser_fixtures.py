"""Fixtures of the tests in a browser: Playwright, Chromium with a face before its camera, a relay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import camera_clip, chromium, driver
from tests.relay_process import RelayProcess


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with driver() as found:
        yield found


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, playwright: Any) -> Path:
    return camera_clip(tmp_path_factory.mktemp("camera") / "face.mjpeg")


@pytest.fixture(scope="module")
def browser(playwright: Any, camera: Path) -> Iterator[Any]:
    with chromium(playwright, camera) as opened:
        yield opened


@pytest.fixture(scope="module")
def relay(browser: Any) -> Iterator[RelayProcess]:
    with RelayProcess() as started:
        yield started
        assert started.troubles() == []
