"""Log-in and history over HTTP and in a real browser: sessions, roles, wrong passwords, search, export."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytest.importorskip("sqlalchemy", reason="the [server] extra is not installed")
pytest.importorskip("argon2", reason="the [server] extra is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance  # noqa: E402

from stream.accounts.store import Accounts  # noqa: E402
from stream.history.store import History  # noqa: E402
from stream.history.values import Query  # noqa: E402
from stream.relay.access import Role  # noqa: E402
from stream.values import State  # noqa: E402
from tests.browser import PATIENCE, Visit  # noqa: E402
from tests.relay_process import RelayProcess  # noqa: E402
from tests.servers import free_port  # noqa: E402
from tests.test_cli import run  # noqa: E402
from tests.test_history import alert, report  # noqa: E402
from tests.test_panel import PORTRAIT, ask, form  # noqa: E402
from tests.test_panel_page import PORTRAIT as PORTRAIT_FILE  # noqa: E402

pytest_plugins = ("tests.browser_fixtures",)
PASSWORDS = {name: f"{name} has a long password" for name in ("ann", "ben", "root")}
TOKEN = "a-token-of-some-length-1"
# A name and a password that fit the schema are nobody's; and a document cannot say which tokens there are.
EXCLUDED = [positive_data_acceptance, ignored_auth]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with two watchers, an administrator and some past."""
    path = str(tmp_path_factory.mktemp("db") / "h.sqlite")
    accounts, history = Accounts(path), History(path)
    for name, role in (("ann", Role.WATCH), ("ben", Role.WATCH), ("root", Role.ADMIN)):
        accounts.add(name, PASSWORDS[name], role)
    for number in range(60):
        history.add_check(report(f"old-{number}.jpg"), "ben" if number % 2 else "ann", 1e9 + number)
    history.add_check(report("swapped.mp4", State.ALERT, 0.93), "ann", 1.7e9)
    history.add_alert(alert(), "front door", 1.7e9 + 1)
    accounts.close()
    history.close()
    return path


