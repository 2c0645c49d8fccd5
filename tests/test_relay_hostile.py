"""The real relay under attack: whatever comes, the reply is clean, the log too, and the others are served."""

import asyncio
import json
import random
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import aiohttp
import pytest
from aioice import stun

from stream.relay.doorway import PER_ADDRESS, SECURITY, Guests
from stream.relay.limits import Bounds
from tests.fuzz_relay import Watch, enter, fuzz, moving, served, watch
from tests.hostile_sdp import offers
from tests.relay_peers import Publisher, poll
from tests.relay_process import RelayProcess, Reply, request, send

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only Linux has all of 127.0.0.0/8, from which the clients come",
)
OFFERS = offers()
WHIP, WHEP = OFFERS["ffmpeg_whip"].encode(), OFFERS["chromium_whep"].encode()
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
TOKENS = {
    "publish": "publisher-token-0123",
    "watch": "watchers-token-45678",
    "admin": "administrator-token9",
}


@pytest.fixture(scope="module")
def relay() -> Iterator[RelayProcess]:
    """One relay for all; at the end its log must be clean, and its memory must not have grown much."""
    with RelayProcess("--allow-origin", "https://friend.example") as process:
        begin = process.memory()
        yield process
        assert process.process.poll() is None
        assert process.troubles() == []
        assert process.memory() < begin + 150


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[RelayProcess]:
    """A relay that wants tokens."""
    folder, words = tmp_path_factory.mktemp("tokens"), []
    for role, token in TOKENS.items():
        (folder / role).write_text(token + "\n")
        words += [f"--{role}-token-file", str(folder / role)]
    with RelayProcess(*words) as process:
        yield process
        assert process.troubles() == []
        assert not any(token in process.log() for token in TOKENS.values())


def ask(relay: RelayProcess, *raw: bytes, address: str = "127.0.0.1") -> list[Reply]:
    """The replies to some requests, sent one after the other."""

    async def run() -> list[Reply]:
        return [await send(relay.port, each, address) for each in raw]

    return asyncio.run(run())


def test_a_fuzz_of_everything_gets_clean_replies_while_another_stream_is_served(relay):
    outcome, before, during = asyncio.run(fuzz(relay, 250, seed=7))
    assert outcome.wrong == []
    assert relay.troubles() == []
    assert outcome.opened > 5
    assert {400, 413, 415, 422} <= outcome.replies.keys()
    assert during.rate > 0.6 * before.rate, (before, during)
    assert during.gap < before.gap + 2


