"""Pulling by WHEP: pictures, tokens, every way in which a server can fail, and taking leave."""

import asyncio
import itertools
import json
import re
import threading
import time

import pytest

from stream.errors import Ended, Frozen, NotFound, NoVideoStream, Unauthorized, Unreachable
from stream.reader import LiveReader
from stream.redact import SECRETS, redact
from stream.sources import SourceOptions, demo, display_name, find, schemes, whep
from tests.fuzz_relay import enter
from tests.relay_peers import Publisher
from tests.relay_process import RelayProcess
from tests.servers import free_port, wait_for
from tests.test_watch_live import Watch
from tests.whep_server import TOKEN, WhepServer, noise

QUICK = SourceOptions(open_timeout=10, stall=5)


def take(url: str, count: int, options: SourceOptions = QUICK):
    """The first `count` frames; the source is closed."""
    frames = whep.frames(url, options)
    try:
        return list(itertools.islice(frames, count))
    finally:
        frames.close()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_pictures_come_upright_in_order_and_fresh(codec):
    with WhepServer(codec) as server:
        frames = take(server.url, 40)
        assert wait_for(server.deleted, 3)
        peer = server.peers[0]
        assert wait_for(lambda: peer.connectionState == "closed", 5)
    assert frames[0].image.shape == (240, 320, 3)
    assert all(later.time > earlier.time for earlier, later in itertools.pairwise(frames))
    assert all(later.index > earlier.index for earlier, later in itertools.pairwise(frames))
    assert not frames[-1].corrupt
    greys = [int(frame.image[30:90, 60:260].mean()) for frame in frames]
    assert all(0 <= (later - earlier) % 160 <= 30 for earlier, later in itertools.pairwise(greys))
    assert frames[-1].time - frames[0].time == pytest.approx(
        frames[-1].captured - frames[0].captured, abs=0.3
    )
    whole = next(frame for frame in frames[10:] if frame.index > 15)
    expected = next(itertools.islice(noise(), 1)).astype(int)
    assert abs(whole.image[130:].astype(int) - expected[130:]).mean() < 25


def test_who_asks_late_gets_the_newest_picture_only():
    with WhepServer() as server:
        frames = whep.frames(server.url, QUICK)
        first = next(frames)
        time.sleep(1.5)
        second, third = next(frames), next(frames)
        frames.close()
    assert second.index - first.index > 5
    assert third.index - second.index < 15
    assert second.captured - first.captured > 0.9


@pytest.mark.parametrize("account", [f":{TOKEN}", TOKEN, f"anybody:{TOKEN}"])
def test_the_token_goes_along_and_is_never_shown(account):
    with WhepServer() as server:
        server.token = TOKEN
        url = server.url.replace("//", f"//{account}@")
        assert len(take(url + "?picture=plain&stun=", 1)) == 1
        assert wait_for(server.deleted, 3)
        assert {told for *_, told in server.requests} == {f"Bearer {TOKEN}"}
        assert server.requests[0][1] == "/whep/live?picture=plain"
        assert server.requests[-1][:2] == ("DELETE", "/whep/live/1")
    SECRETS.register(url)
    assert TOKEN not in display_name(url)
    assert TOKEN not in redact(f"POST failed with {TOKEN}")
    assert TOKEN not in repr(whep.endpoint(url))


def test_urls():
    assert {"whep+http", "whep+https"} <= set(schemes())
    assert find("whep+https://a/b") is whep
    place = whep.endpoint("whep+https://u%40:p%2Fw@[::1]:8443/whep/a?x=1&stun=stun.example:3478&y=")
    assert (place.url, place.token) == ("https://[::1]:8443/whep/a?x=1&y=", "p/w")
    assert place.stun == "stun.example:3478"
    assert whep.endpoint("WHEP+HTTP://host").url == "http://host/"
    for url in ("whep+http://", "whep+http:///x", "whep+http://host:99999/x", "whep+http://[x/"):
        with pytest.raises(Unreachable, match="no host"):
            whep.endpoint(url)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, Unauthorized, "token (401)"),
        (403, Unauthorized, "token (403)"),
        (404, NotFound, "no such stream (404)"),
        (410, NotFound, "no such stream (410)"),
        (406, Unreachable, "refuses (406)"),
        (429, Unreachable, "refuses (429)"),
        (500, Unreachable, "refuses (500)"),
        (503, Unreachable, "refuses (503)"),
        (200, Unreachable, "does not speak WHEP"),
        (204, Unreachable, "does not speak WHEP"),
    ],
)
def test_what_a_server_replies_is_told_in_one_line(status, error, says):
    with WhepServer() as server:
        server.reply = (status, "text/html", "<html>\n" * 10)
        with pytest.raises(error, match=re.escape(says)) as caught:
            take(server.url, 1)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(server.url)


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("", Unreachable, "sound SDP"),
        ("hello", Unreachable, "sound SDP"),
        ("v=0\r\nm=video", Unreachable, "sound SDP"),
        ("v=0\r\n" * 20_000, Unreachable, "HTTP answer"),
    ],
)
def test_an_answer_that_is_none(body, error, says):
    with WhepServer() as server:
        server.reply = (201, "application/sdp", body)
        with pytest.raises(error, match=says):
            take(server.url, 1)


