"""Leaves out of an offer what is of no use to the relay, and bounds the rest, before aiortc parses it. Pure.

aiortc compares each line of feedback with each codec, and each source with each: a small offer can take it a
second, in which nobody else is served.
"""

import re
from collections import Counter
from collections.abc import Iterator

from aiortc.sdp import DIRECTIONS

from stream.relay.candidates import MOST_CANDIDATES, Refused, usable

MOST_SECTIONS = 8  # m= lines; three are of use
MOST_ALIKE = 128  # lines of one attribute in one section

SPOKEN = {"video": ("vp8", "h264", "rtx"), "audio": ("opus",)}  # codecs, in lower case
_FEEDBACK = ("nack", "nack pli", "goog-remb")  # what aiortc can give (RFC 4585, section 4.2)
# aiortc keeps a codec's number only if it is 96 to 127, RFC 3551's dynamic ones; 35 to 63 are RFC 5761's.
_RENUMBERED = range(35, 96)

_CODEC = re.compile(r"a=rtpmap:([0-9]{1,3}) ([^/ ]+)/")
_OF_CODEC = re.compile(r"a=(rtpmap|fmtp|rtcp-fb):([0-9]{1,3}|\*) (.*)")


def clean(lines: list[str]) -> list[str]:
    """The lines of an offer that are of use, each section's direction spelt out (RFC 8866, section 6.7).

    Raises Refused: 400 for what does not begin as SDP or for an unsound candidate, 413 and 422 for too much.
    """
    if lines[0] != "v=0":
        raise Refused(400, "the SDP does not begin with v=0")
    session, *sections = _sections(lines)
    if len(sections) > MOST_SECTIONS:
        raise Refused(
            422, f"the offer has {len(sections)} sections; one video, sound and data each can be had"
        )
    default = next((line for line in session if _is_direction(line)), "a=sendrecv")
    kept = [line for line in session if not line.startswith("a=candidate:")]
    left = MOST_CANDIDATES
    for section in sections:
        useful = list(_useful(section, left))
        left -= sum(line.startswith("a=candidate:") for line in useful)
        alike = Counter(line.partition(":")[0] for line in useful if line.startswith("a="))
        if alike and max(alike.values()) > MOST_ALIKE:
            name, count = alike.most_common(1)[0]
            raise Refused(413, f"a section of the offer has {count} lines {name[:30]}")
        kept += useful
        if not any(map(_is_direction, section)):
            kept.append(default)
    return kept


def codec_names(lines: list[str], kind: str) -> list[str]:
    """The codecs that an offer's sections of one kind name, sorted; for telling why none of them will do."""
    found = {
        match[2][:20]
        for section in _sections(lines)[1:]
        if section[0].startswith(f"m={kind} ")
        for line in section
        if (match := _CODEC.match(line))
    }
    return sorted(found)


def _useful(section: list[str], candidates: int) -> Iterator[str]:
    """A section's lines without foreign codecs, doubled lines, and candidates that cannot be used."""
    spoken = SPOKEN.get(section[0][2:].split(" ")[0])
    maps = [match for line in section if (match := _CODEC.match(line))]
    numbers = {
        match[1]
        for match in maps
        if spoken and match[2].lower() in spoken and int(match[1]) not in _RENUMBERED
    }
    seen: set[str] = set()
    for line in section:
        of_codec = _OF_CODEC.match(line)
        if line.startswith("a=candidate:"):
            candidate = usable(line[12:])
            if candidate and candidates:
                candidates -= 1
                yield f"a=candidate:{candidate}"
        elif spoken and of_codec:
            foreign = of_codec[2] not in numbers and of_codec[2] != "*"
            useless = of_codec[1] == "rtcp-fb" and (of_codec[3] not in _FEEDBACK or line in seen)
            if not foreign and not useless:
                seen.add(line)
                yield line
        elif line != "a=end-of-candidates":
            yield line


def _is_direction(line: str) -> bool:
    return line.startswith("a=") and line[2:] in DIRECTIONS


def _sections(lines: list[str]) -> list[list[str]]:
    """The session's lines, then those of each m= section."""
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections
