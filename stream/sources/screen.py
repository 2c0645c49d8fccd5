"""The screen, or one window of it: x11grab, gdigrab or AVFoundation, whichever this FFmpeg has."""

import os
import sys
from collections.abc import Generator
from dataclasses import dataclass, field

import av
import av.logging

from stream.decode import hear_ffmpeg, pictures
from stream.errors import Ended, Frozen, NoDevice
from stream.sources import SourceOptions
from stream.values import Frame

SCHEMES = ("screen",)
LIVE = True

RATE = 30.0  # pictures per second unless told otherwise


@dataclass(frozen=True, slots=True)
class Grabber:
    """How FFmpeg is asked for a screen."""

    format: str  # FFmpeg's input device
    target: str  # its input name
    options: dict[str, str] = field(default_factory=dict)


def grabber(url: str, platform: str, display: str, options: SourceOptions) -> Grabber:
    """What to ask FFmpeg for. Pure.

    url: `screen:` (all of it), `screen:TARGET` in FFmpeg's words (":0.0+100,200", "desktop", "1"), or
    `screen:window=ID` (X11: a number as xwininfo shows it; Windows: the title). Raises NoDevice.
    """
    target = url.partition(":")[2].removeprefix("//")
    window = target[7:] if target.startswith("window=") else ""
    # Without analysis: FFmpeg would hand over its first pictures only when they are old.
    asked = {"framerate": f"{options.rate or RATE:g}", "probesize": "32", "analyzeduration": "0"}
    if options.resolution:
        asked["video_size"] = "{}x{}".format(*options.resolution)
    if platform == "win32":
        return Grabber("gdigrab", f"title={window}" if window else target or "desktop", asked)
    if platform == "darwin":
        if window:
            raise NoDevice(f"{url}: FFmpeg cannot capture a single window on macOS")
        return Grabber("avfoundation", target or "Capture screen 0", asked)
    if window:
        asked["window_id"] = window
        target = ""
    if not (target or display):
        raise NoDevice(f"{url}: there is no display (DISPLAY is not set)")
    return Grabber("x11grab", target or display, {**asked, "draw_mouse": "0"})


def frames(url: str, options: SourceOptions) -> Generator[Frame, None, None]:
    """Pictures of the screen. Raises NoDevice, TooSmall, Frozen, and Ended when the screen goes away."""
    ask = grabber(url, sys.platform, os.environ.get("DISPLAY", ""), options)
    hear_ffmpeg()
    if ask.format not in av.formats_available:
        raise NoDevice(f"{url}: this build of FFmpeg has no {ask.format}")
    try:
        with av.logging.Capture():  # what it says is in the error
            container = av.open(
                ask.target,
                format=ask.format,
                options=ask.options,
                timeout=(options.open_timeout, options.stall),
            )
    except av.FFmpegError as error:
        raise NoDevice(f"{url}: {ask.format} cannot capture {ask.target} ({error.strerror})") from None
    with container:
        try:
            yield from pictures(container, url, live=True)
        except (av.error.ExitError, av.error.TimeoutError):
            raise Frozen(f"{url}: no picture for {options.stall:g} s") from None
        except av.FFmpegError as error:
            raise Ended(f"{url}: {error.strerror}") from None
    raise Ended(f"{url}: the screen is gone")