def test_a_server_without_video_that_can_be_read():
    with WhepServer() as server:
        server.change = lambda answer: answer.replace("a=sendonly", "a=inactive").replace(
            "sendrecv", "inactive"
        )
        with pytest.raises(NoVideoStream, match="no video"):
            take(server.url, 1)
        server.change = lambda answer: answer.replace("VP8", "VP9")
        with pytest.raises(NoVideoStream, match=r"VP8 or H\.264"):
            take(server.url, 1)


def test_nobody_there():
    with pytest.raises(Unreachable, match="cannot be reached"):
        take(f"whep+http://127.0.0.1:{free_port()}/whep/live", 1)
    with (
        WhepServer() as server,
        pytest.raises(Unreachable, match=r"HTTP answer|cannot be reached|certificate"),
    ):
        take(server.url.replace("whep+http", "whep+https"), 1)


def test_a_server_that_hangs_and_one_that_never_sends():
    with WhepServer() as server:
        server.hang = 30
        begin = time.monotonic()
        with pytest.raises(Unreachable, match="no answer within 1 s"):
            take(server.url, 1, SourceOptions(open_timeout=1))
        assert time.monotonic() - begin < 4
        server.hang = 0
        # Neither the server's candidates nor its name in ICE are right: nothing ever connects.
        server.change = lambda answer: re.sub("a=candidate.*\r\n", "", answer).replace(
            "ice-ufrag:", "ice-ufrag:x"
        )
        with pytest.raises(Unreachable, match=r"no picture within 1 s|no media connection"):
            take(server.url, 1, SourceOptions(open_timeout=1))


def test_a_stream_that_freezes():
    with WhepServer() as server:
        frames = whep.frames(server.url, SourceOptions(open_timeout=10, stall=1.5))
        next(frames)
        server.freeze()
        begin = time.monotonic()
        with pytest.raises(Frozen, match=r"no picture for 1\.5 s"):
            list(frames)
        assert 1 < time.monotonic() - begin < 6


def test_a_stream_that_ends():
    with WhepServer() as server:
        frames = whep.frames(server.url, QUICK)
        next(frames)
        server.end()
        with pytest.raises(Ended, match="ended"):
            list(frames)


def test_a_server_that_names_no_session_is_left_all_the_same():
    with WhepServer() as server:
        server.location = ""
        assert take(server.url, 2)
        peer = server.peers[0]
        assert wait_for(lambda: peer.connectionState == "closed", 5)
        assert not server.deleted()
        assert wait_for(lambda: not [t for t in threading.enumerate() if server.url in t.name], 3)


def test_lost_packets_mark_pictures_as_damaged_until_the_next_key_frame():
    with WhepServer() as server:
        frames = whep.frames(server.url, QUICK)
        assert not [next(frames) for _ in range(10)][-1].corrupt
        transport = server.peers[0].getSenders()[0].transport
        video = server.peers[0].getTransceivers()[0]._codecs[0].payloadType
        send, losing = transport._send_rtp, True

        async def lossy(data: bytes) -> None:
            """Loses each third packet, and what is sent again."""
            kind = data[1] & 0x7F
            if not losing or 64 <= kind < 96 or (kind == video and data[3] % 3):  # 64 to 95 are RTCP's
                await send(data)

        transport._send_rtp = lossy
        assert wait_for(lambda: next(frames).corrupt, 15)
        losing = False
        assert wait_for(lambda: not next(frames).corrupt, 15)
        frames.close()


def test_the_reader_reconnects_to_a_server_that_comes_back():
    with WhepServer() as server:
        port = server.port
        reader = LiveReader(server.url, QUICK)
        try:
            assert wait_for(lambda: reader.frames > 5, 20)
            assert reader.connected
        except BaseException:
            reader.close()
            raise
    try:
        assert wait_for(lambda: not reader.connected, 20)
        again = WhepServer()
        again.port = port
        with again:
            seen = reader.frames
            assert wait_for(lambda: reader.frames > seen + 5, 30)
            reader.close()
            assert wait_for(again.deleted, 3)
    finally:
        reader.close()


def test_watching_the_relay_raises_the_demos_alert(tmp_path):
    """A clip whose face is swapped goes to the relay by WHIP, and from there by WHEP to another detector."""
    clip = list(demo.pictures(8.0, 2.0))
    published, watched, done = (threading.Event() for _ in range(3))

    async def publish(relay: RelayProcess) -> None:
        publisher = await enter(lambda: Publisher(f"{relay.url}/whip/booth", itertools.repeat(clip[0])))
        published.set()
        await asyncio.to_thread(watched.wait, 90)
        publisher.camera._pictures = itertools.chain(clip, itertools.repeat(clip[-1]))
        await asyncio.to_thread(done.wait, 90)
        await publisher.close()

    alerts = tmp_path / "alerts.jsonl"
    with RelayProcess("--analysis-rate", "2") as relay:
        url = f"whep+{relay.url}/whep/booth?picture=plain"
        sending = threading.Thread(target=lambda: asyncio.run(publish(relay)))
        sending.start()
        try:
            assert published.wait(30)
            with Watch(tmp_path, url, "--alert", f"jsonl:{alerts}") as watching:
                assert wait_for(lambda: watching.scored() > 3, 60), watching.log.read_text()
                assert '"opened"' not in alerts.read_text()
                watched.set()
                assert wait_for(lambda: '"opened"' in alerts.read_text(), 60)
                assert watching.end() == 143
        finally:
            watched.set()
            done.set()
            sending.join()
        assert relay.troubles() == []
    events = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert [events[0]["source"], events[0]["phase"], events[-1]["phase"]] == [url, "opened", "closed"]
