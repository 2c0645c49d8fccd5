"""From an open PyAV container to Frames: upright BGR pictures with sound times and their damage marked."""

import logging
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.logging
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stream.coded import Tap
from stream.errors import NotVideo, NoVideoStream, TooSmall
from stream.h264 import FrameNumbers
from stream.redact import redact
from stream.sources import SMALLEST, Wanted, scheme_of
from stream.tapping import Tapping
from stream.timeline import Damage, Timeline
from stream.values import Frame

log = logging.getLogger(__name__)

LARGEST = 8192 * 8192  # px a picture; what is larger is a damaged header or an attack
UNPAINTED: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)  # of a picture that nobody wants
USUAL_RATE = Fraction(25)  # pictures per second where the stream does not tell

# What a demuxer says when packets were lost on their way.
_LOSS = re.compile(
    r"RTP: missed|max delay reached|bad cseq|continuity|corrupt|overrun|expired from playlist|dropping", re.I
)
# What a decoder says as an error of pictures that are whole.
_HARMLESS = re.compile(r"APP fields|mmco: unref short failure|SEI type|unknown SEI", re.I)


def hear_ffmpeg() -> None:
    """Let FFmpeg speak: its lines tell of damage that no flag does, or tell it earlier.

    Only decoding in a single thread makes that safe: a worker of FFmpeg that waits for Python's lock to
    log, while Python waits for the worker, would hang for ever.
    """
    av.logging.set_skip_repeated(False)  # else a held-back line would turn up outside its Capture
    now = av.logging.get_level()
    if now is None or now < av.logging.INFO:  # "concealing" is but an INFO
        av.logging.set_level(av.logging.INFO)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The container's first real video stream; cover art is none. Raises NoVideoStream or NotVideo."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise NoVideoStream(f"{name}: no video in it, only {_kinds(container)}")
    if streams[0].codec_context is None:
        raise NotVideo(f"{name}: this build of FFmpeg cannot decode its video")
    return streams[0]


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({s.type or "data" for s in container.streams})) or "an empty container"


def duration(source: str) -> float | None:
    """Length of a file in s, as its header says; None where it does not, or `source` is no readable file."""
    if scheme_of(source) != "file":
        return None
    from stream.sources.file import local_path

    try:
        with av.open(f"file:{local_path(source)}", metadata_errors="replace") as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None  # reading it raises the proper error


def upright(picture: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Turn and mirror a picture (H, W, 3) as its display matrix (9,) asks; by quarter turns only.

    The matrix maps x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 6.2.2).
    """
    if matrix is None:
        return picture
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) > abs(a):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


class Painter:
    """Makes decoded frames of any pixel format, size and rotation into BGR pictures."""

    def __init__(self, name: str) -> None:
        """name: of the source, for errors."""
        self._name = name
        self._reformatter = VideoReformatter()
        self._turned: tuple[int, int, int] | None = None  # rotation in degrees, width and height px, of late
        self._matrix: NDArray[np.int32] | None = None  # (9,), the display matrix that goes with it

    def paint(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, upright. Raises TooSmall, or NotVideo for absurd sizes."""
        width, height = frame.width, frame.height
        if min(width, height) < SMALLEST:
            raise TooSmall(
                f"{self._name}: pictures of {width}x{height} px are too small, {SMALLEST} is the least"
            )
        if width * height > LARGEST:
            raise NotVideo(f"{self._name}: pictures of {width}x{height} px are too large")
        bgr = cast(
            NDArray[np.uint8], self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray()
        )
        turned = (frame.rotation, width, height)
        if turned != self._turned:
            # Only on a change: side data and frame hold each other, and memory waits for the collector.
            side = cast(dict[Type, SideData], frame.side_data).get(Type.DISPLAYMATRIX)
            self._matrix = None if side is None else np.frombuffer(bytes(side), np.int32)
            self._turned = turned
        return upright(bgr, self._matrix)


@dataclass(slots=True)
class Progress:
    """What was read of a stream so far."""

    packets: int = 0
    frames: int = 0
    end: float = 0.0  # s on the stream's own timestamps, where the last packet ends
    cut: bool = False  # the demuxer found the data to end too early


