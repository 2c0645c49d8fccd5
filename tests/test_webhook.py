import contextlib
import datetime
import hashlib
import hmac
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import ConfigError, OutputError
from stream.sinks import Dispatcher, SinkOptions, open_sink, to_json
from stream.sinks.post import LONGEST, retry_after, sign, taken
from stream.sinks.spool import REJECTED, Spool
from stream.values import Alert, Phase

ROOT = Path(__file__).parent.parent
SECRET = "hunter2-hunter2"


def alert(phase: Phase = Phase.OPENED, number: int = 1) -> Alert:
    return Alert(f"tür 1/{number}", phase, "demo", 1, 8.2, 12.4, 0.97, 0.91, "meso 1", "2026-11-20T10:00:00Z")


class Receiver:
    """A real HTTP server that notes what it gets; `answers` are given in turn, the last one for ever."""

    def __init__(self, *answers: int, headers: dict | None = None, delay: float = 0.0, port: int = 0) -> None:
        self.posts: list[tuple[dict, bytes]] = []
        self.paths: list[str] = []
        self.answers, self.extra, self.delay = list(answers or (204,)), headers or {}, delay
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                receiver.posts.append((dict(self.headers), body))
                time.sleep(receiver.delay)
                answers = receiver.answers
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                for name, value in receiver.extra.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def events(self) -> list[dict]:
        return [json.loads(body) for _, body in self.posts]


def options(folder: Path, **more: object) -> SinkOptions:
    fast = {"retry_first": 0.02, "retry_most": 0.1, "timeout": 2.0, "flush": 1.0, **more}
    return SinkOptions(spool_dir=folder, **fast)


def wait_for(what: Callable[[], object], timeout: float = 10.0) -> None:
    until = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def spooled(folder: Path) -> list[Path]:
    return sorted(folder.glob("webhook-*/*.json"))


# The POST


