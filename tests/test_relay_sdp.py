"""Offers of real clients pass, broken and hostile ones do not, and whatever passes aiortc can answer."""

import asyncio
import random
import re

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp

from stream.relay.sdp import Candidate, Refused, candidates, check_offer, credentials, lift_bitrate
from tests.hostile_sdp import mutate, offers

OFFERS = offers()
WHIP = OFFERS["chromium_whip"]


def check(text: str, video_from_client: bool = True) -> str:
    return check_offer(text.encode(), video_from_client=video_from_client)


def refusal(text: str | bytes, video_from_client: bool = True) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        check_offer(text if isinstance(text, bytes) else text.encode(), video_from_client=video_from_client)
    assert "\n" not in caught.value.text
    assert len(caught.value.text) < 200
    return caught.value.status, caught.value.text


async def answer(offer: str) -> str:
    """As aiortc answers it."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return peer.localDescription.sdp
    finally:
        await peer.close()


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_offers_of_real_clients_pass_and_are_answered(name, end):
    text = check(OFFERS[name].replace("\n", end), video_from_client="whip" in name)
    media = SessionDescription.parse(asyncio.run(answer(text))).media
    assert {m.kind for m in media} == set(re.findall(r"^m=(\w+)", OFFERS[name], re.M))
    refusal(OFFERS[name], video_from_client="whip" not in name)


def test_what_is_of_no_use_is_left_out():
    assert re.findall(r"a=candidate:(.*)\r", check(OFFERS["libdatachannel_whip"])) == [
        "1 1 udp 2122317823 192.0.2.7 51820 typ host",
        "3 1 udp 1686109951 198.51.100.4 51820 typ srflx",
    ]
    assert "end-of-candidates" not in check(OFFERS["libdatachannel_whip"])
    assert " tcp " in WHIP
    assert " tcp " not in check(WHIP)
    assert "a=rtpmap:63 red" in WHIP
    assert not re.search(r"a=(rtpmap|fmtp|rtcp-fb):(3[5-9]|[4-8]\d|9[0-5])\b", check(WHIP))


def test_a_direction_that_is_not_told_is_spelt_out():
    told = "\n".join(line for line in OFFERS["ffmpeg_whip"].splitlines() if line != "a=sendonly")
    assert check(told).count("a=sendrecv") == 2
    assert check(told.replace("t=0 0", "t=0 0\na=sendonly")).count("\r\na=sendonly") == 3


SESSION, *MEDIA = re.split(r"(?m)^(?=m=)", WHIP)
VIDEO = next(part for part in MEDIA if part.startswith("m=video"))
AUDIO = next(part for part in MEDIA if part.startswith("m=audio"))
DATA = next(part for part in MEDIA if part.startswith("m=application"))
BUNDLE = re.search(r"a=group:BUNDLE.*", WHIP)[0]


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("", 400, "empty"),
        (b"\xff\xfe", 400, "UTF-8"),
        ("\n\n", 400, "empty"),
        ("hello", 400, "line 1"),
        ("{}", 400, "line 1"),
        ("v=1\n" + WHIP, 400, "v=0"),
        (WHIP.replace("a=mid:0", "a=mid:0\u2028a=mid:1"), 400, "line"),
        (WHIP.replace("a=mid:0", "a=mid:0\x0ba=x"), 400, "line"),
        (WHIP + "a=x:" + "y" * 3000 + "\n", 413, "2048 characters"),
        (WHIP + "a=x\n" * 1000, 413, "1000 lines"),
        (b"v=0\n" + b"a=xxxxxxx\n" * 7000, 413, "65536 bytes"),
        (SESSION, 422, "0 video"),
        (SESSION + AUDIO, 422, "0 video"),
        (WHIP + VIDEO.replace("a=mid:", "a=mid:x"), 422, "2 video"),
        (WHIP + AUDIO, 422, "2 sound"),
        (WHIP + DATA, 422, "2 data"),
        (WHIP + "m=text 9 UDP/TLS/RTP/SAVPF 98\na=mid:7\n", 422, "text"),
        (WHIP.replace(BUNDLE, ""), 422, "bundle"),
        (WHIP.replace(BUNDLE, "a=group:BUNDLE 0 1"), 422, "bundle"),
        (WHIP.replace(BUNDLE, "a=group:BUNDLE 0 1 9"), 422, "bundle"),
        (WHIP.replace(BUNDLE, f"{BUNDLE}\n{BUNDLE}"), 422, "bundle"),
        (WHIP.replace("a=mid:0", "a=mid:1"), 400, "a=mid"),
        (WHIP.replace("a=mid:0\n", ""), 400, "a=mid"),
        (WHIP.replace("a=mid:0", "a=mid:" + "0" * 17), 400, "a=mid"),
        (re.sub("a=ice-ufrag:.*\n", "", WHIP), 400, "ice-ufrag"),
        (re.sub("a=ice-pwd:.*", "a=ice-pwd:short", WHIP), 400, "ice-pwd"),
        (re.sub("a=ice-ufrag:.*", "a=ice-ufrag:a b c d", WHIP), 400, "ice-ufrag"),
        (re.sub("a=setup:.*\n", "", WHIP), 400, "a=setup"),
        (re.sub("a=setup:.*", "a=setup:holdconn", WHIP), 400, "KeyError"),
        (re.sub("a=fingerprint:.*\n", "", WHIP), 400, "0 fingerprints"),
        (re.sub("(a=fingerprint:sha-256 ..).*", r"\1", WHIP), 400, "fingerprint that cannot be"),
        (re.sub("(a=fingerprint:sha-256 ).*", r"\1" + "zz:" * 31 + "zz", WHIP), 400, "fingerprint"),
        (re.sub("a=fingerprint:.*", "a=fingerprint:md5 00" + ":00" * 15, WHIP), 422, "SHA-256"),
        (WHIP.replace("a=rtcp-mux\n", ""), 422, "rtcp-mux"),
        (WHIP.replace("a=sctp-port:5000\n", ""), 400, "sctp-port"),
        (WHIP.replace("a=sctp-port:5000", "a=sctp-port:70000"), 400, "sctp-port"),
        (WHIP.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"), 422, "data section"),
        (re.sub("a=max-message-size:.*", "a=max-message-size:10", WHIP), 422, "messages of 16384"),
        (re.sub("a=rtpmap:96 .*", "a=rtpmap:300 VP8/90000", WHIP), 400, ""),
        (WHIP + "a=rtpmap:96\n", 400, "ValueError"),
        (WHIP.replace("packetization-mode=1", "packetization-mode"), 400, "TypeError"),
        (re.sub("VP8|H264", "VP9", WHIP), 422, "needed is VP8"),
        (WHIP.replace("opus/48000/2", "L16/48000/2"), 422, "Opus"),
        (WHIP.replace("a=extmap:1 ", "a=extmap:4 "), 400, "extension"),
        (WHIP.replace("a=extmap:1 ", "a=extmap:0 "), 400, "extension"),
        (WHIP.replace(VIDEO, VIDEO.replace("a=sendonly", "a=inactive")), 422, "inactive"),
        (WHIP.replace("candidate:", "candidate:x", 1).replace(" typ host", "", 1), 400, "candidate"),
        (re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+", r"\1 ä", WHIP), 400, "address"),
        (re.sub(r"(a=candidate:\S+ 1 udp) \d+", r"\1 99999999999", WHIP), 400, "number"),
    ],
)  # fmt: skip
def test_what_aiortc_would_trip_over_is_refused_in_one_clear_line(text, status, says):
    assert text != WHIP
    got, line = refusal(text)
    assert (got, says in line) == (status, True), line


def test_of_too_many_candidates_the_first_are_kept():
    many = "".join(f"a=candidate:{i} 1 udp {i} 10.0.0.{i} 9 typ host\n" for i in range(1, 60))
    assert check(WHIP + many).count("a=candidate:") == 32


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["a=rtcp-fb:* nack"] * 900, 0),
        ([f"a=rtcp-fb:* nack x{n}" for n in range(900)], 0),
        ([f"a=ssrc:{n} cname:x" for n in range(900)], 413),
        ([f"a=extmap:{n % 14 + 1} urn:x{n}" for n in range(900)], 413),
        ([f"a=rtpmap:{n % 128} H264/90000" for n in range(900)], 413),
        ([f"a=fmtp:106 x={n}" for n in range(900)], 413),
        ([f"a=rtpmap:{n % 90} X{n}/90000" for n in range(900)], 0),
        ([f"a=candidate:{n} 1 udp 1 10.0.{n // 250}.{n % 250} 9 typ host" for n in range(900)], 0),
        (["m=audio 9 UDP/TLS/RTP/SAVPF 111"] * 900, 422),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_what_would_keep_aiortc_busy_is_left_out_or_refused(lines, status):
    """900 lines of feedback for all codecs took its parser half a second, in which nobody else is served."""
    text = OFFERS["ffmpeg_whip"] + "\n".join(lines) + "\n"
    if status:
        assert refusal(text)[0] == status
    else:
        assert check(text).count("\n") < 90


@pytest.mark.parametrize("seed", range(3))
def test_whatever_passes_aiortc_can_answer(seed):
    """Nothing but Refused is ever raised, and nothing that passes fails later."""

    async def run() -> tuple[int, list[int]]:
        passed, refusals = 0, []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: pytest.fail(str(what)))
        for _ in range(400):
            name = chance.choice(list(OFFERS))
            body = mutate(chance, OFFERS[name])
            try:
                offer = check_offer(body, video_from_client="whip" in name)
            except Refused as refusal:
                refusals.append(refusal.status)
                continue
            assert await answer(offer), body
            passed += 1
        return passed, refusals

    chance = random.Random(seed)
    passed, refusals = asyncio.run(run())
    assert min(passed, len(refusals)) > 50
    assert set(refusals) == {400, 413, 422}


def test_a_client_whose_candidates_are_all_left_out_still_connects():
    """Its own checks reveal its address; so mDNS names and end-of-candidates cost nothing."""

    async def run() -> str:
        client, relay = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        try:
            client.addTransceiver("video", "sendonly")
            client.createDataChannel("facewitness")
            await client.setLocalDescription(await client.createOffer())
            hidden = re.sub(
                r"(a=candidate:\S+ \d \w+ \d+) \S+", r"\1 name.local", client.localDescription.sdp
            )
            offer = check(hidden)
            assert "candidate" not in offer
            await relay.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await relay.setLocalDescription(await relay.createAnswer())
            await client.setRemoteDescription(relay.localDescription)
            for _ in range(100):
                if relay.connectionState == client.connectionState == "connected":
                    break
                await asyncio.sleep(0.05)
            return relay.connectionState
        finally:
            await asyncio.gather(client.close(), relay.close())

    assert asyncio.run(run()) == "connected"


@pytest.mark.parametrize("name", ["chromium_whip", "ffmpeg_whip"])
def test_the_answer_carries_the_bit_rates_at_each_video_codec_and_nowhere_else(name):
    plain = asyncio.run(answer(check(OFFERS[name])))
    lifted = lift_bitrate(plain, 2500, 600, 4000)
    video = next(m for m in SessionDescription.parse(lifted).media if m.kind == "video")
    rates = {
        "x-google-start-bitrate": "2500",
        "x-google-min-bitrate": "600",
        "x-google-max-bitrate": "4000",
    }
    assert {codec.name for codec in video.rtp.codecs} >= {"H264", "rtx"}
    for codec in video.rtp.codecs:
        assert (rates.items() <= codec.parameters.items()) is (codec.name in ("VP8", "H264"))
    assert lifted.count("x-google-start") == sum(c.name in ("VP8", "H264") for c in video.rtp.codecs)
    removed = re.sub(r";?x-google-(start|min|max)-bitrate=\d+", "", lifted)
    assert re.sub(r"a=fmtp:\d+ \r\n", "", removed) == plain
    assert "max" not in lift_bitrate(plain, 2500, 600).partition("x-google")[2].partition("\r\n")[0]


FRAGMENT = """a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=mid:0
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ srflx raddr 10.0.0.1 rport 9
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0
a=candidate:2154773085 1 udp 2122260223 b124-a.local 61766 typ host
a=end-of-candidates
"""


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_trickled_candidates(end):
    found = candidates(FRAGMENT.replace("\n", end).encode())
    assert found == [
        Candidate("0", None, "1387637174 1 udp 2122260223 192.0.2.1 61764 typ host"),
        Candidate("0", None, "3471623853 1 udp 2122194687 198.51.100.2 61765 typ srflx"),
    ]
    assert [candidate_from_sdp(each.line).port for each in found] == [61764, 61765]
    assert credentials(FRAGMENT) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert credentials(WHIP) != credentials(FRAGMENT)
    assert credentials(b"a=mid:0") is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("\x00", 400),
        ("candidate:1", 400),
        ("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", 400),
        ("a=mid:a b", 400),
        (FRAGMENT.replace("61764", "617640"), 400),
        (FRAGMENT.replace("192.0.2.1", "<script>"), 400),
        (FRAGMENT * 100, 413),
        ("a=x\n" * 1001, 413),
    ],
)
def test_fragments_that_cannot_be(text, status):
    with pytest.raises(Refused) as caught:
        candidates(text.encode())
    assert caught.value.status == status


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.251", "255.255.255.255", "ff02::fb", "fe80::1%eth0"])
def test_addresses_of_no_single_host_are_not_tried(address):
    assert candidates(f"a=mid:0\na=candidate:1 1 udp 1 {address} 9 typ host".encode()) == []


def test_fragments_are_fuzzed():
    chance, refusals = random.Random(5), []
    for _ in range(1500):
        body = mutate(chance, FRAGMENT)
        credentials(body)
        try:
            found = candidates(body)
        except Refused as refusal:
            refusals.append(refusal.status)
        else:
            assert all(candidate_from_sdp(each.line).protocol == "udp" for each in found)
    assert set(refusals) == {400, 413}
    assert len(refusals) < 1200
