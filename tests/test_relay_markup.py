"""The page's files: nothing inline, nothing from elsewhere, a label for each field, no dead reference."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "stream" / "relay" / "page"


class _Markup(HTMLParser):
    """What the content security policy forbids, and where a page gets things from."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: set[str] = set()
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.forbidden += [f"<{tag} {name}>" for name in found if name == "style" or name.startswith("on")]
        self.forbidden += ["<style>"] if tag == "style" else []
        self.links += [found[name] or "" for name in ("src", "href") if name in found]
        self._script = tag == "script"
        if "id" in found:
            self.ids.append(found["id"] or "")
        if tag == "label":
            self.labelled.add(found.get("for") or "")
        if tag in ("input", "select"):
            self.fields.add(found.get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.forbidden.append("<script> with text")


PAGES = ("index.html", "call.html", "check.html", "history.html", "login.html")


@pytest.mark.parametrize("name", PAGES)
def test_the_markup_needs_nothing_inline_and_nobody_else(name: str) -> None:
    markup = _Markup()
    markup.feed((PAGE / name).read_text("utf-8"))
    assert markup.forbidden == []
    assert markup.fields <= markup.labelled, "a field without a label"
    assert len(set(markup.ids)) == len(markup.ids)
    for link in markup.links:
        if link.startswith("/assets/"):
            assert (PAGE / link.removeprefix("/assets/")).is_file(), link
        else:
            assert link in ("/", "/call", "/check", "/history") or link.lstrip("#") in markup.ids, link


def test_scripts_import_only_each_other_and_use_only_ids_that_exist() -> None:
    scripts = sorted(PAGE.glob("*.js"))
    assert scripts
    pages = "".join((PAGE / name).read_text("utf-8") for name in PAGES)
    ids = set(re.findall(r'\bid="([^"]+)"', pages))
    for path in scripts:
        text = path.read_text("utf-8")
        assert text.startswith("/** "), f"{path.name} does not say what it is for"
        assert len(text.splitlines()) <= 250, path.name
        for imported in re.findall(r'from "([^"]+)"', text):
            assert (PAGE / imported).resolve().parent == PAGE
            assert (PAGE / imported).is_file(), f"{path.name} imports {imported}"
        for used in re.findall(r'byId\("([^"]+)"\)', text):
            assert used in ids, f"{path.name} looks for #{used}"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), (
            path.name
        )


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the style sheet's two schemes, each by name."""
    text = (PAGE / "style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in text.split("dark) {")[:2]
    )
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_both_schemes(scheme: str) -> None:
    """A contrast of 4.5:1, WCAG 2.2, success criterion 1.4.3."""
    colours = palettes()[scheme]
    states = ("no-face", "uncertain", "clear", "suspicious", "alert")
    pairs = [(ink, ground) for ink in ("ink", "dim", *states) for ground in ("card", "soft", "ground")]
    for ink, ground in [*pairs, ("on-accent", "accent"), ("on-state", "alert"), ("accent", "card")]:
        high, low = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{ink} on {ground}"