def test_a_post_carries_the_event_its_schema_and_a_signature_that_verifies(tmp_path):
    with Receiver() as receiver:
        url = f"http://user:p%40ss-word@127.0.0.1:{receiver.port}/in?team=3"
        sink = open_sink(url, options(tmp_path, hmac_secret=SECRET))
        sink.send(alert())
        wait_for(lambda: receiver.posts)
        sink.close()
    headers, body = receiver.posts[0]
    assert json.loads(body) == to_json(alert())
    assert receiver.paths == ["/in?team=3"]
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Facewitness-Schema"] == "1"
    assert abs(int(headers["X-Facewitness-Timestamp"]) - time.time()) < 30
    signed = headers["X-Facewitness-Timestamp"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Facewitness-Signature"] == f"sha256={expected}"
    assert headers["Authorization"] == "Basic dXNlcjpwQHNzLXdvcmQ="
    assert headers["Idempotency-Key"].startswith("t%C3%BCr%201%2F1-opened-")
    assert spooled(tmp_path) == []


def test_without_a_secret_there_is_no_signature(tmp_path):
    with Receiver() as receiver:
        sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
        sink.send(alert())
        sink.close()
    assert "X-Facewitness-Signature" not in receiver.posts[0][0]


@given(st.text(min_size=1).filter(lambda s: s.isprintable()), st.integers(0, 2**40), st.binary())
def test_signature_covers_secret_time_and_body(secret, timestamp, body):
    signature = sign(secret, str(timestamp), body)
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    assert signature == f"sha256={mac.hexdigest()}"
    assert signature != sign(secret, str(timestamp + 1), body)
    assert signature != sign(secret, str(timestamp), body + b"x")
    assert signature != sign(secret + "x", str(timestamp), body)


@given(st.integers(100, 599))
def test_every_status_is_taken_refused_or_tried_again(status):
    again = status in (408, 425, 429) or not 200 <= status < 500 or 300 <= status < 400
    assert taken(status) is (None if again else status < 300)


@given(st.one_of(st.none(), st.text(max_size=30), st.integers().map(str), st.floats().map(str)))
def test_retry_after_is_always_a_sane_wait(header):
    assert 0 <= retry_after(header, time.time()) <= LONGEST


def test_retry_after_reads_seconds_and_dates():
    now = 1_800_000_000.0
    assert retry_after("7", now) == 7
    assert retry_after(formatdate(now + 90, usegmt=True), now) == 90
    assert retry_after(formatdate(now - 90, usegmt=True), now) == 0
    assert retry_after("soon", now) == 0


# Receivers that fail


def test_a_dead_receiver_gets_all_events_in_order_once_it_is_back(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    port = free_port()
    sink = open_sink(f"http://user:{SECRET}@127.0.0.1:{port}/secret-path", options(tmp_path))
    for number in range(5):
        sink.send(alert(number=number))
    wait_for(lambda: "does not take alerts" in caplog.text)
    time.sleep(0.3)
    assert len(spooled(tmp_path)) == 5
    with Receiver(port=port) as receiver:
        wait_for(lambda: len(receiver.posts) == 5)
        sink.close()
    assert [e["id"] for e in receiver.events] == [f"tür 1/{n}" for n in range(5)]
    assert sink.delivered == 5
    assert "takes alerts again" in caplog.text
    assert caplog.text.count("does not take alerts") == 1, "one line, not one a try"
    assert SECRET not in caplog.text
    assert "secret-path" not in caplog.text


def test_server_errors_are_tried_again_with_the_same_key(tmp_path):
    with Receiver(500, 503, 429, 408, 204) as receiver:
        sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
        sink.send(alert(number=1))
        sink.send(alert(number=2))
        wait_for(lambda: len(receiver.posts) == 6)
        sink.close()
    assert [e["id"][-1] for e in receiver.events] == list("111112")
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.posts]
    assert len(set(keys[:5])) == 1
    assert keys[5] != keys[4]


def test_refused_for_good_is_put_aside_and_the_next_one_goes(tmp_path, caplog):
    with Receiver(410, 204) as receiver:
        sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
        sink.send(alert(number=1))
        sink.send(alert(number=2))
        wait_for(lambda: sink.delivered == 1)
        sink.close()
    assert (sink.rejected, spooled(tmp_path)) == (1, [])
    aside = list(tmp_path.glob("webhook-*/rejected/*.json"))
    assert json.loads(aside[0].read_bytes()) == to_json(alert(number=1))
    assert "HTTP 410" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(tmp_path, status, caplog):
    with Receiver() as elsewhere:
        there = {"Location": f"http://127.0.0.1:{elsewhere.port}/"}
        with Receiver(status, headers=there) as receiver:
            sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
            sink.send(alert())
            wait_for(lambda: len(receiver.posts) >= 2)
            sink.close()
    assert elsewhere.posts == []
    assert len(spooled(tmp_path)) == 1
    assert "redirects are not followed" in caplog.text


def test_retry_after_is_honoured(tmp_path):
    with Receiver(503, 204, headers={"Retry-After": "1"}) as receiver:
        sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
        begin = time.monotonic()
        sink.send(alert())
        wait_for(lambda: len(receiver.posts) == 2)
        assert time.monotonic() - begin >= 1.0
        sink.close()


def test_a_slow_receiver_slows_nobody_and_close_is_bounded(tmp_path):
    class Other:
        got = 0

        def send(self, event: Alert) -> None:
            self.got += 1

        def close(self) -> None: ...

    with Receiver(delay=30.0) as receiver:
        other = Other()
        hook = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path, timeout=0.5, flush=0.5))
        dispatcher = Dispatcher([hook, other])
        begin = time.monotonic()
        for number in range(100):
            dispatcher.submit(alert(number=number))
        assert time.monotonic() - begin < 0.2
        wait_for(lambda: other.got == 100)
        wait_for(lambda: dispatcher.counts()[0].sent == 100)
        begin = time.monotonic()
        dispatcher.close()
        assert time.monotonic() - begin < 4
    assert len(spooled(tmp_path)) == 100, "nothing is lost: all wait on disk"


