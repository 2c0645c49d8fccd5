"""What FFmpeg reads live from a network: RTSP, RTMP, SRT, HTTP and HLS, MPEG-TS over UDP or TCP, RTP."""

import time
from collections.abc import Generator
from dataclasses import replace

import av
import av.logging
from av.container import InputContainer

from stream.coded import Tap
from stream.decode import hear_ffmpeg, pictures
from stream.errors import (
    Ended,
    Frozen,
    NotFound,
    NotVideo,
    SourceError,
    Unauthorized,
    UnknownScheme,
    Unreachable,
)
from stream.sources import SourceOptions, Wanted, display_name, scheme_of
from stream.values import Frame

SCHEMES = (
    "rtsp", "rtsps", "rtmp", "rtmps", "rtmpe", "rtmpt", "rtmpts", "srt", "http", "https", "hls",
    "udp", "tcp", "tls", "rtp", "srtp", "rist", "mms", "mmsh", "mmst",
)  # fmt: skip
LIVE = True
PACKETS = SPARES = True

LATE = 1.0  # s that a paced stream may fall behind its clock before the clock is set anew
# FFmpeg's defaults wait a second to learn the stream and then hand over what piled up meanwhile.
_PROBE = {"probesize": "100000", "analyzeduration": "200000"}
_HTTP_PROBE = {"probesize": "1000000", "analyzeduration": "1000000", "live_start_index": "-1"}
_RTSP = {
    "analyzeduration": "50000",
    "allowed_media_types": "video",
    "max_delay": "200000",
    "buffer_size": "2097152",
}
_UDP = {"buffer_size": "2097152", "overrun_nonfatal": "1"}
_PLAIN = ("http", "https", "hls", "udp", "tcp", "tls")  # carry anything, video or not


def frames(
    url: str, options: SourceOptions, tap: Tap | None = None, wanted: Wanted | None = None
) -> Generator[Frame, None, None]:
    """Every frame of a live stream as it comes; HLS and finite files over HTTP at their own speed.

    Raises Unreachable, Unauthorized, NotFound, NotVideo, NoVideoStream, TooSmall, UnknownScheme (this build
    of FFmpeg lacks the protocol), Frozen after `options.stall` s of silence, and Ended at the stream's end.
    """
    name = display_name(url)
    hear_ffmpeg()
    container = _open(url, name, options)
    with container:
        bursts = _bursts(container)  # then a picture comes long before it is due, and wanted
        stream = pictures(container, name, live=True, tap=tap, wanted=None if bursts else wanted)
        try:
            yield from _paced(stream) if bursts else stream
        except av.FFmpegError as error:
            raise _lost(error, name, options) from None
    raise Ended(f"{name}: the stream ended")


def _open(url: str, name: str, options: SourceOptions) -> InputContainer:
    scheme = scheme_of(url)
    address = url[4:] if scheme == "hls" and not url.lower().startswith("hls://") else url
    timeout = (options.open_timeout, options.stall)
    begin = time.monotonic()
    try:
        with av.logging.Capture():  # what it says is in the error
            settings = _settings(scheme, options)
            # What a server says of itself may be in any encoding.
            return av.open(address, options=settings, timeout=timeout, metadata_errors="replace")
    except av.FFmpegError as error:
        if time.monotonic() - begin >= options.open_timeout:  # FFmpeg then gives whatever reason
            raise Unreachable(f"{name}: no answer within {options.open_timeout:g} s") from None
        raise _refused(error, name, scheme, options) from None


def _settings(scheme: str, options: SourceOptions) -> dict[str, str]:
    """FFmpeg's options for one scheme."""
    if scheme in ("http", "https", "hls"):
        return dict(_HTTP_PROBE)
    if scheme in ("rtsp", "rtsps"):
        transport = "tcp" if scheme == "rtsps" else options.rtsp_transport
        return {**_PROBE, **_RTSP, "rtsp_transport": transport}
    if scheme in ("udp", "rtp", "srtp"):
        return {**_PROBE, **_UDP, "probesize": "500000", "analyzeduration": "1000000"}
    return dict(_PROBE)


def _refused(error: av.FFmpegError, name: str, scheme: str, options: SourceOptions) -> SourceError:
    """Why a stream could not be opened, in one line. FFmpeg's own text is left out: it holds the URL."""
    why = (error.strerror or "no reason given").lower()
    if isinstance(error, av.error.ProtocolNotFoundError):
        return UnknownScheme(f"{name}: this build of FFmpeg does not speak {scheme}")
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return Unauthorized(f"{name}: wrong or missing user and password")
    if isinstance(error, av.error.HTTPForbiddenError):
        return Unauthorized(f"{name}: the server forbids access")
    if isinstance(error, av.error.HTTPNotFoundError):
        return NotFound(f"{name}: the server has no such stream (404)")
    if isinstance(error, av.error.HTTPClientError | av.error.HTTPServerError):
        return Unreachable(f"{name}: the server refuses ({why})")
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return Unreachable(f"{name}: no answer within {options.open_timeout:g} s")
    if isinstance(error, av.error.EOFError):
        return Unreachable(f"{name}: the server closed the connection")
    if isinstance(error, av.error.InvalidDataError | av.error.DemuxerNotFoundError):
        if scheme not in _PLAIN:
            return Unreachable(f"{name}: what answers there does not speak {scheme}")
        return NotVideo(f"{name}: what the server sends is not a video that can be read")
    if isinstance(error, av.error.OSError) and error.errno == 5:  # EIO: also what a name lookup fails with
        return Unreachable(f"{name}: cannot be reached (no such host, or the connection broke)")
    return Unreachable(f"{name}: {why}")


def _lost(error: av.FFmpegError, name: str, options: SourceOptions) -> SourceError:
    """Why a stream that ran broke off."""
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return Frozen(f"{name}: no picture for {options.stall:g} s")
    return Ended(f"{name}: the connection broke ({(error.strerror or 'no reason given').lower()})")


def _bursts(container: InputContainer) -> bool:
    """Whether pictures come faster than they are to be shown: HLS by segments, a file all at once."""
    return "hls" in container.format.name or (container.size or 0) > 0


def _paced(stream: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    """Hold each frame back until it is due. Where the stream falls behind, so does the clock."""
    begin: float | None = None
    for frame in stream:
        now = time.monotonic()
        if begin is None or now - (begin + frame.time) > LATE:
            begin = now - frame.time
        if (wait := begin + frame.time - now) > 0:
            time.sleep(wait)
        yield replace(frame, captured=time.monotonic())
