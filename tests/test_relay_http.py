"""The relay's HTTP resources and its command: RFC 9725's statuses, roles, ICE servers, HTTPS, `--serve`."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest

from stream.cli import main
from stream.errors import ConfigError
from stream.networks import open_networks
from stream.relay.access import Role
from stream.relay.ice import IceServers
from stream.relay.limits import Bounds
from stream.relay.settings import RelaySettings, relay_settings
from tests import clips
from tests.relay_peers import Publisher, Relay, Viewer, closing
from tests.test_cli import ENVIRONMENT

OFFER = (Path(__file__).parent / "offers" / "chromium_whip.sdp").read_bytes()
WATCH_OFFER = (Path(__file__).parent / "offers" / "chromium_whep.sdp").read_bytes()
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
TOKENS = {role: f"{role.value}-token-0123456789" for role in Role}


@pytest.fixture(scope="module")
def networks():
    return open_networks("detector", ("CPUExecutionProvider",), 1, 60)


async def ask(method: str, url: str, **more) -> tuple[int, dict, str]:
    async with aiohttp.ClientSession() as http, http.request(method, url, **more) as reply:
        return reply.status, reply.headers.copy(), await reply.text()


def test_a_session_is_a_resource(networks):
    async def scenario():
        ice = IceServers(("stun:stun.invalid", "turn:turn.invalid?transport=udp"), "s3cret")
        async with Relay(networks, ice=ice) as relay:
            relay.registry.ice = _Told(ice)
            status, headers, answer = await ask("POST", f"{relay.url}/whip/a.b-c_1", data=OFFER, headers=SDP)
            assert status == 201
            assert headers["Content-Type"].startswith("application/sdp")
            assert re.fullmatch(r"/whip/a\.b-c_1/[A-Za-z0-9_-]{16,}", headers["Location"])
            assert "x-google-start-bitrate=" in answer
            links = headers.getall("Link")
            assert links[0] == '<stun:stun.invalid>; rel="ice-server"'
            assert links[1].startswith('<turn:turn.invalid?transport=udp>; rel="ice-server"; username="')
            session = relay.url + headers["Location"]
            ufrag = re.search(r"a=ice-ufrag:\S+", OFFER.decode())[0]
            password = re.search(r"a=ice-pwd:\S+", OFFER.decode())[0]
            candidate = "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\r\na=end-of-candidates\r\n"
            body = f"{ufrag}\r\n{password}\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n{candidate}"
            match = {"If-Match": headers["ETag"]}
            assert (await ask("PATCH", session, data=body, headers=FRAGMENT | match))[0] == 204
            assert (await ask("PATCH", session, data=body, headers=FRAGMENT))[0] == 204
            assert (await ask("PATCH", session, data=body, headers=FRAGMENT | {"If-Match": '"x"'}))[0] == 412
            assert (await ask("PATCH", session, data=body, headers=FRAGMENT | {"If-Match": "*"}))[0] == 422
            other = body.replace(ufrag, "a=ice-ufrag:abcd")
            assert (await ask("PATCH", session, data=other, headers=FRAGMENT))[0] == 422
            assert (await ask("PATCH", session, data=body, headers=SDP))[0] == 415
            for method in ("GET", "PUT", "POST"):
                assert (await ask(method, session))[0] == 405
            elsewhere = session.replace("/whip/", "/whep/")
            assert (await ask("DELETE", elsewhere))[0] == 404
            assert (await ask("DELETE", session))[0] == 200
            assert (await ask("DELETE", session))[0] == 404
            assert (await ask("PATCH", session, data=body, headers=FRAGMENT))[0] == 404
            assert relay.registry.sessions == relay.registry.channels == {}

    asyncio.run(scenario())


class _Told:
    """ICE servers for clients alone."""

    def __init__(self, ice: IceServers) -> None:
        self.links = ice.links
        self.own = lambda now: []


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("OPTIONS", "/whip/a", {}, 204),
        ("GET", "/whip/a", {}, 405),
        ("POST", "/whip/a", {"data": OFFER}, 415),
        ("POST", "/whip/a", {"data": OFFER, "headers": {"Content-Type": "application/json"}}, 415),
        ("POST", "/whip/a", {"data": b"v=0\r\n" + b"a=x\r\n" * 20_000, "headers": SDP}, 413),
        ("POST", "/whip/a", {"data": b"nonsense", "headers": SDP}, 400),
        ("POST", "/whip/a", {"data": b"", "headers": SDP}, 400),
        ("POST", "/whip/a", {"data": WATCH_OFFER, "headers": SDP}, 422),
        ("POST", "/whip/a%2Fb", {"data": OFFER, "headers": SDP}, 404),
        ("POST", "/whip/" + "a" * 65, {"data": OFFER, "headers": SDP}, 404),
        ("POST", "/whep/a", {"data": WATCH_OFFER, "headers": SDP}, 404),
        ("POST", "/whep/a?picture=other", {"data": WATCH_OFFER, "headers": SDP}, 400),
        ("DELETE", "/whip/a/unknown", {}, 404),
        ("DELETE", "/api/streams/a", {}, 404),
        ("GET", "/assets/..%2Fapp.py", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("GET", "/healthz", {}, 200),
        ("GET", "/api/streams", {"headers": {"Host": "evil.example"}}, 403),
        ("GET", "/api/streams", {"headers": {"Origin": "https://evil.example"}}, 403),
        ("POST", "/whip/a", {"data": OFFER, "headers": SDP | {"Origin": "null"}}, 403),
    ],
)
def test_each_wrong_request_has_its_status(networks, method, path, more, status):
    async def scenario():
        async with Relay(networks) as relay:
            got, headers, text = await ask(method, relay.url + path, **more)
            assert got == status, text
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in headers
            if status >= 400:
                assert list(json.loads(text)) == ["error"]
                assert "\n" not in json.loads(text)["error"]
            if method == "OPTIONS":
                assert headers["Accept-Post"] == "application/sdp"

    asyncio.run(scenario())


def test_each_role_may_do_its_own(networks):
    async def scenario():
        async with Relay(networks, tokens=TOKENS) as relay:
            pages = [
                ("POST", "/whip/a", {Role.PUBLISH, Role.ADMIN}),
                ("POST", "/whep/a", {Role.WATCH, Role.ADMIN}),
                ("GET", "/api/streams", {Role.WATCH, Role.ADMIN}),
                ("GET", "/api/alerts", {Role.WATCH, Role.ADMIN}),
                ("GET", "/api/ice", {Role.WATCH, Role.PUBLISH, Role.ADMIN}),
                ("DELETE", "/api/streams/a", {Role.ADMIN}),
                ("DELETE", "/whip/a/x", {Role.PUBLISH, Role.ADMIN}),
            ]
            for method, path, allowed in pages:
                for role, token in [*TOKENS.items(), (None, "wrong-token-0123456789"), (None, None)]:
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    status, got, _ = await ask(method, relay.url + path, headers=headers)
                    assert (status != 401) == (role in allowed), (method, path, role)
                    assert ("WWW-Authenticate" in got) == (status == 401)
            publisher = Publisher(f"{relay.url}/whip/a", clips.numbered(9000), token=TOKENS[Role.PUBLISH])
            assert await publisher.connect() == 201
            viewer = Viewer(f"{relay.url}/whep/a", token=TOKENS[Role.WATCH])
            async with closing(publisher, viewer):
                assert await viewer.connect() == 201
                await viewer.until(3)
                admin = {"Authorization": f"Bearer {TOKENS[Role.ADMIN]}"}
                assert (await ask("DELETE", f"{relay.url}/api/streams/a", headers=admin))[0] == 204
                assert relay.registry.channels == {}

    asyncio.run(scenario())


def test_events_tell_of_streams_and_take_the_token_in_the_url(networks):
    async def scenario():
        async with Relay(networks, tokens=TOKENS) as relay:
            assert (await ask("GET", f"{relay.url}/api/events"))[0] == 401
            assert (await ask("GET", f"{relay.url}/api/streams?token={TOKENS[Role.WATCH]}"))[0] == 401
            async with aiohttp.ClientSession() as http:
                url = f"{relay.url}/api/events?stream=a&token={TOKENS[Role.WATCH]}"
                async with http.get(url, timeout=aiohttp.ClientTimeout(sock_read=20)) as reply:
                    assert reply.status == 200
                    assert reply.headers["Content-Type"].startswith("text/event-stream")
                    publisher = Publisher(
                        f"{relay.url}/whip/a", clips.portraits(9000), token=TOKENS[Role.PUBLISH]
                    )
                    assert await publisher.connect() == 201
                    seen, text = set(), ""
                    async with closing(publisher), asyncio.timeout(15):
                        while not {"live", "scores", "ended"} <= seen:
                            text += (await reply.content.readany()).decode()
                            *whole, text = text.split("\n\n")
                            for block in whole:
                                if not block.startswith(":"):
                                    fields = dict(line.split(": ", 1) for line in block.splitlines())
                                    message = json.loads(fields["data"])
                                    assert message["type"] == fields["event"]
                                    assert (message["schema"], message["stream"]) == (1, "a")
                                    assert fields["id"].isdigit()
                                    seen |= {message.get("event"), message["type"]}
                            if "scores" in seen and "ended" not in seen and publisher.session_url:
                                await publisher.delete()
                                publisher.session_url = ""

    asyncio.run(scenario())


def test_only_named_sites_may_use_it(networks):
    async def scenario():
        async with Relay(networks, origins=("https://calls.example",)) as relay:
            ours, theirs = {"Origin": "https://calls.example"}, {"Origin": "https://evil.example"}
            status, headers, _ = await ask("GET", f"{relay.url}/api/streams", headers=ours)
            assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://calls.example")
            status, headers, _ = await ask("OPTIONS", f"{relay.url}/whip/a", headers=ours)
            assert status == 204
            assert "PATCH" in headers["Access-Control-Allow-Methods"]
            assert (await ask("OPTIONS", f"{relay.url}/whip/a", headers=theirs))[0] == 403
            same = {"Origin": relay.url}
            assert (await ask("GET", f"{relay.url}/api/streams", headers=same))[0] == 200

    asyncio.run(scenario())


def test_half_open_sessions_are_bounded_and_given_up(networks):
    async def scenario():
        bounds = Bounds(half_open_per_address=5, half_open_seconds=1.0, rate=1000, burst=1000)
        async with Relay(networks, bounds=bounds) as relay:
            publisher = await relay.publish("live", clips.numbered(9000))
            viewer = await relay.watch("live")
            async with closing(publisher, viewer):
                statuses = []
                for number in range(12):
                    reply = await ask("POST", f"{relay.url}/whip/h{number}", data=OFFER, headers=SDP)
                    statuses.append(reply[0])
                assert statuses == [201] * 5 + [429] * 7
                async with asyncio.timeout(8):
                    while len(relay.registry.channels) > 1:
                        await asyncio.sleep(0.1)
                await viewer.until(3)

    asyncio.run(scenario())


def test_a_stun_server_that_is_silent_does_not_hold_a_session_up(networks):
    async def scenario():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            ice = IceServers((f"stun:127.0.0.1:{silent.getsockname()[1]}",))
            async with Relay(networks, ice=ice) as relay:
                begin = time.monotonic()
                publisher = await relay.publish("a", clips.numbered(9000))
                assert time.monotonic() - begin < 4
                assert silent.recv(2000)[4:8] == bytes.fromhex(
                    "2112a442"
                )  # it was asked: STUN's magic cookie
                await publisher.close()

    asyncio.run(scenario())


def test_turn_credentials_are_those_that_coturn_makes():
    ice = IceServers(("turns:turn.example:5349?transport=tcp", "stun:stun.example"), "north", 600)
    turn, stun = ice.servers(now=1_700_000_000)
    assert stun == {"urls": "stun:stun.example"}
    assert turn["username"] == "1700000600:facewitness"
    expected = hmac.new(b"north", b"1700000600:facewitness", hashlib.sha1).digest()
    assert turn["credential"] == base64.b64encode(expected).decode()
    assert "north" not in repr(ice)
    assert IceServers().own(0.0) == []  # None would mean Google's


def test_what_cannot_be_is_told_in_one_line(tmp_path, capsys):
    short = tmp_path / "short"
    short.write_text("abc\n")
    good = tmp_path / "good"
    good.write_text(TOKENS[Role.WATCH] + "\n")
    cases = [
        (["--host", "0.0.0.0"], "token"),
        (["--host", "::"], "token"),
        (["--host", "0.0.0.0", "--watch-token-file", str(good)], "--cert"),
        (["--port", "70000"], "65535"),
        (["--cert", "x.pem"], "--key"),
        (["--cert", "x.pem", "--key", "y.pem"], "No such file"),
        (["--ice-server", "http://x"], "stun:"),
        (["--ice-server", "turn:turn.example"], "--turn-secret-file"),
        (["--publish-token-file", str(short)], "characters"),
        (["--push", "gopher://x"], "push"),
        (["--alert", "pigeon:home"], "pigeon"),
        (["--config", str(tmp_path / "none.toml")], "No such file"),
        (
            ["--expect", "desk=nobody", "--enrolled", str(tmp_path / "people.json")],
            "nobody is enrolled as nobody",
        ),
    ]
    for words, says in cases:
        assert main(["relay", "--provider", "cpu", *words]) in (2, 33), words
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("facewitness: ")
        assert says in error, error


def test_flags_win_over_the_file(tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text('port = 9000\nice-server = ["stun:a.example"]\nmax-viewers = 3\n')
    settings = relay_settings({"port": 9001}, str(file))
    assert settings == RelaySettings(port=9001, ice_server=("stun:a.example",), max_viewers=3)
    file.write_text('expect = ["desk=anna", "call.ben=Ben Tall"]\n')
    assert relay_settings({}, str(file)).expect == (("desk", "anna"), ("call.ben", "Ben Tall"))
    assert relay_settings({"expect": (("desk", "x=y"),)}, None).expect == (("desk", "x=y"),)
    with pytest.raises(ConfigError, match="two people are expected in desk"):
        relay_settings({"expect": (("desk", "anna"), ("desk", "ben"))}, None)
    file.write_text('expect = "anna"\n')
    with pytest.raises(ConfigError, match="STREAM=NAME"):
        relay_settings({}, str(file))
    file.write_text("source = 'demo'\n")
    with pytest.raises(ConfigError, match="unknown key 'source'"):
        relay_settings({}, str(file))


@contextlib.contextmanager
def command(*words: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The real command; its process, and the address that it tells."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream.cli", *words], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"https?://\S+", line):
                yield process, found[0].rstrip("/")
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.kill()
        process.communicate()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its P-256 key, as PEM files."""
    from aiortc import RTCCertificate
    from cryptography.hazmat.primitives import serialization

    made = RTCCertificate.generateCertificate()
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made._cert.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        made._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, key


