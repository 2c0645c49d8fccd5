"""Calls through the relay, in a real browser: the page for two, and a conference of another site."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser import LOOPS, Visit
from tests.relay_process import RelayProcess
from tests.servers import http_server

pytest_plugins = ("tests.browser_fixtures",)


def more_comes(visit: Visit) -> bool:
    """Whether pictures and sound that is no silence go on coming in."""
    before = visit.received()
    return visit.until(lambda: all(now > before[what] for what, now in visit.received().items()))


def test_two_people_in_a_call_see_the_verdict_and_hear_each_other(browser: Any, relay: RelayProcess) -> None:
    room = "planning"
    with Visit(browser, f"{relay.url}/call?room={room}") as ann, Visit(browser, relay.url + "/call") as ben:
        for visit, name in ((ann, "ann"), (ben, "ben")):
            visit.page.fill("#room", room)
            visit.page.fill("#person", name)
            visit.page.click("#join")
        for visit, other in ((ann, "ben"), (ben, "ann")):
            assert visit.shows("#other-heading", other)
            assert visit.annotated("#other")
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
        assert ann.annotated("#other")
        assert ann.clean() == ben.clean() == []


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
    browser: Any, relay: RelayProcess, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(
        "<!doctype html><link rel=icon href=data:><title>A conference</title><video id=far autoplay muted>"
    )
    with http_server(tmp_path) as site, RelayProcess("--allow-origin", site) as friend:
        with Visit(browser, site) as visit:
            visit.page.evaluate(_BRIDGE, friend.url)
            assert visit.annotated("#far")
            assert visit.clean() == []
        with Visit(browser, site) as stranger, pytest.raises(Exception, match="Failed to fetch dynamically"):
            stranger.page.evaluate(_BRIDGE, relay.url)
