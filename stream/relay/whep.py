"""The HTTP resources of WHEP, by which video goes out (draft-ietf-wish-whep)."""

import logging

from aiohttp import web
from aiortc import RTCRtpSender
from aiortc.codecs import CODECS as KNOWN
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import SessionDescription

from stream.relay import sdp
from stream.relay.access import Role
from stream.relay.channel import Channel
from stream.relay.encode import CODECS
from stream.relay.output import Kind
from stream.relay.registry import Session
from stream.relay.requests import REGISTRY, RequestError, address_of, answered, offer_in

log = logging.getLogger(__name__)


async def view(request: web.Request) -> web.Response:
    """POST /whep/NAME?picture=annotated|plain: an offer becomes a session. 404 where nobody publishes."""
    registry, name = request.app[REGISTRY], request.match_info["name"]
    body = await offer_in(request)
    try:
        kind = Kind(request.query.get("picture", Kind.ANNOTATED.value))
    except ValueError:
        raise RequestError(400, "picture is 'annotated' or 'plain'") from None
    offer = sdp.check_offer(body, video_from_client=False)
    channel = registry.channels.get(name)
    if channel is None:
        raise RequestError(404, f"nobody publishes {name}")
    session = registry.admit(Role.WATCH, name, address_of(request))
    session.credentials, session.channel = sdp.credentials(offer), channel
    try:
        answer = await _connect(session, channel, kind, offer)
        if channel.frames.ended:
            raise RequestError(404, f"nobody publishes {name}")
    except BaseException:
        registry.close(session)
        raise
    return answered(request, session, answer)


def choose(offered: tuple[str, ...], running: tuple[str, ...]) -> str | None:
    """The codec for a viewer who takes those `offered`: one that is being encoded already, else the best."""
    able = [codec for codec in CODECS if codec in offered]
    return next((codec for codec in able if codec in running), able[0] if able else None)


def offered_codecs(offer: str) -> tuple[str, ...]:
    """The names of the video codecs in an offer that aiortc can send."""
    for media in SessionDescription.parse(offer).media:
        if media.kind == "video":
            return tuple({codec.name for codec in find_common_codecs(KNOWN["video"], media.rtp.codecs)})
    return ()


async def _connect(session: Session, channel: Channel, kind: Kind, offer: str) -> str:
    codec = choose(offered_codecs(offer), channel.codecs(kind))
    if codec is None:
        raise RequestError(422, "the offer has neither H.264 (packetization-mode 1, baseline) nor VP8")
    peer = session.peer
    track = channel.join(kind, codec)
    peer.on_gone.append(lambda: channel.leave(kind, track))
    transceiver = peer.pc.addTransceiver(track, direction="sendonly")
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in known if c.name in (codec, "rtx")])
    transceiver.sender._send_keyframe = lambda: channel.ask_key(kind, codec)  # type: ignore[method-assign]
    if channel.has_sound and "m=audio" in offer:
        sound = channel.sound(kind)
        listener = sound.join()
        peer.on_gone.append(lambda: sound.leave(listener))
        audio = peer.pc.addTransceiver(listener, direction="sendonly")
        speech = RTCRtpSender.getCapabilities("audio").codecs
        audio.setCodecPreferences([c for c in speech if c.name == "opus"])
    await peer.take(offer)
    return await peer.answer()
