"""What the relay takes of SDP from outside, and what it adds to its answers. Pure.

An offer is checked for all that aiortc trips over later, and handed on without what is of no use to it.
"""

import re

from aiortc import rtp
from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription

from stream.relay.candidates import MID, Candidate, Refused, candidates, credentials, lines_of
from stream.relay.cleaning import SPOKEN, clean, codec_names

__all__ = ["Candidate", "Refused", "candidates", "check_offer", "credentials", "lift_bitrate"]

OFFER_BYTES = 65_536  # Chromium's offers have some 7,000
MOST_CODECS, MOST_EXTENSIONS, MOST_SSRCS, MOST_FINGERPRINTS = 40, 32, 32, 8  # of one section
SMALLEST_MESSAGE = 16_384  # bytes that a data channel must take; an alert has some 500

_UFRAG, _PASSWORD = re.compile(r"[A-Za-z0-9+/]{4,256}"), re.compile(r"[A-Za-z0-9+/]{22,256}")  # RFC 8839, 5.4
_DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}  # bytes; what aiortc can compare


def check_offer(body: bytes, *, video_from_client: bool) -> str:
    """The offer as aiortc may have it: one video, at most one sound and one data channel, bundled.

    video_from_client: True for WHIP, False for WHEP. Candidates that cannot be used (TCP, names such as
    mDNS's, which a stranger could make us look up) are left out: the client's own checks reveal its address.
    So is end-of-candidates, after which aioice would give up too early.

    Raises Refused with 400 for what is no sound SDP, 413 for too much, 422 for what the relay cannot do
    (RFC 9725, section 4.2).
    """
    lines = lines_of(body, OFFER_BYTES)
    text = "\r\n".join(clean(lines)) + "\r\n"
    try:
        description = SessionDescription.parse(text)
        for media in description.media:
            description.webrtc_track_id(media)
    except Exception as error:  # the parser raises nearly anything
        raise Refused(400, f"the offer is no sound SDP ({type(error).__name__})") from None
    _check_sections(description)
    for media in description.media:
        _check_transport(media)
        if media.kind == "application":
            _check_data(media)
        else:
            _check_rtp(media, lines)
    video = next(media for media in description.media if media.kind == "video")
    wanted = ("sendonly", "sendrecv") if video_from_client else ("recvonly", "sendrecv")
    if video.direction not in wanted:
        raise Refused(422, f"the offer's video is {video.direction}; it has to be {' or '.join(wanted)}")
    return text


def lift_bitrate(
    answer: str, start_kbps: int, minimum_kbps: int, maximum_kbps: int | None = None
) -> str:  # kbit/s
    """The answer with the bit rates in its video codecs' fmtp at which a Chromium that sends is to start.

    Without them it begins with a quarter of the picture and takes half a minute to grow.
    """
    rates = f"x-google-start-bitrate={start_kbps};x-google-min-bitrate={minimum_kbps}"
    if maximum_kbps is not None:
        rates += f";x-google-max-bitrate={maximum_kbps}"
    lines = answer.splitlines()
    codecs, kind = set(), ""
    for line in lines:
        kind = line[2:].split(" ")[0] if line.startswith("m=") else kind
        match = re.match(r"a=rtpmap:(\d+) (VP8|H264)/", line, re.I)
        if kind == "video" and match:
            codecs.add(match[1])
    lifted: list[str] = []
    for line in lines:
        match = re.match(r"a=fmtp:(\d+) ", line)
        if match and match[1] in codecs:
            codecs.discard(match[1])
            line = f"{line};{rates}"
        lifted.append(line)
    for index in range(len(lifted) - 1, -1, -1):  # those that have no fmtp line of their own
        match = re.match(r"a=rtpmap:(\d+) ", lifted[index])
        if match and match[1] in codecs:
            lifted.insert(index + 1, f"a=fmtp:{match[1]} {rates}")
    return "\r\n".join(lifted) + "\r\n"