def test_the_command_serves_https_beyond_loopback_with_tokens(tmp_path):
    cert, key = make_certificate(tmp_path)
    for role in ("publish", "watch"):
        (tmp_path / role).write_text(TOKENS[Role(role)] + "\n")
    words = ["relay", "--host", "0.0.0.0", "--port", "0", "--provider", "cpu", "--quiet"]
    words += ["--cert", str(cert), "--key", str(key), "--publish-token-file", str(tmp_path / "publish")]
    with command(*words, "--watch-token-file", str(tmp_path / "watch")) as (process, url):
        assert url.startswith("https://")
        url = url.replace("0.0.0.0", "127.0.0.1")

        async def scenario():
            blind = ssl.create_default_context()
            blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
            assert (await ask("GET", f"{url}/healthz", ssl=blind))[0] == 200
            assert (await ask("GET", f"{url}/api/streams", ssl=blind))[0] == 401
            token = {"Authorization": f"Bearer {TOKENS[Role.WATCH]}"}
            status, _, text = await ask("GET", f"{url}/api/streams", ssl=blind, headers=token)
            assert (status, json.loads(text)) == (200, {"schema": 1, "streams": []})

        asyncio.run(scenario())
        process.terminate()
        assert process.wait(15) == 143


def test_the_command_pushes_the_painted_picture_on():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    got: list[np.ndarray] = []

    def receive() -> None:
        with av.open(f"tcp://127.0.0.1:{port}?listen=1&listen_timeout=20000", format="mpegts") as container:
            for frame in container.decode(video=0):
                got.append(frame.to_ndarray(format="bgr24"))
                if len(got) == 10:
                    return

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    words = [
        "relay",
        "--port",
        "0",
        "--provider",
        "cpu",
        "--quiet",
        "--push",
        f"tcp://127.0.0.1:{port}?n={{name}}",
    ]
    with command(*words) as (_, url):

        async def scenario():
            still = clips.portrait(640, 480)
            publisher = Publisher(f"{url}/whip/a", iter([still]))
            assert await publisher.connect() == 201
            async with closing(publisher):
                await asyncio.to_thread(receiver.join, 20)
                banner, below = np.s_[4:30, 6:90], np.s_[300:420, 540:620]
                assert len(got) == 10
                assert np.abs(got[-1][banner].astype(int) - still[banner]).mean() > 30
                assert np.abs(got[-1][below].astype(int) - still[below]).mean() < 10

        asyncio.run(scenario())