def test_a_receiver_that_drips_for_ever_is_cut_off(tmp_path, caplog):
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        with listener, listener.accept()[0] as peer, contextlib.suppress(OSError):
            while not ended.wait(0.1):
                peer.sendall(b"H")

    threading.Thread(target=drip, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    sink = open_sink(url, options(tmp_path, timeout=0.5, flush=0.2))
    sink.send(alert())
    wait_for(lambda: "does not take alerts" in caplog.text, 5)
    ended.set()
    sink.close()
    assert len(spooled(tmp_path)) == 1


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_a_receiver_that_speaks_no_http(tmp_path, garbage, caplog):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                with listener.accept()[0] as peer:
                    peer.recv(65536)
                    peer.sendall(garbage)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    sink = open_sink(f"http://127.0.0.1:{listener.getsockname()[1]}/", options(tmp_path))
    sink.send(alert())
    wait_for(lambda: "does not take alerts" in caplog.text)
    sink.close()
    listener.close()
    assert len(spooled(tmp_path)) == 1


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def secure(receiver: Receiver, certificate: tuple[Path, Path]) -> Receiver:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return receiver


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path, certificate, caplog):
    with secure(Receiver(), certificate) as receiver:
        sink = open_sink(f"https://localhost:{receiver.port}/", options(tmp_path))
        sink.send(alert())
        wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        sink.close()
    assert receiver.posts == []
    assert len(spooled(tmp_path)) == 1


def test_a_certificate_of_our_own_authority_is_taken(tmp_path, certificate):
    with secure(Receiver(), certificate) as receiver:
        url = f"https://localhost:{receiver.port}/"
        sink = open_sink(url, options(tmp_path, ca_file=certificate[0], hmac_secret=SECRET))
        sink.send(alert())
        wait_for(lambda: receiver.posts)
        sink.close()
    assert receiver.events == [to_json(alert())]


# The queue on disk

SENDER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from stream.sinks import Dispatcher, SinkOptions, open_sink
from stream.values import Alert, Phase
sink = open_sink({url!r}, SinkOptions(spool_dir=Path({folder!r}), retry_first=0.05, retry_most=0.2))
dispatcher = Dispatcher([sink])
for number in range(20):
    dispatcher.submit(Alert(f"a-{{number}}", Phase.OPENED, "demo", 1, 1.0, 2.0, 0.9, 0.8, "m 1", ""))
while dispatcher.counts()[0].sent < 20:
    time.sleep(0.01)
