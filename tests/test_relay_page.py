"""The page in a real browser: join, annotated return, verdict, alerts, a call of two, tokens, restarts."""

import re
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Relay, Visit, camera_clip, chromium, driver
from tests.servers import http_server

CLEAR, SUSPICIOUS, ALERT = (0, 158, 115), (230, 159, 0), (213, 94, 0)  # RGB, the overlay's
BACKGROUND = (91, 129, 192)  # of the portrait
DRAWN = {CLEAR: 0.006, SUSPICIOUS: 0.006, ALERT: 0.016}  # share of the picture; half as much is in the flag
LOOPS = 90.0  # s: the clip's halves come round again several times


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with driver() as found:
        yield found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, playwright: Any) -> Path:
    return camera_clip(tmp_path_factory.mktemp("camera") / "face.mjpeg")


@pytest.fixture(scope="module")
def browser(playwright: Any, clip: Path) -> Iterator[Any]:
    with chromium(playwright, clip) as opened:
        yield opened


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Relay]:
    with Relay(tmp_path_factory.mktemp("relay")) as started:
        yield started


def join(visit: Visit, name: str) -> None:
    visit.page.fill("#own-name", name)
    visit.page.click("#join")
    assert annotated(visit), visit.text("main")


def drawn(visit: Visit, video: str = "#video") -> set[tuple[int, int, int]]:
    """The states' colours that stand in a picture: box, label and headline take far more than any noise."""
    return {colour for colour, least in DRAWN.items() if visit.share(video, colour) > least}


def annotated(visit: Visit, video: str = "#video") -> bool:
    """Whether the overlay came to be drawn into what comes back."""
    return visit.until(lambda: drawn(visit, video))


_LISTEN = """
    window.spoken = [];
    const watcher = new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) spoken.push(node.textContent);
    });
    watcher.observe(document.querySelector("[aria-live]"), { childList: true });
"""


def test_join_watch_the_verdict_change_leave_and_join_again(browser: Any, relay: Relay) -> None:
    with Visit(browser, relay.url) as visit:
        assert visit.shows("#relay", "Connected")
        assert "Join with your own camera" in visit.text("#screen-words")
        visit.page.evaluate(_LISTEN)
        join(visit, "desk")
        assert visit.text("#stage-heading") == "desk"
        assert visit.shows("#state", "CLEAR", LOOPS)
        assert visit.until(lambda: drawn(visit) == {CLEAR}, LOOPS)
        assert visit.shows("#state", "ALERT", LOOPS)
        assert visit.until(lambda: drawn(visit) == {ALERT}, LOOPS)
        assert drawn(visit, "#preview") == set(), "the sent picture has the colours of the overlay"
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
        assert annotated(visit)
        assert visit.until(lambda: visit.page.locator("#streams li").count() == 1)
        assert visit.clean() == []


_SENT = "connections[0].getSenders().map(({ track }) => track?.id ?? '').join()"


def test_a_viewer_sees_list_curve_untouched_picture_and_the_next_camera(browser: Any, relay: Relay) -> None:
    with Visit(browser, relay.url) as sender, Visit(browser, relay.url) as viewer:
        join(sender, "hall")
        row = viewer.page.locator("[data-stream=hall]")
        row.wait_for()
        if row.get_attribute("aria-current") is None:  # a single stream is shown without being asked for
            row.focus()
            viewer.page.keyboard.press("Enter")
        assert viewer.until(lambda: row.get_attribute("aria-current") == "true")
        assert annotated(viewer)
        assert viewer.until(lambda: re.search(r"\d+ fps · age \d", row.inner_text()) is not None)
        assert "CPU" in row.inner_text()
        assert viewer.until(lambda: "2 viewers" in row.inner_text())
        assert viewer.until(lambda: viewer.page.locator("#curve .line").count() > 0)
        label = "document.querySelector('#curve').getAttribute('aria-label')"
        assert viewer.until(lambda: re.search(r"face \d+: now \d+ %", viewer.page.evaluate(label)))

        viewer.page.click("#plain")
        assert viewer.until(lambda: viewer.share("#video", BACKGROUND) > 0.1 and not drawn(viewer))
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


def test_join_and_watch_by_keyboard_alone(browser: Any, relay: Relay) -> None:
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
        assert annotated(visit)
        assert page.evaluate(focused) == "leave"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.stream")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        assert visit.shows("#stage-heading", "Nothing is being watched")
        assert visit.clean() == []


def test_on_a_phone_nothing_scrolls_sideways(browser: Any, relay: Relay) -> None:
    with Visit(browser, relay.url, width=390, height=844) as visit:
        join(visit, "a-name-as-long-as-names-may-be-so-that-it-has-to-be-broken-somewhe")
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


