"""The HTTP resources of WHIP, by which video comes in (RFC 9725)."""

import logging

from aiohttp import web
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import SessionDescription

from stream.relay import sdp
from stream.relay.access import Role
from stream.relay.channel import Channel
from stream.relay.decoding import Decoding
from stream.relay.profiles import as_baseline
from stream.relay.receiving import AudioTap, VideoTap, attach
from stream.relay.registry import Registry, Session
from stream.relay.requests import REGISTRY, RequestError, address_of, answered, offer_in

log = logging.getLogger(__name__)

START_KBPS, LEAST_KBPS = 2000, 600  # what Chromium is told to begin with; its own start is a blurred picture


async def publish(request: web.Request) -> web.Response:
    """POST /whip/NAME: an offer becomes a session. 409 where the name is taken."""
    registry, name = request.app[REGISTRY], request.match_info["name"]
    if not registry.takes_video:
        raise RequestError(403, "this server shows one stream and takes none in")
    offer = sdp.check_offer(as_baseline(await offer_in(request)), video_from_client=True)
    if not registry.free(name):
        raise RequestError(409, f"{name} is being published already")
    session = registry.admit(Role.PUBLISH, name, address_of(request))
    session.credentials = sdp.credentials(offer)
    channel = session.channel = registry.open(name, f"whip:{name}")
    channel.published = True
    session.peer.on_gone.append(lambda: registry.end(channel))
    try:
        answer = await _connect(registry, session, channel, offer)
    except BaseException:
        registry.close(session)
        raise
    log.info("%s: a publisher was answered", name)
    return answered(request, session, answer)


async def _connect(registry: Registry, session: Session, channel: Channel, offer: str) -> str:
    """Answer, and tap the media that will come."""
    codecs: dict[int, str] = {}  # by payload type; filled when the answer is known
    peer = session.peer
    for kind in ("video", "audio"):
        if f"m={kind}" in offer:
            preferred = peer.pc.addTransceiver(kind, direction="recvonly")
            if kind == "audio":
                known = RTCRtpSender.getCapabilities("audio").codecs
                preferred.setCodecPreferences([c for c in known if c.name == "opus"])
    await peer.take(offer)
    for transceiver in peer.pc.getTransceivers():
        track: MediaStreamTrack | None = transceiver.receiver.track
        if track is None:
            continue
        if transceiver.kind == "video":
            tap = VideoTap(codecs)
            decoding = Decoding(channel.name, channel.frames, tap.want_key)
            tap.deliver = decoding.put
            attach(transceiver.receiver, tap)
            channel.on_end.append(decoding.close)
        else:
            attach(transceiver.receiver, AudioTap(codecs, channel.hear))
            channel.has_sound = True
    peer.on_connected.append(lambda: registry.begin(channel))
    answer = await peer.answer()
    for media in SessionDescription.parse(answer).media:
        codecs |= {c.payloadType: c.name for c in media.rtp.codecs if c.payloadType is not None}
    return sdp.lift_bitrate(answer, START_KBPS, LEAST_KBPS)