def credentials(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("role", TOKENS)
def test_each_token_opens_its_own_doors_only(guarded, role):
    doors = {
        request("POST", "/whip/a", b"x", Content_Type=SDP, **credentials(TOKENS[role])): "publish",
        request("DELETE", "/whip/a/x", **credentials(TOKENS[role])): "publish",
        request("POST", "/whep/a", b"x", Content_Type=SDP, **credentials(TOKENS[role])): "watch",
        request("PATCH", "/whep/a/x", b"x", Content_Type=FRAGMENT, **credentials(TOKENS[role])): "watch",
        request("GET", "/api/streams", **credentials(TOKENS[role])): "watch",
        request("GET", "/api/alerts", **credentials(TOKENS[role])): "watch",
        request("DELETE", "/api/streams/a", **credentials(TOKENS[role])): "admin",
    }
    for reply, needed in zip(
        ask(guarded, *doors, address=f"127.0.9.{len(role)}"), doors.values(), strict=True
    ):
        assert (reply.status == 401) is (role not in (needed, "admin")), (role, needed, reply)
        if reply.status == 401:
            assert reply.headers["www-authenticate"].startswith("Bearer")
            assert reply.error


def test_wrong_tokens_are_refused_then_slowed_down_and_others_are_not(guarded):
    wrong = [
        None, "Bearer ", "Bearer x", "Basic " + TOKENS["watch"], TOKENS["watch"],
        "Bearer " + TOKENS["watch"][:-1], "Bearer " + TOKENS["watch"].upper(), "Bearer \x00", "Bearer ü",
        "Bearer " + "y" * 5000,
    ]  # fmt: skip
    raw = [
        request("GET", "/api/streams", **({} if header is None else {"Authorization": header}))
        for header in wrong
    ]
    assert {reply.status for reply in ask(guarded, *raw, address="127.0.8.1")} <= {400, 401}
    flood = ask(guarded, *[raw[2]] * (round(Bounds().burst) + 20), address="127.0.8.2")
    assert [reply.status for reply in flood[:5]] == [401] * 5
    assert flood[-1].status == 429
    assert int(flood[-1].headers["retry-after"]) >= 1
    good = request("GET", "/api/streams", **credentials(TOKENS["watch"]))
    assert ask(guarded, good, address="127.0.8.3")[0].status == 200
    # In a query a token is taken where a browser cannot send it otherwise, and nowhere else.
    in_query = [request("GET", f"{path}?token={TOKENS['watch']}") for path in ("/api/streams", "/api/alerts")]
    assert [reply.status for reply in ask(guarded, *in_query, address="127.0.8.4")] == [401, 401]


def test_events_take_a_token_in_the_query(guarded):
    async def status(token: str) -> int:
        url = f"{guarded.url}/api/events?token={token}"
        async with aiohttp.ClientSession() as http, http.get(url) as reply:
            return reply.status

    assert asyncio.run(status(TOKENS["watch"])) == 200
    assert asyncio.run(status(TOKENS["publish"])) == 401


async def publish(relay: RelayProcess, name: str) -> Publisher:
    return await enter(lambda: Publisher(f"{relay.url}/whip/{name}", moving()))


def test_oversized_bodies_are_refused_without_being_read(relay):
    head = b"POST /whip/big HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
    head += b"Connection: close\r\n"
    endless = head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 40
    replies = ask(
        relay,
        head + b"Content-Length: 999999999\r\n\r\n" + b"a" * 1000,
        head + b"Content-Length: 70000\r\n\r\n" + b"a" * 70_000,
        endless,
        request("PATCH", "/whip/big/x", b"a" * 70_000, Content_Type=FRAGMENT),
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    )
    assert [reply.status for reply in replies[:3]] == [413] * 3
    assert replies[3].status in (404, 413)
    assert {reply.status for reply in replies[4:]} <= {400, 431}
    assert all(reply.error and reply.seconds < 8 for reply in replies)


STATE_CHANGING = (
    ("POST", "/whip/x", WHIP, SDP),
    ("POST", "/whep/x", WHEP, SDP),
    ("PATCH", "/whip/x/y", b"", FRAGMENT),
    ("DELETE", "/whip/x/y", b"", ""),
    ("DELETE", "/api/streams/x", b"", ""),
    ("GET", "/api/events", b"", ""),
    ("GET", "/api/streams", b"", ""),
    ("GET", "/api/alerts", b"", ""),
    ("GET", "/api/ice", b"", ""),
    ("OPTIONS", "/whip/x", b"", ""),
)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1", "file://", "x"],
)
def test_scripts_of_other_sites_are_refused(relay, origin):
    raw = [
        request(method, path, body, Content_Type=kind, Origin=origin, Access_Control_Request_Method="POST")
        for method, path, body, kind in STATE_CHANGING
    ]
    for reply in ask(relay, *raw):
        assert reply.status == 403
        assert reply.error
        assert not any(name.startswith("access-control-") for name in reply.headers)


def test_other_names_for_this_machine_are_refused(relay):
    """A page of evil.example whose name now leads here (DNS rebinding) gets nothing."""
    names = ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", "[::2]", "192.168.0.1")
    raw = [request("GET", "/api/streams", Host=name, Origin=f"http://{name}") for name in names]
    assert [reply.status for reply in ask(relay, *raw)] == [403] * len(names)
    assert [r.status for r in ask(relay, *[request("GET", "/", Host=h) for h in ("", "[")])] == [400] * 2


def test_a_site_that_is_allowed_gets_its_own_name_only(relay):
    friend = {"Origin": "https://friend.example"}
    streams, preflight = ask(
        relay,
        request("GET", "/api/streams", **friend),
        request("OPTIONS", "/whip/x", Access_Control_Request_Method="POST", **friend),
    )
    assert streams.status == 200
    assert preflight.status == 204
    for reply in (streams, preflight):
        assert reply.headers["access-control-allow-origin"] == "https://friend.example"
        assert "access-control-allow-credentials" not in reply.headers
        assert "Origin" in reply.headers["vary"]


def test_security_headers_are_on_every_reply(relay):
    raw = [
        *(request("GET", path) for path in ("/", "/call", "/healthz", "/nothing")),
        *(request("GET", f"/api/{name}") for name in ("streams", "alerts", "ice")),
        request("PUT", "/whip/x"),
        request("POST", "/whip/x", b"x"),
        request("POST", "/whip/x", b"x", Content_Type=SDP),
        request("POST", "/whep/nobody", WHEP, Content_Type=SDP),
        request("DELETE", "/whip/x/y"),
        request("OPTIONS", "/whip/x"),
        request("GET", "/", Host="evil.example"),
        request("GET", "/", Expect="nonsense"),
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS where HTTP is spoken
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
    ]  # fmt: skip
    for reply in ask(relay, *raw):
        assert reply.status
        for name, value in SECURITY.items():
            assert reply.headers.get(name.lower()) == value, (reply, name)
    assert "unsafe" not in SECURITY["Content-Security-Policy"]
    assert SECURITY["Content-Security-Policy"].startswith("default-src 'self';")


