"""Checks by REST: uploads within bounds, a queue, results for their owners, nothing left on the disk."""

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.check.order import Checked, CheckOptions
from stream.check.sniff import is_media
from stream.check.values import FileReport, Kind, Limits
from stream.panel import jobs as jobs_module
from stream.panel.jobs import KEPT, WAITING, BusyError, Job, Jobs, Status
from stream.panel.upload import clean
from stream.values import State
from tests import clips
from tests.relay_process import RelayProcess, parse, request, send

ASSETS = Path(__file__).parent.parent / "stream/assets"
PORTRAIT = (ASSETS / "grace_hopper.jpg").read_bytes()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the relay's temporary files are."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def relay(home: Path) -> Iterator[RelayProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("tests.relay_process").relay_process.ENVIRONMENT, "TMPDIR", str(home))
        with RelayProcess() as started:
            yield started
            assert started.troubles() == []


async def ask(method: str, url: str, **more):
    async with aiohttp.ClientSession() as http, http.request(method, url, **more) as reply:
        return reply.status, reply.headers.copy(), await reply.read()


def form(data: bytes, name: str = "face.jpg", field: str = "file") -> aiohttp.FormData:
    made = aiohttp.FormData()
    made.add_field(field, data, filename=name)
    return made


async def checked(url: str, data: bytes, name: str) -> dict:
    while (told := await ask("POST", f"{url}/api/v1/checks", data=form(data, name)))[0] == 429:
        await asyncio.sleep(int(told[1]["Retry-After"]))  # other tests have spent the address's share
    status, headers, body = told
    assert status == 202, body
    assert headers["Location"] == f"/api/v1/checks/{json.loads(body)['id']}"
    return await finished(url + headers["Location"])


async def finished(url: str) -> dict:
    async with asyncio.timeout(60):
        while True:
            status, _, body = await ask("GET", url)
            assert status == 200
            if (found := json.loads(body))["status"] == "done":
                return found
            await asyncio.sleep(0.1)


def test_a_picture_is_checked_and_deleted(relay: RelayProcess, home: Path):
    async def scenario():
        found = await checked(relay.url, PORTRAIT, "../../etc/grace hopper.jpg")
        assert found["name"] == "grace hopper.jpg"
        assert found["report"]["verdict"] == "CLEAR"
        assert found["report"]["real"] == pytest.approx(1 - found["report"]["fake"], abs=1e-4)
        assert {"picture", "crop-1", "map-1"} == set(found["pictures"])
        assert not list(home.glob("facewitness-check-*"))
        one = f"{relay.url}/api/v1/checks/{found['id']}"
        status, headers, body = await ask("GET", f"{one}/pictures/map-1")
        assert (status, headers["Content-Type"], body[:2]) == (200, "image/jpeg", b"\xff\xd8")
        status, headers, body = await ask("GET", f"{one}/report")
        assert status == 200
        assert headers["Content-Disposition"].startswith("attachment")
        assert b"<!doctype html>" in body
        assert b"CLEAR" in body
        listed = json.loads((await ask("GET", f"{relay.url}/api/v1/checks"))[2])["checks"]
        assert found["id"] in {each["id"] for each in listed}
        assert (await ask("DELETE", one))[0] == 204
        assert (await ask("GET", one))[0] == 404
        assert (await ask("DELETE", one))[0] == 404

    asyncio.run(scenario())


def test_a_video_tells_its_progress_and_its_curve(relay: RelayProcess, tmp_path: Path):
    clip = clips.write_clip(tmp_path / "a.mp4", clips.portraits(90, step=1), gop=15)
    found = asyncio.run(checked(relay.url, clip.read_bytes(), "a.mp4"))
    report = found["report"]
    assert report["kind"] == "video"
    assert report["analysed"] == pytest.approx(3.0, abs=0.2)
    assert len(report["faces"][0]["samples"]) > 5
    assert report["model"]["margin"] == pytest.approx(1.3)
    assert "key-1" in found["pictures"]


