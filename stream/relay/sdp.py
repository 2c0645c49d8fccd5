"""Session descriptions and candidates from outside: what is sound goes on, the rest is refused. Pure."""

import re
from dataclasses import dataclass

from aiortc import sdp


class Refused(Exception):
    """What a client sent cannot be used."""

    def __init__(self, status: int, text: str) -> None:
        """status: of HTTP. text: one line for the client."""
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trickled ICE candidate."""

    mid: str | None
    index: int | None
    line: str  # "candidate:…" without "a="


def check_offer(body: bytes, *, video_from_client: bool) -> str:
    """The offer as text. Raises Refused."""
    try:
        text = body.decode("utf-8")
        description = sdp.SessionDescription.parse(text)
    except Exception:
        raise Refused(400, "the body is no session description") from None
    video = [media for media in description.media if media.kind == "video"]
    if not video:
        raise Refused(400, "the offer has no video")
    return text


def lift_bitrate(answer: str, start_kbps: int, minimum_kbps: int) -> str:
    """The answer with Google's bit rates on each video codec, so that Chromium does not start low."""
    lines, video, codecs = [], False, {}
    for line in answer.split("\r\n"):
        if line.startswith("m="):
            video = line.startswith("m=video")
        lines.append(line)
        match = re.match(r"a=rtpmap:(\d+) (VP8|H264)/", line)
        if video and match:
            codecs[match[1]] = len(lines)
    extra = f"x-google-start-bitrate={start_kbps};x-google-min-bitrate={minimum_kbps}"
    for payload, place in reversed(codecs.items()):
        for i, line in enumerate(lines):
            if line.startswith(f"a=fmtp:{payload} "):
                lines[i] = f"{line};{extra}"
                break
        else:
            lines.insert(place, f"a=fmtp:{payload} {extra}")
    return "\r\n".join(lines)


def candidates(fragment: bytes) -> list[Candidate]:
    """The candidates of a trickle fragment (RFC 8840 section 9). Raises Refused."""
    try:
        lines = fragment.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise Refused(400, "the body is no text") from None
    found, mid, index = [], None, -1
    for line in lines:
        if line.startswith("m="):
            index, mid = index + 1, None
        elif line.startswith("a=mid:"):
            mid = line[6:].strip()
        elif line.startswith("a=candidate:"):
            found.append(Candidate(mid, max(index, 0), line[2:].strip()))
    return found