@pytest.fixture(scope="module")
def guarded(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(TOKEN + "\n")
    with RelayProcess("--history", url, "--login", "--watch-token-file", str(tokens)) as started:
        yield started
        assert started.troubles() == []
        assert not any(password in started.log() for password in PASSWORDS.values())


@pytest.fixture(scope="module")
def fresh(url: str, browser: Any) -> Iterator[RelayProcess]:
    """Another one, at which this address has not yet spent its tries."""
    with RelayProcess("--history", url, "--login") as started:
        yield started
        assert started.troubles() == []


async def logged_in(http: aiohttp.ClientSession, url: str, name: str) -> None:
    body = {"name": name, "password": PASSWORDS[name]}
    async with http.post(f"{url}/api/v1/session", json=body) as reply:
        assert reply.status == 200, await reply.text()
        (cookie,) = reply.headers.getall("Set-Cookie")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # the test speaks plain HTTP on loopback


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # cookies of an address


def test_nothing_without_a_session_and_all_of_ones_own_with_it(guarded: RelayProcess):
    async def scenario():
        for path in (
            "/api/v1/checks",
            "/api/v1/history",
            "/api/streams",
            "/api/alerts",
            "/api/v1/history.csv",
        ):
            status, _, body = await ask("GET", guarded.url + path)
            assert (status, json.loads(body)["login"]) == (401, "/login"), path
        assert (await ask("POST", f"{guarded.url}/whip/x", data=b"x"))[0] == 401
        async with session() as ann, session() as ben, session() as root:
            for http, name in ((ann, "ann"), (ben, "ben"), (root, "root")):
                await logged_in(http, guarded.url, name)
            async with ann.post(f"{guarded.url}/api/v1/checks", data=form(PORTRAIT, "anns.jpg")) as reply:
                assert reply.status == 202
                check = await reply.json()
            assert check["by"] == "ann"
            one = f"{guarded.url}/api/v1/checks/{check['id']}"
            async with asyncio.timeout(60):
                while (await (await ann.get(one)).json())["status"] != "done":
                    await asyncio.sleep(0.1)
            assert (await ben.get(one)).status == 404
            assert (await ben.get(f"{one}/report")).status == 404
            past = f"{guarded.url}/api/v1/history"
            async with asyncio.timeout(20):
                while not (found := await (await ann.get(past, params={"text": "anns"})).json())["entries"]:
                    await asyncio.sleep(0.1)
            number = found["entries"][0]["id"]
            assert found["entries"][0]["facts"]["sha256"]
            assert (await ben.get(f"{past}/{number}")).status == 404
            assert (await (await ben.get(past, params={"text": "anns"})).json())["entries"] == []
            names = {
                e["by"] for e in (await (await ben.get(past, params={"kind": "check"})).json())["entries"]
            }
            assert names == {"ben"}
            assert "front door" in await (await ben.get(f"{past}.csv")).text()  # alerts are everybody's
            assert (await ann.delete(f"{past}/{number}")).status == 403
            assert (await root.delete(f"{past}/{number}")).status == 204
            assert (await root.get(f"{past}/{number}")).status == 404
            assert (await ann.delete(f"{guarded.url}/api/streams/x")).status == 403
            assert (await ann.post(f"{guarded.url}/whip/x", data=b"x")).status == 403
            assert (await ann.delete(f"{guarded.url}/api/v1/session")).status == 204
            assert (await ann.get(past)).status == 401
            assert (await ben.get(past)).status == 200

    asyncio.run(scenario())


def test_tokens_still_do_for_programs(guarded: RelayProcess):
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    status, _, body = asyncio.run(ask("GET", f"{guarded.url}/api/v1/history?limit=3", headers=bearer))
    assert status == 200
    assert len(json.loads(body)["entries"]) == 3
    assert asyncio.run(ask("DELETE", f"{guarded.url}/api/v1/history/1", headers=bearer))[0] == 401


def test_another_sites_script_cannot_use_a_session(guarded: RelayProcess):
    async def scenario():
        async with session() as ann:
            await logged_in(ann, guarded.url, "ann")
            for method in ("GET", "POST", "DELETE"):
                evil = {"Origin": "https://evil.example"}
                async with ann.request(method, f"{guarded.url}/api/v1/checks", headers=evil) as reply:
                    assert reply.status == 403

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"{}", b'{"name": 1, "password": []}', b"[" * 5000, b'{"name":"a"}']
)
def test_a_log_in_that_is_none_is_400(guarded: RelayProcess, body: bytes):
    kind = {"Content-Type": "application/json"}
    assert asyncio.run(ask("POST", f"{guarded.url}/api/v1/session", data=body, headers=kind))[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={word}" for word in ("0", "501", "x", "-1", "9" * 24)),
        *(f"since={word}" for word in ("nan", "-1", "1e300", "yesterday")),
        *("kind=x", "verdict=x", "before=0", "odd=1", "text=a&text=b", "text=" + "x" * 201),
    ],
)
def test_a_query_that_cannot_be_is_400(guarded: RelayProcess, query: str):
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert asyncio.run(ask("GET", f"{guarded.url}/api/v1/history?{query}", headers=bearer))[0] == 400


def test_the_whole_api_is_as_its_document_says(tmp_path: Path):
    url = str(tmp_path / "own.sqlite")  # it deletes entries
    history = History(url)
    for number in range(20):
        history.add_check(report(f"{number}.jpg"), "", 1e9 + number)
    history.close()
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    with RelayProcess("--history", url, "--login", "--admin-token-file", str(tokens)) as relay:
        api = schemathesis.openapi.from_url(f"{relay.url}/api/v1/openapi.json")
        seen: set[str] = set()

        def hold(operation) -> None:
            @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy())
            def one(case) -> None:
                response = case.call(headers={"Connection": "close", "Authorization": f"Bearer {TOKEN}"})
                seen.add(f"{operation.label} {response.status_code}")
                if response.status_code != 429:
                    case.validate_response(response, excluded_checks=EXCLUDED)

            one()

        for found in api.get_all_operations():
            operation = found.ok()
            if "/checks" not in operation.path:  # those are held to it in test_panel_api
                hold(operation)
        assert {label.rpartition(" ")[0] for label in seen} == {
            "GET /api/v1/history",
            "GET /api/v1/history.csv",
            "GET /api/v1/history/{id}",
            "DELETE /api/v1/history/{id}",
            "GET /api/v1/session",
            "POST /api/v1/session",
            "DELETE /api/v1/session",
        }
        assert relay.troubles() == []


