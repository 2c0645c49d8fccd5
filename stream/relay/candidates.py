"""ICE candidates from outside, in offers and in trickled fragments: which of them the relay may try. Pure."""

import ipaddress
import re
from dataclasses import dataclass

FRAGMENT_BYTES = 16_384
MOST_LINES, LONGEST_LINE = 1000, 2048  # lines of an SDP body, characters of each
MOST_CANDIDATES = 32  # of one offer or fragment that are tried; more are left out

MID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,16}")  # a token, short enough for RTP's one-byte header
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")  # RFC 8839, section 5.1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


class Refused(Exception):  # noqa: N818 - says what happened, as those in stream/errors.py do
    """What came from outside is not taken."""

    def __init__(self, status: int, text: str) -> None:
        """status: of the HTTP answer, 4xx. text: one line for the client."""
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trickled ICE candidate (RFC 8840)."""

    mid: str  # of the section that it belongs to
    index: int | None  # the section's number; None: fragments do not tell
    line: str  # what stands after "candidate:", as aiortc.sdp.candidate_from_sdp takes it


def candidates(fragment: bytes) -> list[Candidate]:
    """The usable candidates of a trickle fragment (RFC 8840, section 9). Raises Refused: 400 or 413."""
    found: list[Candidate] = []
    mid: str | None = None
    for line in lines_of(fragment, FRAGMENT_BYTES):
        if line.startswith("m="):
            mid = None
        elif line.startswith("a=mid:"):
            mid = line[6:]
            if not MID.fullmatch(mid):
                raise Refused(400, "the fragment has an a=mid that cannot be")
        elif line.startswith("a=candidate:"):
            if mid is None:
                raise Refused(400, "the fragment has a candidate before any a=mid")
            if (kept := usable(line[12:])) and len(found) < MOST_CANDIDATES:
                found.append(Candidate(mid, None, kept))
    return found


def credentials(sdp: bytes | str) -> tuple[str, str] | None:
    """The first ICE user and password of an offer or a fragment, which tell an ICE restart; None without."""
    text = sdp if isinstance(sdp, str) else sdp.decode("utf-8", "replace")
    user = re.search(r"^a=ice-ufrag:(\S+)\s*$", text, re.M)
    password = re.search(r"^a=ice-pwd:(\S+)\s*$", text, re.M)
    return (user[1], password[1]) if user and password else None


def lines_of(body: bytes, most_bytes: int) -> list[str]:
    """The lines of an SDP body, which hold printable characters only. Raises Refused."""
    if len(body) > most_bytes:
        raise Refused(413, f"more than {most_bytes} bytes of SDP")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "the SDP is not UTF-8") from None
    lines = [line for line in re.split(r"\r?\n", text) if line]
    if not lines:
        raise Refused(400, "the SDP is empty")
    if len(lines) > MOST_LINES:
        raise Refused(413, f"more than {MOST_LINES} lines of SDP")
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            raise Refused(413, f"line {number} of the SDP has more than {LONGEST_LINE} characters")
        # A control or separator would begin a new line for aiortc, which uses splitlines.
        if not re.match(r"[a-z]=", line) or not line.isprintable():
            raise Refused(400, f"line {number} of the SDP is none (RFC 8866, section 5)")
    return lines


def usable(value: str) -> str | None:
    """A candidate that ICE may try, without its extensions; None for a sound one that is of no use here.

    value: what stands after "candidate:" (RFC 8839, section 5.1). Of use is UDP to an address of one host;
    names are not looked up. Raises Refused (400) for anything unsound.
    """
    words = value.split()
    if len(words) < 8 or words[6] != "typ" or not _FOUNDATION.fullmatch(words[0]):
        raise Refused(400, "a candidate that is none (RFC 8839, section 5.1)")
    foundation, transport, address, kind = words[0], words[2].lower(), words[4], words[7]
    component = _whole(words[1], 256)
    priority, port = _whole(words[3], 2**32 - 1), _whole(words[5], 65535)
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        if not _NAME.fullmatch(address):
            raise Refused(400, "a candidate's address is none") from None
        return None
    if transport != "udp" or component != 1 or kind not in ("host", "srflx", "relay"):
        return None
    scoped = isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None
    if not port or ip.is_unspecified or ip.is_multicast or ip == _BROADCAST or scoped:
        return None
    return f"{foundation} 1 udp {priority} {ip} {port} typ {kind}"


def _whole(word: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word) or int(word) > most:
        raise Refused(400, "a candidate's number cannot be")
    return int(word)