def test_what_is_no_file_is_refused_with_a_reason_and_leaves_nothing(relay: RelayProcess, home: Path):
    async def scenario():
        url = f"{relay.url}/api/v1/checks"
        assert (await ask("POST", url, data=form(b"# a text, no picture", "a.jpg")))[0] == 415
        assert (await ask("POST", url, data=PORTRAIT))[0] == 415
        assert (await ask("POST", url, data=form(b"", "a.jpg")))[0] == 400
        assert (await ask("POST", url, data=form(PORTRAIT, "a.jpg", field="other")))[0] == 400
        for path in ("x" * 22, "nothing", "..%2f..%2fetc", "a/b"):
            assert (await ask("GET", f"{url}/{path}"))[0] == 404
        found = await checked(relay.url, PORTRAIT[:2000], "cut.jpg")
        assert found["report"]["error"]["line"].startswith("cut.jpg: ")
        assert (await ask("GET", f"{url}/{found['id']}/pictures/..%2fx"))[0] == 404
        assert (await ask("PUT", url))[0] == 405
        assert not list(home.glob("facewitness-check-*"))

    asyncio.run(scenario())


def test_what_is_too_long_is_refused_before_it_has_come(relay: RelayProcess, home: Path):
    async def scenario():
        begin = time.monotonic()
        kind = {"Content_Type": "multipart/form-data; boundary=b", "Content_Length": str(5 << 30)}
        reply = await send(relay.port, request("POST", "/api/v1/checks", b"--b\r\n", **kind))
        assert reply.status == 413
        assert "larger than 100 MiB" in reply.error
        assert time.monotonic() - begin < 10

    asyncio.run(scenario())
    assert not list(home.glob("facewitness-check-*"))


def test_an_endless_upload_ends_at_the_limit(relay: RelayProcess, home: Path):
    async def scenario():
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        head = b"POST /api/v1/checks HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        first = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n\xff\xd8\xff'
        writer.write(head + b"%x\r\n%b\r\n" % (len(first), first))
        piece = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        try:
            for _ in range(140):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        async with asyncio.timeout(20):
            raw = await reader.read(4096)
        assert parse(raw).status == 413
        writer.close()

    asyncio.run(scenario())
    assert not list(home.glob("facewitness-check-*"))


def test_a_client_that_breaks_off_leaves_nothing(relay: RelayProcess, home: Path):
    async def scenario():
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(
            b"POST /api/v1/checks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nabc'
        )
        await writer.drain()
        await asyncio.sleep(0.5)
        writer.close()
        async with asyncio.timeout(10):
            while list(home.glob("facewitness-check-*")):
                await asyncio.sleep(0.1)

    asyncio.run(scenario())


def test_without_checks_there_is_neither_page_nor_resource():
    with RelayProcess("--no-check") as bare:
        for path in ("/check", "/api/v1/checks", "/api/v1/openapi.json"):
            assert asyncio.run(ask("GET", bare.url + path))[0] == 404


def test_a_token_is_needed_where_there_are_tokens(tmp_path: Path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length-1\n")
    with RelayProcess("--watch-token-file", str(tokens)) as guarded:
        url = f"{guarded.url}/api/v1/checks"
        assert asyncio.run(ask("GET", url))[0] == 401
        assert asyncio.run(ask("POST", url, data=form(PORTRAIT)))[0] == 401
        bearer = {"Authorization": "Bearer a-token-of-some-length-1"}
        assert asyncio.run(ask("GET", url, headers=bearer))[0] == 200


@given(st.text(max_size=300))
def test_any_name_becomes_a_harmless_one(name: str):
    made = clean(name)
    assert 0 < len(made) <= 100
    assert not set(made) & set('/\\\0<>:"|?*\n\r')
    assert made not in (".", "..")
    assert not made.startswith(".")
    assert clean(made) == made


def test_the_kind_of_an_upload_is_known_by_its_first_bytes(tmp_path: Path):
    for suffix, codec in ((".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264"), (".webm", "libvpx")):
        assert is_media(clips.write_clip(tmp_path / f"a{suffix}", clips.portraits(3), codec=codec)), suffix
    for name, data in (
        ("a.txt", b"words"),
        ("a.svg", b"<svg/>"),
        ("a.zip", b"PK\x03\x04"),
        ("a", bytes(500)),
    ):
        (tmp_path / name).write_bytes(data)
        assert not is_media(tmp_path / name), name


MADE: "list[Slow]" = []


class Slow:
    """A Checker that takes its time, and can be stopped."""

    def __init__(self) -> None:
        self.go, self.stopped = threading.Event(), False
        MADE.append(self)

    def check(self, path, options, progress):
        assert path.is_file()
        progress(0.5)
        progress(0.4)
        self.go.wait(10)
        if path.name == "broken":
            raise ValueError("what no check does")
        pictures = {"picture": bytes(path.stat().st_size)}
        return Checked(FileReport(path.name, "", 1, Kind.PICTURE, State.CLEAR, 0.1, ()), pictures)

    def stop(self) -> None:
        self.stopped = True
        self.go.set()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Jobs, list[Job], list[float]]]:
    monkeypatch.setattr(jobs_module, "Checker", Slow)
    MADE.clear()
    told: list[Job] = []
    now = [1000.0]
    made = Jobs(CheckOptions(limits=Limits()), told.append, lambda: now[0])
    yield made, told, now
    for each in MADE:
        each.go.set()
    made.close()


