"""The page of checks in a real browser: a picture, a clip, heat, timeline, report, by keyboard alone."""

import re
from pathlib import Path
from typing import Any

import pytest

from stream.bench.clips import Clip, make_clip
from tests.browser import PATIENCE, Visit
from tests.relay_process import RelayProcess

pytest_plugins = ("tests.browser_fixtures",)
PORTRAIT = Path(__file__).parent.parent / "stream/assets/grace_hopper.jpg"
_WIDTHS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: the face is swapped in the second half."""
    path = tmp_path_factory.mktemp("clips") / "swapped.mp4"
    make_clip(path, Clip(width=640, height=480, faces=1, seconds=6))
    return path


def give(visit: Visit, path: Path) -> None:
    visit.page.set_input_files("#file", str(path))
    visit.page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
    assert visit.shows("#result-heading", path.name)
    visit.page.locator("#found svg image").first.wait_for(state="attached")


def heat_shows(visit: Visit) -> bool:
    return visit.page.locator("#found image[visibility=visible]").count() > 0


def test_a_picture_gets_its_verdict_heat_and_report(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, f"{relay.url}/check") as visit:
        give(visit, PORTRAIT)
        assert visit.text("#state") == "CLEAR"
        assert "no proof" in visit.text("#sentence")
        real, fake = (int(re.search(r"\d+", visit.text(f"#{side}"))[0]) for side in ("real", "fake"))
        assert real + fake == pytest.approx(100, abs=1)
        assert "still picture" in visit.text("#notes")
        assert visit.page.locator("#timeline").is_hidden()
        assert visit.page.evaluate("document.querySelector('#source img').naturalWidth") == 512
        assert visit.page.locator("#found .face-box").count() == 1
        assert not heat_shows(visit)
        visit.page.click("#heat")
        assert heat_shows(visit)
        assert "standard deviation" in visit.text("#heat-words")
        visit.page.click("#heat")
        assert not heat_shows(visit)
        with visit.page.expect_download() as downloaded:
            visit.page.click("#report")
        told = Path(downloaded.value.path()).read_text()
        assert "<!doctype html>" in told
        assert "CLEAR" in told
        assert downloaded.value.suggested_filename == "grace_hopper.jpg.report.html"
        assert visit.clean() == []


def test_a_clip_gets_its_timeline_which_seeks(browser: Any, relay: RelayProcess, clip: Path) -> None:
    with Visit(browser, f"{relay.url}/check") as visit:
        give(visit, clip)
        assert visit.text("#state") == "ALERT"
        assert visit.page.locator("#curve .face-line").count() == 1
        assert visit.page.locator("#curve .threshold").count() == 2
        time = "document.querySelector('#source video').currentTime"
        # It begins at the gravest moment, which lies in the swapped half.
        assert visit.until(lambda: visit.page.evaluate(time) > 3)
        visit.page.locator("#seek").fill("1")
        assert visit.until(lambda: visit.page.evaluate(time) == pytest.approx(1, abs=0.05))
        early = int(re.search(r"(\d+) % fake", visit.text("#seek-words"))[1])
        visit.page.locator("#seek").fill("5")
        late = int(re.search(r"(\d+) % fake", visit.text("#seek-words"))[1])
        assert early < 60 < late
        visit.page.locator("#curve").click(position={"x": 60, "y": 60})
        assert visit.until(lambda: visit.page.evaluate(time) < 1)
        visit.page.click("#heat")
        assert heat_shows(visit)
        assert visit.clean() == []


def test_by_keyboard_alone(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, f"{relay.url}/check") as visit:
        page, focused = visit.page, "document.activeElement.id"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == "file":
                break
        assert page.evaluate(focused) == "file"
        with page.expect_file_chooser(timeout=8000) as chooser:
            page.keyboard.press("Space")
        chooser.value.set_files(str(PORTRAIT))
        page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
        assert visit.until(lambda: page.evaluate(focused) == "result-heading")
        page.locator("#found svg image").first.wait_for(state="attached")
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "heat"
        page.keyboard.press("Space")
        assert heat_shows(visit)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "forget"
        page.keyboard.press("Enter")
        assert visit.until(lambda: page.locator("#result").is_hidden())
        assert visit.until(lambda: page.evaluate(focused) == "file")
        assert visit.clean() == []


def test_a_file_that_is_none_is_told_and_the_next_one_goes(
    browser: Any, relay: RelayProcess, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with Visit(browser, f"{relay.url}/check") as visit:
        visit.page.set_input_files("#file", str(tmp_path / "notes.txt"))
        assert visit.shows("#words", "neither a picture nor a video")
        (tmp_path / "cut.jpg").write_bytes(PORTRAIT.read_bytes()[:3000])
        visit.page.set_input_files("#file", str(tmp_path / "cut.jpg"))
        visit.page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
        assert visit.page.locator("#words").inner_text() == ""
        give(visit, PORTRAIT)


def test_a_file_can_be_dropped(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, f"{relay.url}/check") as visit:
        data = list(PORTRAIT.read_bytes())
        visit.page.evaluate(
            """(data) => {
                const given = new DataTransfer();
                given.items.add(new File([new Uint8Array(data)], "dropped.jpg", { type: "image/jpeg" }));
                const how = { dataTransfer: given, bubbles: true, cancelable: true };
                document.body.dispatchEvent(new DragEvent("drop", how));
            }""",
            data,
        )
        visit.page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
        assert visit.shows("#result-heading", "dropped.jpg")


def test_a_strangers_name_is_words_and_never_markup(
    browser: Any, relay: RelayProcess, tmp_path: Path
) -> None:
    odd = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    odd.write_bytes(PORTRAIT.read_bytes())
    with Visit(browser, f"{relay.url}/check") as visit:
        visit.page.set_input_files("#file", str(odd))
        visit.page.locator("#result").wait_for(state="visible", timeout=PATIENCE * 1000)
        assert visit.page.locator("#result-heading img").count() == 0
        assert visit.clean() == []


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, f"{relay.url}/check") as visit:
        visit.page.set_viewport_size({"width": 360, "height": 740})
        give(visit, PORTRAIT)
        assert visit.page.evaluate(_WIDTHS)


def test_the_other_pages_show_the_way(browser: Any, relay: RelayProcess) -> None:
    with Visit(browser, relay.url) as visit:
        visit.page.locator("#to-check").wait_for(state="visible")
        visit.page.click("#to-check")
        assert visit.shows("#drop-heading", "Check a picture or a video")