print("all in", flush=True)
time.sleep(60)
"""


def test_alerts_survive_a_killed_program_and_go_first_with_the_next_start(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    code = SENDER.format(root=str(ROOT), url=url, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "all in\n"
        program.send_signal(signal.SIGKILL)
    assert len(spooled(tmp_path)) == 20
    with Receiver(port=port) as receiver:
        sink = open_sink(url, options(tmp_path))
        sink.send(alert(number=99))
        wait_for(lambda: len(receiver.posts) == 21)
        sink.close()
    assert [e["id"] for e in receiver.events] == [f"a-{n}" for n in range(20)] + ["tür 1/99"]
    assert "20 alert events wait from before" in caplog.text


def test_two_programs_do_not_send_the_same_event_twice(tmp_path):
    """The one that holds the lock delivers for both; when it ends, the other takes over."""
    with Receiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        one = open_sink(url, options(tmp_path))
        wait_for(lambda: one._spool._lock is not None)
        two = open_sink(url, options(tmp_path))
        for number in range(20):
            (one, two)[number % 2].send(alert(number=number))
        wait_for(lambda: len(receiver.posts) == 20)
        one.close()
        two.send(alert(number=20))
        wait_for(lambda: len(receiver.posts) == 21)
        two.close()
        assert sorted(int(e["id"][6:]) for e in receiver.events) == list(range(21))
        assert two.delivered == 1


def test_receivers_have_queues_apart(tmp_path):
    port = free_port()
    for path in ("a", "b"):
        sink = open_sink(f"http://127.0.0.1:{port}/{path}", options(tmp_path))
        sink.send(alert())
        sink.close()
    assert len(list(tmp_path.glob("webhook-*"))) == 2


def test_a_new_password_finds_the_old_queue(tmp_path):
    port = free_port()
    for word in ("old-word", "new-word"):
        sink = open_sink(f"http://u:{word}@127.0.0.1:{port}/", options(tmp_path))
        sink.send(alert())
        sink.close()
    assert len(list(tmp_path.glob("webhook-*"))) == 1


def test_a_full_queue_is_logged_and_counted(tmp_path, caplog):
    sink = open_sink(f"http://127.0.0.1:{free_port()}/", options(tmp_path, spool_events=3))
    for number in range(5):
        sink.send(alert(number=number))
    sink.close()
    assert sink.dropped == 2
    assert "2 events lost so far" in caplog.text
    assert [json.loads(p.read_bytes())["id"][-1] for p in spooled(tmp_path)] == list("234")


def test_a_damaged_file_is_put_aside(tmp_path, caplog):
    port = free_port()
    sink = open_sink(f"http://127.0.0.1:{port}/", options(tmp_path))
    sink.send(alert(number=1))
    sink.close()
    spooled(tmp_path)[0].write_bytes(b'{"id": ')
    with Receiver(port=port) as receiver:
        sink = open_sink(f"http://127.0.0.1:{port}/", options(tmp_path))
        sink.send(alert(number=2))
        wait_for(lambda: receiver.posts)
        sink.close()
    assert receiver.events == [to_json(alert(number=2))]
    assert "damaged" in caplog.text


def test_a_lost_disk_does_not_lose_the_alert(tmp_path, caplog):
    with Receiver(204, 500) as receiver:
        sink = open_sink(f"http://127.0.0.1:{receiver.port}/", options(tmp_path))
        folder = next(tmp_path.glob("webhook-*"))
        folder.rename(tmp_path / "gone")
        sink.send(alert())
        assert receiver.events == [to_json(alert())]
        assert "not kept on disk" in caplog.text
        with pytest.raises(OSError, match="not delivered"):
            sink.send(alert())
        (tmp_path / "gone").rename(folder)
        sink.close()


@settings(max_examples=30, deadline=None)
@given(
    phases=st.lists(st.sampled_from(Phase), max_size=20),
    events=st.integers(1, 8),
    size=st.integers(20, 200),
)
def test_spool_bounds_hold_order_and_spare_openings(tmp_path_factory, phases, events, size):
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, events, size)
    model: list[tuple[Phase, bytes]] = []
    lost = 0
    for number, phase in enumerate(phases):
        body = f"{number:020d}".encode()
        spool.put(phase, body)
        model.append((phase, body))
        while len(model) > events or 20 * len(model) > size:
            updates = [i for i, (p, _) in enumerate(model) if p is Phase.UPDATED]
            del model[updates[0] if updates else 0]
            lost += 1
    kept = [(e.phase, spool.read(e)) for e in Spool(folder, events, size).entries()]
    assert kept == model
    assert spool.dropped == lost


def test_rejected_is_bounded_and_unfinished_files_are_swept(tmp_path):
    spool = Spool(tmp_path, 1000, 1 << 20)
    for _ in range(REJECTED + 3):
        spool.put(Phase.OPENED, b"{}")
    for entry in spool.entries():
        spool.reject(entry)
    assert len(list((tmp_path / "rejected").iterdir())) == REJECTED
    old, young = tmp_path / "a.json.part", tmp_path / "b.json.part"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    assert spool.lock()
    assert not old.exists()
    assert young.exists()
    spool.unlock()


# What cannot be


@pytest.mark.parametrize(
    "spec",
    ["http://", "https:///x", "http://h:99999/", "http://h:x/", "http://h/a b", "http://h\n/", "http:x"],
)
def test_a_url_that_cannot_be(tmp_path, spec):
    with pytest.raises(ConfigError, match="webhook's URL"):
        open_sink(spec, options(tmp_path))


def test_an_empty_secret_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="secret is empty"):
        open_sink("http://localhost/", options(tmp_path, hmac_secret=""))


def test_no_place_on_disk(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="webhook http://localhost/"):
        open_sink(f"http://u:{SECRET}@localhost/", options(tmp_path / "file"))
    with pytest.raises(OutputError, match="no home"):
        open_sink("http://localhost/", options(Path("~nobody-here/x")))
