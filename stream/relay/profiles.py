"""Lets H.264 of every profile in: a decoder takes them all, aiortc agrees to the baseline one only. Pure."""

import re

_PROFILE = re.compile(rb"(profile-level-id=)([0-9A-Fa-f]{6})")
_VP8 = re.compile(rb"^a=rtpmap:\d+ VP8/", re.M | re.I)
BASELINE = b"42e01f"  # constrained baseline, level 3.1, RFC 6184 section 8.1


def as_baseline(offer: bytes) -> bytes:
    """The offer of a publisher whose H.264 alone would be refused, with the baseline profile in its place.

    FFmpeg and hardware encoders offer the profile that they make, and do not mind what the answer says. An
    offer that can be agreed on as it is stays as it is.
    """
    profiles = [profile for _, profile in _PROFILE.findall(offer)]
    if not profiles or any(profile[:2] == b"42" for profile in profiles) or _VP8.search(offer):
        return offer
    return _PROFILE.sub(rb"\g<1>" + BASELINE, offer)