def log_in(visit: Visit, name: str, password: str) -> None:
    visit.page.fill("#name", name)
    visit.page.fill("#password", password)
    visit.page.keyboard.press("Enter")


def test_log_in_check_see_it_in_history_and_log_out(browser: Any, fresh: RelayProcess) -> None:
    with Visit(browser, f"{fresh.url}/check") as visit:
        page = visit.page
        page.locator("#login").wait_for()
        assert page.url.endswith("/login?next=%2Fcheck")
        assert page.evaluate("document.activeElement.id") == "name"
        log_in(visit, "ann", "not her password")
        assert visit.shows("#words", "No such user, or another password")
        assert page.evaluate("document.activeElement.id") == "password"
        assert page.evaluate("document.cookie") == ""
        log_in(visit, "ann", PASSWORDS["ann"])
        page.locator("#drop").wait_for()
        assert page.url.endswith("/check")
        assert visit.shows("#user", "ann")
        assert page.evaluate("document.cookie") == "", "a script can read the session"
        page.set_input_files("#file", str(PORTRAIT_FILE))
        page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
        page.locator("#to-history").wait_for(state="visible")
        page.click("#to-history")
        page.locator("#entries tr").first.wait_for()
        assert visit.until(lambda: "grace_hopper.jpg" in visit.text("#entries"))
        page.click("#log-out")
        page.locator("#login").wait_for()
        page.goto(f"{fresh.url}/history")
        page.locator("#login").wait_for()
        assert page.evaluate("violations") == []


def test_history_is_searched_paged_and_exported(browser: Any, fresh: RelayProcess) -> None:
    with Visit(browser, f"{fresh.url}/login?next=//evil.example/") as visit:
        page = visit.page
        log_in(visit, "root", PASSWORDS["root"])
        page.locator("#streams-heading").wait_for()
        assert page.url == f"{fresh.url}/"  # and not the other site
        page.goto(f"{fresh.url}/history")
        rows = page.locator("#entries tr")
        rows.first.wait_for()
        assert rows.count() == 50
        page.click("#more")
        assert visit.until(lambda: rows.count() >= 62)
        assert page.locator("#more").is_hidden()
        assert "still open" in visit.text("#entries")
        page.fill("#text", "SWAPPED")
        page.keyboard.press("Enter")
        assert visit.until(lambda: rows.count() == 1)
        assert "93 %" in visit.text("#entries")
        page.fill("#text", "no such name")
        page.keyboard.press("Enter")
        page.locator("#none").wait_for(state="visible")
        page.fill("#text", "old-1")
        with page.expect_download() as downloaded:
            page.click("#csv")
        lines = Path(downloaded.value.path()).read_text().splitlines()
        assert re.match("id,at,kind,verdict", lines[0])
        assert len(lines) == 12  # old-1 and old-10 to old-19


def test_watch_with_a_page_keeps_its_alerts(tmp_path: Path):
    path = tmp_path / "h.sqlite"
    done = run("watch", "demo", "--duration", "11", "--quiet", "--provider", "cpu", "--history", path,
               "--serve", f":{free_port()}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (entry,) = History(str(path)).search(Query()).entries
    assert entry.name == "demo"
    assert entry.facts["phase"] == "closed"
    assert entry.fake > 0.8