def put(jobs: Jobs, name: str = "a.jpg", by: str = "", size: int = 1) -> Job:
    folder = Path(tempfile.mkdtemp())
    (folder / name).write_bytes(bytes(size))
    return jobs.add(folder, folder / name, by)


def wait(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def running(jobs: Jobs, job: Job) -> None:
    wait(lambda: jobs.get(job.id).status is Status.RUNNING)


def test_checks_run_one_after_another_and_the_queue_is_bounded(slow):
    jobs, told, _ = slow
    first = put(jobs)
    running(jobs, first)
    rest = [put(jobs) for _ in range(WAITING)]
    assert jobs.full
    with pytest.raises(BusyError):
        put(jobs)
    assert [each.status for each in jobs.all()].count(Status.RUNNING) == 1
    wait(lambda: jobs.get(first.id).progress == 0.5)  # it never goes back
    for number in range(WAITING + 1):
        wait(lambda n=number: len(MADE) > n)
        MADE[number].go.set()
    wait(lambda: len(told) == WAITING + 1)
    assert [job.id for job in told] == [first.id, *(job.id for job in rest)]
    assert all(job.status is Status.DONE for job in jobs.all())


def test_a_check_that_is_forgotten_ends_and_its_file_goes(slow):
    jobs, told, _ = slow
    one, two = put(jobs), put(jobs)
    running(jobs, one)
    assert jobs.remove(two.id)
    assert jobs.remove(one.id)
    assert not jobs.remove(one.id)
    wait(lambda: MADE[0].stopped)
    third = put(jobs)
    running(jobs, third)
    assert jobs.get(one.id) is None
    assert told == []


def test_results_are_kept_for_a_while_and_not_without_end(slow):
    jobs, told, now = slow
    for number in range(KEPT + 3):
        put(jobs)
        wait(lambda n=number: len(MADE) > n)
        MADE[number].go.set()
        wait(lambda n=number: len(told) > n)
    assert len(jobs.all()) == KEPT
    now[0] += 3601
    assert jobs.all() == []


def test_results_are_bounded_in_bytes(slow, monkeypatch: pytest.MonkeyPatch):
    jobs, told, _ = slow
    monkeypatch.setattr(jobs_module, "KEPT_BYTES", 2500)
    for number in range(4):
        put(jobs, size=1000)
        wait(lambda n=number: len(MADE) > n)
        MADE[number].go.set()
        wait(lambda n=number: len(told) > n)
    assert len(jobs.all()) == 2


def test_an_error_of_ours_ends_one_check_alone(slow, caplog: pytest.LogCaptureFixture):
    jobs, told, _ = slow
    broken, whole = put(jobs, "broken"), put(jobs)
    wait(lambda: MADE)
    MADE[0].go.set()
    wait(lambda: len(MADE) > 1)
    MADE[1].go.set()
    wait(lambda: told)
    assert [job.id for job in told] == [whole.id]
    assert jobs.get(broken.id) is None
    assert "a check failed" in caplog.text


def test_each_user_sees_his_own(slow):
    jobs, _, _ = slow
    one, two = put(jobs, by="ann"), put(jobs, by="ben")
    assert [job.id for job in jobs.all("ann")] == [one.id]
    assert {job.id for job in jobs.all()} == {one.id, two.id}


def test_closing_deletes_what_waits(slow):
    jobs, _, _ = slow
    folders = []
    for _ in range(3):
        folder = Path(tempfile.mkdtemp())
        (folder / "a").write_bytes(np.zeros(4, np.uint8).tobytes())
        jobs.add(folder, folder / "a", "")
        folders.append(folder)
    wait(lambda: MADE)
    jobs.close()
    assert not any(folder.exists() for folder in folders)
    with pytest.raises(BusyError):
        put(jobs)
