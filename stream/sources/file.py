"""A video file or a still picture, read whole and in order, or at its own speed."""

import os
import time
from collections.abc import Generator
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import av
import av.logging

from stream.coded import Tap
from stream.decode import Progress, hear_ffmpeg, pictures
from stream.errors import EmptyFile, FileMissing, IsDirectory, NotVideo, Truncated
from stream.sources import SourceOptions, display_name
from stream.values import Frame

SCHEMES = ("file",)
LIVE = False
PACKETS = True

SLACK = 0.5  # s that the pictures may end before the header's duration without being called truncated


def local_path(url: str) -> str:
    """The path of a file: URL, which is percent-encoded, or of a plain path, which is not."""
    if not url.lower().startswith("file:") or os.path.exists(url):
        return url
    path = unquote(urlsplit(url).path)
    # file:///C:/x is C:/x
    return path[1:] if len(path) > 2 and path[0] == "/" and path[2] == ":" else path


def frames(url: str, options: SourceOptions, tap: Tap | None = None) -> Generator[Frame, None, None]:
    """Every frame of a file; a still picture is a video of one frame.

    Raises FileMissing, IsDirectory, EmptyFile, NotVideo, NoVideoStream, TooSmall; and Truncated, after the
    last readable frame, where the file ends before its header says.
    """
    path, name = local_path(url), display_name(url)
    _check(path, name)
    hear_ffmpeg()
    progress = Progress()
    with _open(path, name) as container:
        try:
            stream = pictures(container, name, live=False, progress=progress, tap=tap)
            yield from _paced(stream) if options.realtime else stream
        except av.FFmpegError as error:
            if not progress.frames:
                raise NotVideo(f"{name}: not a video that can be read ({error.strerror})") from None
            raise Truncated(f"{name}: cannot be read beyond {_reach(progress)} ({error.strerror})") from None
        declared = _declared(container)
    if progress.cut or (declared is not None and progress.end < declared - SLACK):
        told = f", its header promises {declared:.1f} s" if declared is not None else ""
        raise Truncated(f"{name}: the file is cut off after {_reach(progress)}{told}")


def _check(path: str, name: str) -> None:
    try:
        if os.path.isdir(path):
            raise IsDirectory(f"{name}: is a directory, not a video file")
        with open(path, "rb") as file:
            if not file.read(1):
                raise EmptyFile(f"{name}: the file is empty")
    except (FileNotFoundError, NotADirectoryError):
        raise FileMissing(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # no permission, a name too long, a NUL in it
        raise FileMissing(f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def _open(path: str, name: str) -> av.container.InputContainer:
    try:
        with av.logging.Capture() as lines, open(path, "rb") as file:
            head = file.read(12)
            # The prefix keeps FFmpeg from reading a colon in the name as a protocol.
            container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        if head[4:8] == b"ftyp" and any("moov atom not found" in text for _, _, text in lines):
            raise Truncated(
                f"{name}: the file is cut off before its index (moov), nothing in it can be read"
            ) from None
        raise NotVideo(f"{name}: not a video that can be read ({error.strerror})") from None
    if container.format.name == "tty":  # FFmpeg paints any .txt as a film of its letters
        container.close()
        raise NotVideo(f"{name}: a text, not a video")
    return container


def _declared(container: av.container.InputContainer) -> float | None:
    """s, where the header says that the video ends; None where no header says so."""
    stream = container.streams.video[0]
    if tag := stream.metadata.get("DURATION"):  # Matroska
        try:
            hours, minutes, seconds = tag.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return None
    if stream.duration is None or stream.time_base is None or not container.format.name.startswith("mov"):
        return None  # FFmpeg guesses it from the data, or audio may go on for longer
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)


def _reach(progress: Progress) -> str:
    return f"{progress.end:.1f} s, {progress.frames} frames"


def _paced(stream: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    """Hold each frame back until it is due on the clock that starts with the first one."""
    begin: float | None = None
    for frame in stream:
        now = time.monotonic()
        begin = now - frame.time if begin is None else begin
        if (wait := begin + frame.time - now) > 0:
            time.sleep(wait)
        yield replace(frame, captured=time.monotonic())
