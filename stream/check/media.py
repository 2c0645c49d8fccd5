"""What a file says of itself: container, codec, tags, and what these hint at."""

import re
from pathlib import Path

import av

from stream.check.values import Media

TAGS, LONGEST = 24, 200  # tags that are kept, and characters of each
STRONG = 0.03  # bits a pixel below which little of a face's texture is left
_MUXERS = re.compile(r"lavf|ffmpeg|handbrake|x264|libx26[45]|premiere|davinci|capcut|imovie|obs", re.I)
_SCREENS = re.compile(r"obs|screen|zoom|teams|webex", re.I)


def media_of(path: Path) -> Media:
    """The facts of a video or picture; empty where FFmpeg cannot open it."""
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            streams = container.streams.video
            if not streams or streams[0].codec_context is None:
                return Media(container=container.format.long_name)
            stream = streams[0]
            tags = _tags({**stream.metadata, **container.metadata})
            rate = float(stream.average_rate) if stream.average_rate else None
            seconds = container.duration / av.time_base if container.duration else None
            facts = Media(
                container=container.format.long_name,
                codec=f"{stream.codec_context.codec.long_name}, {stream.codec_context.pix_fmt or 'unknown'}",
                width=stream.width,
                height=stream.height,
                seconds=seconds,
                fps=rate,
                bit_rate=stream.bit_rate or container.bit_rate or None,
                tags=tags,
            )
            return Media(**{**{n: getattr(facts, n) for n in Media.__slots__}, "hints": hints(facts)})
    except (av.FFmpegError, OSError, ValueError):
        return Media()


def _tags(found: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name[:LONGEST], str(value)[:LONGEST]) for name, value in sorted(found.items())[:TAGS])


def hints(media: Media) -> tuple[str, ...]:
    """What the facts suggest, each a sentence; none of them proves anything. Pure."""
    said = []
    for name, value in media.tags:
        if _SCREENS.search(value):
            said.append(f"“{name}: {value}”: recorded from a screen or a call, not by a camera.")
        elif _MUXERS.search(value):
            said.append(
                f"“{name}: {value}”: written by software after the camera, so packed or encoded anew."
            )
    pixels = media.width * media.height * (media.fps or 0)
    if media.bit_rate and pixels and media.seconds and media.bit_rate / pixels < STRONG:
        said.append(
            f"{media.bit_rate / pixels:.3f} bits a pixel: strongly compressed; little of what a swap leaves "
            "may have survived, and scores are less sure."
        )
    return tuple(said)
