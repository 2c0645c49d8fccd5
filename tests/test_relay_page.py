"""The page in a real browser: join, annotated return, verdict, alerts, a call of two, tokens, restarts."""

import re
import secrets
from pathlib import Path
from typing import Any

from tests.browser import ALERT, BACKGROUND, CLEAR, LOOPS, Visit, chromium
from tests.relay_process import RelayProcess
from tests.servers import free_port

pytest_plugins = ("tests.browser_fixtures",)

_LISTEN = """
    window.spoken = [];
    const watcher = new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) spoken.push(node.textContent);
    });
    watcher.observe(document.querySelector("[aria-live]"), { childList: true });
"""


def test_join_watch_the_verdict_change_leave_and_join_again(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        assert visit.shows("#relay", "Connected")
        assert "Join with your own camera" in visit.text("#screen-words")
        visit.page.evaluate(_LISTEN)
        visit.join("desk")
        assert visit.text("#stage-heading") == "desk"
        assert visit.shows("#state", "CLEAR", LOOPS)
        assert visit.until(lambda: visit.drawn() == {CLEAR}, LOOPS)
        assert visit.shows("#state", "ALERT", LOOPS)
        assert visit.until(lambda: visit.drawn() == {ALERT}, LOOPS)
        assert visit.drawn("#preview") == set(), "the sent picture has the colours of the overlay"
        assert visit.shows("#alerts", "desk")
        assert "still open" in visit.text("#alerts")
        assert re.search(r"\d{2} %", visit.text("#alerts .peak"))
        assert "ALERT" in visit.page.title()
        assert visit.shows("#state", "CLEAR", LOOPS)
        spoken = visit.page.evaluate("spoken")
        assert {"desk: CLEAR", "desk: ALERT", "Alert in desk, face 1"} <= set(spoken)
        assert len(spoken) < 20, "a live region that never rests"

        visit.page.click("#leave")
        assert visit.shows("#stage-heading", "Nothing is being watched")
        assert visit.until(lambda: visit.page.locator("#streams li").count() == 0)
        assert visit.page.evaluate("document.querySelector('#preview').srcObject") is None
        assert visit.until(lambda: "still open" not in visit.text("#alerts"))

        visit.page.click("#join")
        assert visit.annotated()
        assert visit.until(lambda: visit.page.locator("#streams li").count() == 1)
        assert visit.clean() == []


_SENT = "connections[0].getSenders().map(({ track }) => track?.id ?? '').join()"


def test_a_viewer_sees_list_curve_plain_picture_and_next_camera(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as sender, Visit(browser, relay.url) as viewer:
        sender.join("hall")
        row = viewer.page.locator("[data-stream=hall]")
        row.wait_for()
        if row.get_attribute("aria-current") is None:  # a single stream is shown without being asked for
            row.focus()
            viewer.page.keyboard.press("Enter")
        assert viewer.until(lambda: row.get_attribute("aria-current") == "true")
        assert viewer.annotated()
        assert viewer.until(lambda: re.search(r"\d+ fps · age \d", row.inner_text()) is not None)
        assert "CPU" in row.inner_text()
        assert viewer.until(lambda: "2 viewers" in row.inner_text())
        assert viewer.until(lambda: viewer.page.locator("#curve .line").count() > 0)
        label = "document.querySelector('#curve').getAttribute('aria-label')"
        assert viewer.until(lambda: re.search(r"face \d+: now \d+ %", viewer.page.evaluate(label)))

        viewer.page.click("#plain")
        assert viewer.until(lambda: viewer.share("#video", BACKGROUND) > 0.1 and not viewer.drawn())
        assert viewer.clean() == sender.clean() == []

        sent = sender.page.evaluate(_SENT)
        sender.page.select_option("#camera", index=1)
        assert sender.until(lambda: sender.page.evaluate(_SENT) != sent)
        pictures = viewer.received()["pictures"]
        assert viewer.until(lambda: viewer.received()["pictures"] > pictures + 10)

        viewer.page.fill("#own-name", "hall")
        viewer.page.click("#join")
        assert viewer.shows("#own-words", "being published already")
        assert viewer.page.locator("#join").is_visible()


def test_join_and_watch_by_keyboard_alone(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        page = visit.page
        assert visit.shows("#relay", "Connected")
        focused = "document.activeElement.id || document.activeElement.className"
        passed = []
        while passed[-1:] != ["join"] and len(passed) < 30:
            page.keyboard.press("Tab")
            passed.append(page.evaluate(focused))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline not in ("none", ""), f"focus on {passed[-1]} cannot be seen"
        assert passed[0] == "skip"
        assert passed[-4:] == ["own-name", "camera", "microphone", "join"]
        page.keyboard.press("Enter")
        assert visit.annotated()
        assert page.evaluate(focused) == "leave"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.stream")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        assert visit.shows("#stage-heading", "Nothing is being watched")
        assert visit.clean() == []


def test_on_a_phone_nothing_scrolls_sideways(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url, width=390, height=844) as visit:
        visit.join("a-name-as-long-as-names-may-be-so-that-it-has-to-be-broken-somewhe")
        for path in ("/", "/call"):
            if path != "/":
                visit.page.goto(relay.url + path)
            assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
            assert visit.page.evaluate(_TOO_SMALL) == []


_TOO_SMALL = """  // px for a finger
    [...document.querySelectorAll("main button, main input, main select")]
        .filter((field) => field.checkVisibility() && field.getBoundingClientRect().height < 34)
        .map((field) => field.id)
"""


def test_a_refused_camera_is_told_in_words(playwright: Any, camera: Path, relay: RelayProcess) -> None:
    with chromium(playwright, camera, allow=False) as refusing, Visit(refusing, relay.url) as visit:
        visit.page.click("#join")
        assert visit.shows("#own-words", "may not use the camera")
        assert visit.page.locator("#join").is_enabled()
        assert visit.clean() == []


def test_tokens_are_asked_for_and_never_stand_in_a_url(browser: Any, tmp_path: Path) -> None:
    tokens = {}
    words: list[str] = []
    for role in ("publish", "watch"):
        tokens[role] = secrets.token_urlsafe(24)
        (tmp_path / role).write_text(tokens[role])
        words += [f"--{role}-token-file", str(tmp_path / role)]
    with RelayProcess(*words) as guarded, Visit(browser, guarded.url) as visit:
        page = visit.page
        assert visit.shows("#token", "Token to watch")
        page.fill("#token-input", "not-the-right-token-at-all")
        page.keyboard.press("Enter")
        assert visit.shows("#token", "did not accept")
        page.fill("#token-input", tokens["watch"])
        page.keyboard.press("Enter")
        assert visit.shows("#relay", "Connected")
        assert visit.until(lambda: not page.locator("#token").is_visible())

        page.fill("#own-name", "guarded")
        page.click("#join")
        assert visit.shows("#token", "Token to publish")
        page.fill("#token-input", tokens["publish"])
        page.keyboard.press("Enter")
        assert visit.annotated()
        assert visit.asked
        assert not any(token in url for token in tokens.values() for url in visit.asked)
        assert all("401" in complaint for complaint in visit.clean())
        page.reload()
        assert visit.shows("#relay", "Connected")


def test_after_a_restart_of_the_relay_everything_comes_back(browser: Any) -> None:
    port = ("--port", str(free_port()))
    with RelayProcess(*port) as first, Visit(browser, first.url) as visit:
        visit.join("lasting")
        first.process.kill()
        assert visit.shows("#relay", "Not connected")
        assert visit.shows("#state", "NO SIGNAL")
        assert visit.until(lambda: visit.page.locator("#video.stale").count() == 1)
        with RelayProcess(*port):
            assert visit.shows("#relay", "Connected")
            assert visit.shows("#streams", "lasting", LOOPS)
            playing = "document.querySelector('#video').currentTime"
            assert visit.until(lambda: visit.page.locator("#screen-words").is_hidden(), LOOPS)
            before = visit.page.evaluate(playing)
            assert visit.until(lambda: visit.page.evaluate(playing) > before + 0.5)
            assert visit.annotated()


def test_candidates_that_come_late_are_trickled(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        visit.join("late")
        patched: list[tuple[int, str]] = []
        visit.page.on(
            "response",
            lambda answer: (
                patched.append((answer.status, answer.request.post_data))
                if answer.request.method == "PATCH"
                else None
            ),
        )
        phases = visit.page.evaluate(
            """async () => {
                const { watch } = await import("/assets/session.js");
                const phases = [];
                const change = (phase, words) => phases.push(phase);
                const session = watch("late", "annotated", new MediaStream(), { change, gather: 0 });
                const end = performance.now() + 30000;
                while (!phases.includes("live") && performance.now() < end)
                    await new Promise((resolve) => setTimeout(resolve, 50));
                session.close();
                return phases;
            }"""
        )
        assert phases == ["connecting", "live", "ended"]
        assert visit.until(lambda: patched)
        status, body = patched[0]
        assert status == 204, body
        assert body.startswith("a=ice-ufrag:")
        assert "a=mid:0\r\n" in body
        assert "a=end-of-candidates" in body


def test_alerts_that_a_restarted_relay_does_not_know_are_not_open(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        ends = visit.page.evaluate(
            """async () => {
                const { Alerts } = await import("/assets/alerts.js");
                const body = document.createElement("tbody");
                const alerts = new Alerts(body);
                const made = "2026-11-20T11:00:00Z";
                const event = { stream: "a", track: 1, start: 3, peak: 0.9, wall_time: made };
                alerts.add({ ...event, id: "one", phase: "opened", end: 4 });
                alerts.add({ ...event, id: "two", phase: "opened", end: 4 });
                alerts.add({ ...event, id: "two", phase: "closed", end: 9 });
                alerts.add({ ...event, id: "three", phase: "opened", end: 4 });
                alerts.replace([{ ...event, id: "three", phase: "updated", end: 5 }]);
                alerts.draw();
                return [alerts.open, ...[...body.rows].map((row) => row.querySelector(".end").innerText)];
            }"""
        )
        assert ends[0] == 1
        for end, words in zip(ends[1:], ("still open", "after 6.0 s", "not known"), strict=True):
            assert words in end


def test_events_are_cut_where_the_standard_says(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        events = visit.page.evaluate(
            r"""async () => {
                const { Parser } = await import("/assets/events.js");
                const events = [];
                const parser = new Parser((event) => events.push([event.type, event.data]));
                const text = ": note\n\nevent: scores\nid: 7\ndata: one\ndata: two\n\n"
                    + "data:x\r\n\r\nevent: none\n\ndata: cut";
                for (const letter of text) parser.push(letter);
                return events;
            }"""
        )
        assert events == [["scores", "one\ntwo"], ["message", "x"]]