def test_security_headers_are_on_the_stream_of_events_too(relay):
    async def run() -> dict[str, str]:
        async with aiohttp.ClientSession() as http, http.get(relay.url + "/api/events") as reply:
            return {name.lower(): value for name, value in reply.headers.items()}

    headers = asyncio.run(run())
    assert SECURITY.items() <= {name: headers.get(name.lower()) for name in SECURITY}.items()


def test_a_flood_of_connections_from_one_address_leaves_room_for_others(relay):
    async def run() -> None:
        kept = []
        try:
            for _ in range(PER_ADDRESS + 60):
                kept.append(
                    await asyncio.open_connection("127.0.0.1", relay.port, local_addr=("127.5.0.1", 0))
                )
            await asyncio.sleep(0.5)
            closed = sum(reader.at_eof() for reader, _ in kept)
            assert closed == 60
            reply = await send(relay.port, request("GET", "/healthz"), "127.5.0.2")
            assert reply.status == 200
            assert reply.seconds < 5
        finally:
            for _, writer in kept:
                writer.close()
        end = time.monotonic() + 5
        while (await send(relay.port, request("GET", "/healthz"), "127.5.0.1")).status != 200:
            assert time.monotonic() < end

    asyncio.run(run())


def test_guests_are_counted_out_again():
    guests = Guests(most=3, per_address=2)
    assert [guests.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert [guests.enter(f"10.0.0.{n}") for n in (2, 3)] == [True, False]
    guests.leave("10.0.0.1")
    assert guests.enter("10.0.0.3")
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        guests.leave(address)
    assert not guests._open


@pytest.mark.parametrize("body", [b"\x00" * 40, b"\xff" * 3, b"\x02short"], ids=len)
def test_a_publisher_whose_packets_are_nonsense_loses_its_own_session_only(relay, body):
    """Header extensions of a wrong length: what aiortc stumbles over inside its transport."""

    async def run() -> None:
        publisher = await publish(relay, f"nonsense{len(body)}")
        try:
            async with served(relay) as viewer:
                assert await poll(lambda: publisher.pc.connectionState == "connected", 10)
                transport = publisher.pc.getSenders()[0].transport
                for number in range(20):
                    extension = bytes([0x30 | (len(body) - 1) & 15]) + body
                    extension += b"\x00" * (-len(extension) % 4)
                    head = bytes([0x90, 97]) + number.to_bytes(2) + bytes(4) + b"abcd"
                    words = (len(extension) // 4).to_bytes(2)
                    for packet in (
                        head + b"\xbe\xde" + words + extension + body,
                        b"\x80\xc8\x00\x09" + body * 4,
                    ):
                        if transport.state == "connected":
                            await transport._send_rtp(packet)
                count = viewer.count
                assert await poll(lambda: viewer.count > count + 20, 10)
        finally:
            await publisher.close()

    asyncio.run(run())
    assert relay.troubles() == []


def datagram(chance: random.Random) -> bytes:
    """What a stranger may send to a port of media: nothing, noise, almost STUN, almost DTLS, almost RTP."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 0, 1, 2, 20, 1400)))
    if kind == 1:
        return (
            bytes([chance.choice((20, 21, 22, 23, 25))])
            + b"\xfe\xfd"
            + chance.randbytes(chance.randrange(60))
        )
    if kind == 2:
        return bytes([chance.choice((128, 144)), chance.randrange(256)]) + chance.randbytes(
            chance.randrange(200)
        )
    message = stun.Message(stun.Method.BINDING, chance.choice(list(stun.Class)))
    message.attributes |= {"USERNAME": "a:b" * chance.randrange(1, 40), "PRIORITY": chance.randrange(2**32)}
    data = bytearray(bytes(message))
    for _ in range(chance.randrange(6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])


def test_datagrams_of_strangers_touch_no_session(relay):
    """An empty datagram alone ends a session of plain aiortc."""

    async def run() -> None:
        chance = random.Random(3)
        async with served(relay) as viewer:
            found = re.findall(r"a=candidate:\S+ 1 udp \d+ ([0-9.]+) (\d+) typ host", viewer.answer)
            assert found
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for number in range(1500):
                    for address, port in set(found):
                        stranger.sendto(datagram(chance), (address, int(port)))
                    await asyncio.sleep(0.005 if number % 50 == 0 else 0)
            count = viewer.count
            assert await poll(lambda: viewer.count > count + 20, 10)
            assert viewer.pc.connectionState == "connected"

    asyncio.run(run())
    assert relay.troubles() == []


def test_what_was_published_is_told_as_json_only(relay):
    (reply,) = ask(relay, request("GET", "/api/streams"))
    assert reply.headers["content-type"].startswith("application/json")
    document = json.loads(reply.body)
    assert document["schema"] == 1
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", row["name"]) for row in document["streams"])


async def slow_head(relay: RelayProcess, address: str) -> float:
    """A client that sends a byte of its head now and then. Returns how long it is borne."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, local_addr=(address, 0))
    begin = time.monotonic()
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        while time.monotonic() - begin < 25:
            writer.write(b"a")
            try:
                if await asyncio.wait_for(reader.read(1), 0.7) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    finally:
        writer.close()
    return time.monotonic() - begin


async def slow_body(relay: RelayProcess, address: str) -> Reply:
    """A client that promises a body and never sends it whole."""
    head = request("POST", "/whip/slow", WHIP, Content_Type=SDP)
    return await send(relay.port, head[:-200], address, timeout=25)


async def half_open(relay: RelayProcess) -> Counter[int]:
    """A hundred offers from a hundred addresses that nobody means. Returns the statuses."""
    statuses: Counter[int] = Counter()
    for number in range(100):
        raw = request("POST", "/whep/studio", WHEP, Content_Type=SDP)
        reply = await send(relay.port, raw, f"127.1.{number}.1")
        statuses[reply.status] += 1
        if reply.status != 201:
            assert reply.error
            assert reply.headers["retry-after"]
    return statuses


async def rows(relay: RelayProcess) -> dict[str, dict]:
    """The streams by name."""
    async with aiohttp.ClientSession() as http, http.get(relay.url + "/api/streams") as reply:
        return {row["name"]: row for row in (await reply.json())["streams"]}


async def holds(relay: RelayProcess, check: Callable[[dict], bool], seconds: float) -> bool:
    """Whether something comes to hold of the streams in time."""
    end = time.monotonic() + seconds
    while not (found := check(await rows(relay))) and time.monotonic() < end:
        await asyncio.sleep(0.2)
    return found


async def falls_silent(relay: RelayProcess, silent: Publisher) -> bool:
    """A publisher whose camera stops, and who stays. Whether it is told within 8 s."""
    silent.camera._rate = 1e-6
    return await holds(relay, lambda streams: not streams["silent"]["connected"], 8)


async def vanishes(relay: RelayProcess, gone: Publisher) -> bool:
    """A publisher whose cable is cut. Whether its stream has ended within 12 s."""
    await gone.vanish()
    return await holds(relay, lambda streams: "gone" not in streams, 12)


def test_slow_silent_vanished_and_half_open_clients_end_and_disturb_nobody(relay):
    async def run() -> None:
        others = [await publish(relay, name) for name in ("silent", "gone")]
        try:
            async with served(relay) as viewer:
                assert await holds(relay, lambda r: r["silent"]["connected"] and r["gone"]["connected"], 15)
                calm, siege = Watch(), Watch()
                seen = asyncio.ensure_future(watch(viewer, calm))
                await asyncio.sleep(2)
                seen.cancel()
                seen = asyncio.ensure_future(watch(viewer, siege))
                await besiege(*others)
                seen.cancel()
                assert siege.rate > 0.6 * calm.rate, (calm, siege)
                assert siege.gap < calm.gap + 2
                assert (await rows(relay))["studio"]["connected"]
        finally:
            await asyncio.gather(*(other.close() for other in others))
        # Those who never came have made room by now.
        raw = request("POST", "/whip/late", WHIP, Content_Type=SDP)
        end = time.monotonic() + 12
        while (reply := await send(relay.port, raw, "127.3.0.1")).status == 503:
            assert time.monotonic() < end
            await asyncio.sleep(0.5)
        assert reply.status == 201

    async def besiege(silent: Publisher, gone: Publisher) -> None:
        heads = [slow_head(relay, f"127.2.0.{n}") for n in range(1, 31)]
        bodies = [slow_body(relay, f"127.2.1.{n}") for n in range(1, 11)]
        tricks = (falls_silent(relay, silent), vanishes(relay, gone), half_open(relay))
        *times, noticed, missed, statuses = await asyncio.gather(*heads, *bodies, *tricks)
        assert all(5 < each < 20 for each in times[:30]), times[:30]
        assert {reply.status for reply in times[30:]} == {408}
        assert noticed
        assert missed
        assert statuses[503] == 100 - statuses[201]
        assert 1 <= statuses[201] <= Bounds().half_open

    asyncio.run(run())


def test_one_address_cannot_take_all_half_open_places(relay):
    raw = request("POST", "/whip/{}", WHIP, Content_Type=SDP)
    replies = ask(relay, *[raw.replace(b"{}", b"h%d" % n) for n in range(20)], address="127.4.0.1")
    assert {reply.status for reply in replies} <= {201, 429, 503}
    assert replies[-1].status in (429, 503)
