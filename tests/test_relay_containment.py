"""What aiortc does not survive or bound by itself, on connections between two aiortc peers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from fractions import Fraction

import av
import numpy as np
import psutil
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, DataChunk, tsn_plus_one

from stream.relay.containment import CHANNELS, NONSENSE, UNFINISHED, contain, tell_briefly
from stream.relay.decoding import Decoding
from stream.relay.frames import Frames
from stream.relay.receiving import Encoded
from tests.fuzz_relay import moving
from tests.relay_peers import Pictures, poll


class Pair:
    """A client and what the relay would have of it, connected; counts how often the relay gave up."""

    def __init__(self) -> None:
        self.client, self.relay = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        self.given_up = 0
        self.heard: list[str] = []

    def give_up(self) -> None:
        self.given_up += 1


@contextlib.asynccontextmanager
async def paired() -> AsyncIterator[Pair]:
    pair = Pair()
    client, relay = pair.client, pair.relay
    try:
        relay.on("datachannel", lambda channel: channel.on("message", pair.heard.append))
        client.addTrack(Pictures(moving(64, 64)))
        channel = client.createDataChannel("facewitness")
        await client.setLocalDescription(await client.createOffer())
        await relay.setRemoteDescription(client.localDescription)
        contain(relay, pair.give_up)
        await relay.setLocalDescription(await relay.createAnswer())
        await client.setRemoteDescription(relay.localDescription)
        assert await poll(lambda: channel.readyState == "open", 10)
        yield pair
    finally:
        await asyncio.gather(client.close(), relay.close())


async def send_rtp(pair: Pair, count: int) -> None:
    """Packets whose abs-send-time (id 3 in aiortc's offers) has 16 bytes instead of 3."""
    transport = pair.client.getSenders()[0].transport
    for number in range(count):
        head = bytes([0x90, 97]) + number.to_bytes(2) + bytes(4) + b"abcd"
        await transport._send_rtp(
            head + b"\xbe\xde\x00\x05" + bytes([0x3F]) + b"x" * 16 + bytes(3) + b"payload"
        )
        await asyncio.sleep(0)


async def talks(pair: Pair) -> bool:
    """Whether the connection still carries data."""
    channel = next(iter(pair.client.sctp._data_channels.values()))
    channel.send("hello")
    return await poll(lambda: "hello" in pair.heard, 5)


def test_packets_of_nonsense_are_dropped_without_a_word(caplog):
    async def run() -> None:
        async with paired() as pair:
            await send_rtp(pair, 50)
            assert await talks(pair)
            assert pair.given_up == 0
            assert pair.relay.connectionState == "connected"

    asyncio.run(run())
    assert "Traceback" not in caplog.text


def test_too_many_of_them_end_the_session_with_one_line(caplog):
    async def run() -> None:
        async with paired() as pair:
            await send_rtp(pair, NONSENSE + 50)
            assert await poll(lambda: pair.given_up == 1, 10)

    asyncio.run(run())
    assert "Traceback" not in caplog.text
    assert caplog.text.count("cannot be understood") == 1


async def send_fragment(pair: Pair, size: int, stream: int = 1) -> None:
    """A part of a message that never ends."""
    sctp = pair.client.sctp
    chunk = DataChunk(flags=SCTP_DATA_FIRST_FRAG)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = sctp._local_tsn, stream, 0, 51
    chunk.user_data = b"a" * size
    sctp._local_tsn = tsn_plus_one(sctp._local_tsn)
    await sctp._send_chunk(chunk)


def test_a_message_that_never_ends_ends_the_session():
    async def run() -> None:
        async with paired() as pair:
            for _ in range(UNFINISHED // 1000 + 20):
                await send_fragment(pair, 1000)
                await asyncio.sleep(0)
            assert await poll(lambda: pair.given_up > 0, 10)
            streams = pair.relay.sctp._inbound_streams.values()
            assert sum(len(c.user_data) for s in streams for c in s.reassembly) <= UNFINISHED + 1000

    asyncio.run(run())


def test_too_many_data_channels_end_the_session():
    async def run() -> None:
        async with paired() as pair:
            for number in range(3 * CHANNELS):
                await send_fragment(pair, 10, stream=2 * number + 1)
                await asyncio.sleep(0)
            assert await poll(lambda: pair.given_up > 0, 10)
            assert len(pair.relay.sctp._inbound_streams) <= CHANNELS + 1

    asyncio.run(run())


def test_messages_that_end_are_no_offence():
    async def run() -> None:
        async with paired() as pair:
            channel = next(iter(pair.client.sctp._data_channels.values()))
            for _ in range(10):
                channel.send("x" * 30_000)
            assert await talks(pair)
            assert pair.given_up == 0

    asyncio.run(run())


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_nobody_catches_is_told_in_one_line_with_its_place(level, caplog):
    async def fail() -> None:
        raise ValueError("two\nlines")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(tell_briefly)
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0.01)
        tell_briefly(asyncio.get_running_loop(), {"message": "no exception"})

    caplog.set_level(level)
    asyncio.run(run())
    # Tasks that an earlier test left behind may end now, too.
    told = [r for r in caplog.records if "ValueError" in r.message or "no exception" in r.message]
    first, second = (r for r in told if r.name == "stream.relay.containment")
    assert first.getMessage().startswith(
        "in the background: ValueError: two lines (test_relay_containment.py:"
    )
    # A redacting filter, where one is set, has made text of the traceback.
    assert bool(first.exc_info or first.exc_text) is (level == logging.DEBUG)
    assert second.getMessage() == "in the background: no exception"


def vp8(width: int, height: int) -> bytes:
    """A key frame."""
    coder = av.CodecContext.create("libvpx", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = width, height, "yuv420p", Fraction(1, 30)
    coder.options = {"deadline": "realtime", "lag-in-frames": "0"}
    picture = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 90, np.uint8), format="yuv420p")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in coder.encode(picture))


def test_a_small_packet_cannot_ask_for_a_huge_picture():
    """A key frame's header may tell 16383x16383 px: 800 MB for ten bytes."""
    frames, small = Frames(), vp8(320, 240)
    huge = small[:6] + (16383).to_bytes(2, "little") * 2 + small[10:]
    decoding = Decoding("hostile", frames, lambda: None)
    try:
        before = psutil.Process().memory_info().rss
        for number in range(5):
            decoding.put(Encoded("VP8", huge, number / 30, time.monotonic(), True))
        decoding.put(Encoded("VP8", small, 1.0, time.monotonic(), True))
        assert frames.newer(-1, 10) is not None  # the decoder has come through them
        assert psutil.Process().memory_info().rss < before + 60 * 2**20
        assert frames.count == 1
    finally:
        decoding.close()