def test_watch_shows_its_source_on_a_page(tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.portraits(900, step=0), gop=15)
    words = ["watch", str(clip), "--realtime", "--serve", ":0", "--provider", "cpu", "--quiet"]
    with command(*words) as (process, url):

        async def scenario():
            rows = []
            async with asyncio.timeout(20):
                while not (rows and rows[0]["connected"] and rows[0]["tracks"]):
                    rows = json.loads((await ask("GET", f"{url}/api/streams"))[2])["streams"]
                    await asyncio.sleep(0.2)
            (row,) = rows
            assert row["source"] == str(clip)
            plain = Viewer(f"{url}/whep/{row['name']}?picture=plain")
            annotated = Viewer(f"{url}/whep/{row['name']}")
            assert (await plain.connect(), await annotated.connect()) == (201, 201)
            async with closing(plain, annotated):
                a, b = await plain.until(8), await annotated.until(8)
                banner = np.s_[4:18, 6:60]
                assert np.abs(a[banner].astype(int) - b[banner]).mean() > 20
                assert any(message["type"] == "scores" for message in annotated.messages)
            assert (await ask("POST", f"{url}/whip/x", data=OFFER, headers=SDP))[0] == 403

        asyncio.run(scenario())
        begin = time.monotonic()
        process.terminate()
        assert process.wait(15) == 143
        assert time.monotonic() - begin < 10


def test_a_port_that_is_taken_is_told(tmp_path):
    with command("watch", "demo", "--serve", ":0", "--provider", "cpu", "--quiet") as (_, url):
        port = url.rpartition(":")[2]
        assert main(["watch", "demo", "--serve", f":{port}", "--provider", "cpu", "--quiet"]) == 33
        assert main(["relay", "--port", port, "--provider", "cpu", "--quiet"]) == 33