def test_a_camera_that_is_refused_is_told_in_words(playwright: Any, clip: Path, relay: Relay) -> None:
    with chromium(playwright, clip, allow=False) as refusing, Visit(refusing, relay.url) as visit:
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
    with Relay(tmp_path, *words) as guarded, Visit(browser, guarded.url) as visit:
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
        assert annotated(visit)
        assert visit.asked
        assert not any(token in url for token in tokens.values() for url in visit.asked)
        assert all("401" in complaint for complaint in visit.clean())
        page.reload()
        assert visit.shows("#relay", "Connected")


def test_after_a_restart_of_the_relay_everything_comes_back(browser: Any, tmp_path: Path) -> None:
    with Relay(tmp_path) as relay, Visit(browser, relay.url) as visit:
        join(visit, "lasting")
        relay.end(signal.SIGKILL)
        assert visit.shows("#relay", "Not connected")
        relay.start()
        assert visit.shows("#relay", "Connected")
        assert visit.shows("#streams", "lasting", LOOPS)
        playing = "document.querySelector('#video').currentTime"
        assert visit.until(lambda: visit.page.locator("#screen-words").is_hidden(), LOOPS)
        before = visit.page.evaluate(playing)
        assert visit.until(lambda: visit.page.evaluate(playing) > before + 0.5)
        assert annotated(visit)


def more_comes(visit: Visit) -> bool:
    """Whether pictures and sound that is no silence go on coming in."""
    before = visit.received()
    return visit.until(lambda: all(now > before[what] for what, now in visit.received().items()))


def test_two_people_in_one_call_see_the_verdict_and_hear_each_other(browser: Any, relay: Relay) -> None:
    room = "planning"
    with Visit(browser, f"{relay.url}/call?room={room}") as ann, Visit(browser, relay.url + "/call") as ben:
        for visit, name in ((ann, "ann"), (ben, "ben")):
            visit.page.fill("#room", room)
            visit.page.fill("#person", name)
            visit.page.click("#join")
        for visit, other in ((ann, "ben"), (ben, "ann")):
            assert visit.shows("#other-heading", other)
            assert annotated(visit, "#other")
            assert visit.until(lambda visit=visit: visit.page.locator("#other-state .chip").count() == 1)
            assert visit.until(lambda visit=visit: visit.page.locator("#own-state .chip").count() == 1)
            assert more_comes(visit)
        assert ann.until(lambda: ann.text("#other-state") in ("CLEAR", "SUSPICIOUS", "ALERT"), LOOPS)

        with Visit(browser, f"{relay.url}/call?room={room}") as cyd:
            cyd.page.fill("#person", "cyd")
            cyd.page.click("#join")
            assert cyd.shows("#own-words", "planning is full: ann and ben are in it")

        ben.page.click("#leave")
        assert ann.shows("#other-words", "Waiting for somebody else")
        ben.page.click("#join")
        assert annotated(ann, "#other")
        assert ann.clean() == ben.clean() == []


def test_candidates_that_come_late_are_trickled(browser: Any, relay: Relay) -> None:
    with Visit(browser, relay.url) as visit:
        join(visit, "late")
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


_BRIDGE = """async (relay) => {
    const { publish, watch } = await import(`${relay}/assets/session.js`);
    const camera = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
    const call = new RTCPeerConnection(); // the conference's own: here to another one on this page
    const far = new RTCPeerConnection();
    call.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate);
    far.onicecandidate = ({ candidate }) => call.addIceCandidate(candidate);
    far.ontrack = ({ streams }) => (document.querySelector("#far").srcObject = streams[0]);
    const sender = call.addTrack(camera.getVideoTracks()[0], camera);
    await call.setLocalDescription();
    await far.setRemoteDescription(call.localDescription);
    await far.setLocalDescription();
    await call.setRemoteDescription(far.localDescription);

    const checked = new MediaStream();
    const swap = (phase) => phase === "live" && sender.replaceTrack(checked.getVideoTracks()[0]);
    let back;
    const look = () => (back ??= watch("bridge", "annotated", checked, { change: swap }));
    publish("bridge", camera, { change: (phase) => phase === "live" && look() });
}"""


def test_another_sites_call_sends_its_picture_through_the_relay(
    browser: Any, relay: Relay, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(
        "<!doctype html><link rel=icon href=data:><title>A conference</title><video id=far autoplay muted>"
    )
    with http_server(tmp_path) as site, Relay(tmp_path, "--allow-origin", site) as friend:
        with Visit(browser, site) as visit:
            visit.page.evaluate(_BRIDGE, friend.url)
            assert annotated(visit, "#far")
            assert visit.clean() == []
        with Visit(browser, site) as stranger, pytest.raises(Exception, match="Failed to fetch dynamically"):
            stranger.page.evaluate(_BRIDGE, relay.url)


def test_events_are_cut_where_the_standard_says(browser: Any, relay: Relay) -> None:
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
