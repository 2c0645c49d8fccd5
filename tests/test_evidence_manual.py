"""docs/evidence.md says what is: its flags exist, its codes and bounds are those of the program."""

import re
from pathlib import Path

from stream.cli import _parser
from stream.config import OPTIONS, Settings
from stream.evidence import collector, maker, ring, store
from stream.evidence.chain import REMEMBERED
from stream.evidence.verify import Verdict

DOCS = Path(__file__).parent.parent / "docs"
MANUAL = (DOCS / "evidence.md").read_text("utf-8")
README = (DOCS.parent / "README.md").read_text("utf-8")


def test_the_flags_it_names_exist() -> None:
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", MANUAL))
    assert {"evidence", "evidence-key", "evidence-quota", "evidence-days", "key", "head"} <= named
    verify = set(vars(_parser().parse_args(["verify", "x"])))
    assert {flag.replace("-", "_") for flag in named} <= OPTIONS.keys() | verify


def test_the_codes_are_those_of_the_verdicts() -> None:
    told = {(int(code), name) for code, name in re.findall(r"^\| (4\d) \| ([A-Z ]+?) \|", MANUAL, re.M)}
    assert told == {(verdict.code, str(verdict)) for verdict in Verdict if verdict.code}
    for verdict in Verdict:
        assert not verdict.code or f"| {verdict.code} |" in README


def test_the_bounds_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| ([a-z' ]+) \| (.*) \|$", MANUAL, re.M))
    told = {name: [float(n) for n in re.findall(r"\b\d+\b", row)] for name, row in rows.items()}
    packets = [ring.KEEP, ring.LONGEST, ring.LARGEST / 2**20]
    assert told["packets kept in memory"] == packets
    assert told["results kept in memory"] == [ring.KEEP, collector.NOTES]
    assert told["alerts that wait to be written"] == [
        store.WAITING,
        store.WAITING_BYTES / 2**20,
        collector.OPEN,
    ]
    assert told["one alert's process"] == [maker.LIMIT]
    assert told["on disk"] == [Settings("x").evidence_quota]
    assert told["the end of the program"] == [store.HURRY, store.PATIENCE / 60]
    assert REMEMBERED == 1000
    assert "last thousand" in MANUAL


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", MANUAL):
        assert (DOCS / target).is_file(), target