def _check_sections(description: SessionDescription) -> None:
    """Kinds, their numbers, their names and the bundle."""
    kinds = [media.kind for media in description.media]
    if unknown := set(kinds) - {"audio", "video", "application"}:
        raise Refused(422, f"the offer has a section of a kind that the relay does not know: {min(unknown)}")
    if kinds.count("video") != 1:
        raise Refused(422, f"the offer has {kinds.count('video')} video sections; it has to have one")
    for kind, name in (("audio", "sound"), ("application", "data")):
        if kinds.count(kind) > 1:
            raise Refused(422, f"the offer has {kinds.count(kind)} {name} sections; one is the most")
    mids = [media.rtp.muxId for media in description.media]
    if not all(isinstance(mid, str) and MID.fullmatch(mid) for mid in mids) or len(set(mids)) < len(mids):
        raise Refused(400, "each section needs an a=mid of its own, of 1 to 16 characters")
    bundles = [group.items for group in description.group if group.semantic == "BUNDLE"]
    if (
        len(bundles) > 1
        or (not bundles and len(mids) > 1)
        or (bundles and sorted(bundles[0]) != sorted(mids))
    ):
        raise Refused(422, "the offer has to bundle all its sections (a=group:BUNDLE, RFC 9725 section 4.4)")


def _check_transport(media: MediaDescription) -> None:
    """ICE and DTLS."""
    name = media.kind
    user, password = (media.ice.usernameFragment, media.ice.password) if media.ice else (None, None)
    if not _UFRAG.fullmatch(user or "") or not _PASSWORD.fullmatch(password or ""):
        raise Refused(400, f"the {name} section lacks a sound a=ice-ufrag and a=ice-pwd")
    if media.dtls is None:
        raise Refused(400, f"the {name} section lacks a=setup")
    prints = media.dtls.fingerprints
    if not 0 < len(prints) <= MOST_FINGERPRINTS:
        raise Refused(400, f"the {name} section has {len(prints)} fingerprints")
    for each in prints:
        if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){15,63}", each.value) or (
            (len(each.value) + 1) // 3 != _DIGESTS.get(each.algorithm.lower(), (len(each.value) + 1) // 3)
        ):
            raise Refused(400, f"the {name} section has a fingerprint that cannot be")
    if not any(each.algorithm.lower() in _DIGESTS for each in prints):
        raise Refused(422, f"the {name} section has no fingerprint by SHA-256, SHA-384 or SHA-512")


def _check_data(media: MediaDescription) -> None:
    if media.profile not in ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP") or media.fmt != ["webrtc-datachannel"]:
        raise Refused(422, "the data section is not of the kind UDP/DTLS/SCTP webrtc-datachannel (RFC 8841)")
    if media.sctp_port is None or not 0 < media.sctp_port < 65536:
        raise Refused(400, "the data section lacks a sound a=sctp-port")
    size = media.sctpCapabilities.maxMessageSize if media.sctpCapabilities else 0
    if size and not SMALLEST_MESSAGE <= size < 2**64:
        raise Refused(422, f"the data channel has to take messages of {SMALLEST_MESSAGE} bytes")


def _check_rtp(media: MediaDescription, lines: list[str]) -> None:
    """Codecs, header extensions and sources of a video or sound section."""
    name, codecs = media.kind, media.rtp.codecs
    if not media.rtcp_mux:
        raise Refused(422, f"the {name} section lacks a=rtcp-mux (RFC 9725, section 4.4)")
    if len(codecs) > MOST_CODECS or len(media.rtp.headerExtensions) > MOST_EXTENSIONS:
        raise Refused(413, f"the {name} section has too many codecs or extensions")
    numbers = [codec.payloadType or 0 for codec in codecs]
    sound = all(0 <= n < 128 and n not in rtp.FORBIDDEN_PAYLOAD_TYPES for n in numbers)
    if not sound or len(set(numbers)) < len(numbers):
        raise Refused(400, f"the {name} section has codec numbers that cannot be")
    ids = [extension.id for extension in media.rtp.headerExtensions]
    if not all(0 < i < 256 and i != 15 for i in ids) or len(set(ids)) < len(ids):
        raise Refused(400, f"the {name} section has extension numbers that cannot be (RFC 8285)")
    if len(media.ssrc) > MOST_SSRCS or not all(0 <= s.ssrc < 2**32 for s in media.ssrc):
        raise Refused(400, f"the {name} section has sources (a=ssrc) that cannot be")
    try:
        common = find_common_codecs(CODECS[name], codecs)
    except Exception as error:
        raise Refused(400, f"the {name} section's a=fmtp cannot be ({type(error).__name__})") from None
    if not any(codec.name.lower() in SPOKEN[name] and not is_rtx(codec) for codec in common):
        offered = ", ".join(codec_names(lines, name)) or "nothing"
        needed = "VP8, or H.264 baseline with packetization-mode=1" if name == "video" else "Opus"
        raise Refused(
            422, f"no {name} codec that the relay speaks: offered are {offered[:100]}; needed is {needed}"
        )