def pictures(
    container: InputContainer,
    name: str,
    live: bool,
    progress: Progress | None = None,
    tap: Tap | None = None,
    wanted: Wanted | None = None,
) -> Generator[Frame, None, None]:
    """Decode a container's video, frame by frame. tap: takes its packets, each before what it brings out.

    wanted: asked before each picture is painted; those that nobody wants are yielded UNPAINTED, and where no
    other picture leans on them, as H.264 tells, they are not even decoded: counted, but not yielded.

    Damaged frames are yielded with `corrupt` set, until the next key frame heals the stream.
    Raises NoVideoStream, NotVideo, TooSmall, and av.FFmpegError where reading (not decoding) fails.
    """
    stream = video_stream(container, name)
    progress = Progress() if progress is None else progress
    context = stream.codec_context
    # Frame threads delay each picture by one per thread, and take FFmpeg's lines to threads of their own.
    context.thread_count = 1
    context.flags |= Flags.copy_opaque | (Flags.low_delay if live else 0)
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    timeline, damage, painter = Timeline(float(1 / rate)), Damage(), Painter(name)
    numbers = FrameNumbers(context.extradata) if context.name == "h264" else None
    tapping = Tapping(stream, tap) if tap is not None else None
    # A live stream's lines reach the user, through the reader's limit; a file's are a matter for experts.
    level = logging.WARNING if live else logging.DEBUG
    for packet, arrived, lost in _packets(container, stream, progress, level):
        number = progress.packets
        progress.packets += 1
        stamp = _seconds(packet.pts, packet.time_base)
        lost = (numbers is not None and bool(packet.size) and numbers.leaps(bytes(packet))) or lost
        damage.packet(number, packet.is_keyframe, stamp, lost or packet.is_corrupt)
        if tapping is not None:
            tapping.packet(packet, stamp)
        if packet.size and wanted is not None and numbers and numbers.disposable and not wanted(arrived):
            progress.frames += 1
            continue
        for frame in _decode(packet, number, arrived, damage, level):
            origin, came = frame.opaque if isinstance(frame.opaque, tuple) else (number, arrived)
            shown = _seconds(frame.pts if frame.pts is not None else frame.dts, frame.time_base)
            if frame.is_corrupt:
                damage.found(origin)
            placed = timeline.place(shown, came if live else None)
            if tapping is not None:
                tapping.decoded(frame, shown, placed)
            yield Frame(
                image=painter.paint(frame) if wanted is None or wanted(came) else UNPAINTED,
                time=placed,
                captured=came,
                index=progress.frames,
                corrupt=frame.is_corrupt or damage.reaches(origin, shown),
            )
            progress.frames += 1
    if not progress.frames and not live:
        raise NotVideo(f"{name}: no picture in it can be decoded")


def _seconds(stamp: int | None, base: Fraction | None) -> float | None:
    return None if stamp is None or base is None else float(stamp * base)


def _packets(
    container: InputContainer, stream: VideoStream, progress: Progress, level: int
) -> Iterator[tuple[av.Packet, float, bool]]:
    """Packets with the moment they came (s, monotonic) and whether some before them were lost."""
    packets = container.demux(stream)
    while True:
        with av.logging.Capture() as lines:
            packet = next(packets, None)
        _forward(lines, level)
        texts = [text for _, _, text in lines]
        progress.cut |= any("partial file" in t or "ended prematurely" in t for t in texts)
        if packet is None:
            return
        if packet.pts is not None and packet.time_base is not None:
            progress.end = max(progress.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        yield packet, time.monotonic(), any(_LOSS.search(t) for t in texts)


def _forward(lines: list[tuple[int, str, str]], level: int) -> None:
    for grade, part, text in lines:
        if grade <= av.logging.WARNING:
            log.log(level, "FFmpeg %s: %s", part, redact(text.strip()))


def _tells_damage(grade: int, text: str) -> bool:
    return (grade <= av.logging.ERROR and not _HARMLESS.search(text)) or text.startswith("concealing")


def _decode(
    packet: av.Packet, number: int, arrived: float, damage: Damage, level: int
) -> list[av.VideoFrame]:
    """The frames that one packet brings out; none where it is beyond repair."""
    packet.opaque = (number, arrived)
    with av.logging.Capture() as lines:
        try:
            frames = packet.decode()
        except av.EOFError:
            frames = []
        except av.FFmpegError:
            frames = []
            damage.found(number)
    _forward(lines, level)
    if any(_tells_damage(grade, text) for grade, _, text in lines):
        damage.found(number)
    return [frame for frame in frames if isinstance(frame, av.VideoFrame)]
