"""Headless Chromium, driven by Playwright, with the demo's face before its camera."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from stream.sources import demo

HALF = 6.0  # s of the clip with the real face, and as many with the swapped one; then it begins again
PATIENCE = 60.0  # s for what takes a second or two on a machine that has nothing else to do
LOOPS = 90.0  # s: the clip's halves come round again several times
CLEAR, SUSPICIOUS, ALERT = (0, 158, 115), (230, 159, 0), (213, 94, 0)  # RGB, the overlay's
BACKGROUND = (91, 129, 192)  # of the portrait
DRAWN = {CLEAR: 0.006, SUSPICIOUS: 0.006, ALERT: 0.016}  # share of the picture; half as much is in the flag
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WITNESS = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(
        `${event.violatedDirective} ${event.blockedURI}`));
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) {
            super(...given);
            connections.push(this);
        }
    };
"""
_RECEIVED = """async () => {
    const found = { "audio bytes": 0, "audio energy": 0, "pictures": 0 };
    for (const connection of connections)
        for (const report of (await connection.getStats()).values()) {
            if (report.type !== "inbound-rtp") continue;
            if (report.kind === "video") found["pictures"] += report.framesDecoded;
            else {
                found["audio bytes"] += report.bytesReceived;
                found["audio energy"] += report.totalAudioEnergy ?? 0;
            }
        }
    return found;
}"""


@functools.cache
def browser_missing() -> str:
    """Why no browser can be driven here; "" if one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if _chromium() else "no Chromium is installed (apt-get install chromium)"


def _chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def camera_clip(path: Path) -> Path:
    """The demo's pictures as motion JPEG, which Chromium plays before its fake camera again and again."""
    with path.open("wb") as file:
        for picture in demo.pictures(2 * HALF, swap_at=HALF):
            file.write(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    return path


@contextmanager
def driver() -> Iterator[Any]:
    """Playwright; one at a time in a process. Skips the test where no browser can be driven."""
    if why := browser_missing():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def chromium(playwright: Any, clip: Path, allow: bool = True) -> Iterator[Any]:
    """A Browser whose camera shows `clip` and whose microphone beeps. allow: whether a page gets them."""
    arguments = [
        "--no-sandbox",  # tests run as root in containers
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--mute-audio",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
        "--use-fake-ui-for-media-stream" + ("" if allow else "=deny"),
    ]
    browser = playwright.chromium.launch(executable_path=_chromium(), headless=True, args=arguments)
    try:
        yield browser
    finally:
        browser.close()


class Visit:
    """One page in a browser context of its own; remembers all that must not happen there."""

    def __init__(self, browser: Any, url: str, width: int = 1280, height: int = 900) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.context.add_init_script(_WITNESS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.complaints: list[str] = []
        self.asked: list[str] = []  # URLs
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def clean(self) -> list[str]:
        """Complaints of the console and violations of the content security policy."""
        return self.complaints + self.page.evaluate("violations")

    def text(self, selector: str) -> str:
        """The words of an element."""
        return self.page.locator(selector).inner_text()

    def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> bool:
        """Whether `condition` came true in time; the page goes on meanwhile."""
        end = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        return bool(met)

    def shows(self, selector: str, word: str, seconds: float = PATIENCE) -> bool:
        """Whether `word` came to stand in an element in time."""
        return self.until(lambda: word in self.text(selector), seconds)

    def share(self, selector: str, colour: tuple[int, int, int], tolerance: int = 40) -> float:
        """The share of a video's pixels, 0..1, within `tolerance` of an RGB colour in each channel."""
        return float(self.page.evaluate(_SHARE, [selector, colour, tolerance]))

    def drawn(self, video: str = "#video") -> set[tuple[int, int, int]]:
        """The states' colours that stand in a picture, in box, label and headline."""
        return {colour for colour, least in DRAWN.items() if self.share(video, colour) > least}

    def annotated(self, video: str = "#video") -> bool:
        """Whether the overlay came to be drawn into what comes back."""
        return self.until(lambda: self.drawn(video))

    def join(self, name: str) -> None:
        """Send the camera under a name, until the annotated return is seen."""
        self.page.fill("#own-name", name)
        self.page.click("#join")
        assert self.annotated(), self.text("main")

    def received(self) -> dict[str, float]:
        """What has come in over all connections of the page so far."""
        return dict(self.page.evaluate(_RECEIVED))


_SHARE = """([selector, colour, tolerance]) => {
    const video = document.querySelector(selector);
    if (!video.videoWidth) return 0;
    const canvas = new OffscreenCanvas(640, 480);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, 640, 480);
    const { data } = context.getImageData(0, 0, 640, 480);
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
        if (colour.every((value, k) => Math.abs(data[i + k] - value) <= tolerance)) found += 1;
    return found / (data.length / 4);
}"""
