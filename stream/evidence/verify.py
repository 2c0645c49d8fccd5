"""Checks a chain of evidence: every hash, every signature, every link. Reads only, and needs no secret."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stream.evidence.chain import number_of, sealed
from stream.evidence.key import LARGEST as LARGEST_KEY
from stream.evidence.key import fingerprint, public_key, signed_by
from stream.evidence.manifest import (
    LARGEST,
    MANIFEST,
    PUBLIC,
    SIGNATURE,
    TOMBSTONE,
    UNFINISHED,
    digest,
    files_in,
)


class Verdict(Enum):
    """What was found, and the exit code that tells it."""

    GOOD = ("good", 0)
    UNFINISHED = ("unfinished", 0)
    ALTERED = ("ALTERED", 40)
    MISSING = ("MISSING", 41)
    UNSIGNED = ("UNSIGNED", 42)
    WRONG_KEY = ("WRONG KEY", 43)
    TRUNCATED = ("TRUNCATED", 44)

    @property
    def code(self) -> int:
        """The exit code."""
        return self.value[1]

    def __str__(self) -> str:
        return self.value[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what of, what, and why."""

    name: str  # of a folder, or "chain"
    verdict: Verdict
    text: str


@dataclass(slots=True)
class Report:
    """What a check found."""

    findings: list[Finding] = field(default_factory=list)
    head: str | None = None  # SHA-256 of the newest manifest
    number: int = 0  # of the newest
    fingerprint: str | None = None  # of the key that was expected

    @property
    def verdict(self) -> Verdict:
        """The first that is not good."""
        return next((f.verdict for f in self.findings if f.verdict.code), Verdict.GOOD)


@dataclass(slots=True)
class _Sealed:
    """One sealed folder as it was read."""

    path: Path
    text: bytes | None = None  # the manifest
    told: dict[str, Any] = field(default_factory=dict)  # in it, once its signature holds
    verdict: Verdict = Verdict.GOOD
    why: str = ""

    @property
    def deleted(self) -> bool:
        """Whether it stands for what was deleted."""
        return self.path.name.endswith(f"-{TOMBSTONE}")

    @property
    def hash(self) -> str:
        """SHA-256 of the manifest as it is."""
        return hashlib.sha256(self.text or b"").hexdigest()


def check(folder: Path, key: str | None = None, head: str | None = None) -> Report:
    """Check a directory of evidence. Raises OSError where it cannot be read.

    key: a public key in PEM, or its fingerprint, that must have signed all; None: that of the oldest folder,
    which proves only that nothing changed since somebody signed. head: SHA-256 that an earlier check told.
    """
    report, paths = Report(), sealed(folder)
    expected = _expected(key, paths)
    report.fingerprint = fingerprint(expected) if isinstance(expected, Ed25519PublicKey) else expected
    entries = [_checked(path, expected) for path in paths]
    _link(entries, report)
    known = {entry.hash for entry in entries}
    known.update(each for entry in entries if entry.deleted for each in entry.told.get("deleted", ()))
    if not entries:
        report.findings.append(Finding("chain", Verdict.MISSING, "there is no evidence here"))
    if head is not None and head.lower() not in known:
        why = "the head that you remember is not in it: the newest alerts are gone, or were made anew"
        report.findings.append(Finding("chain", Verdict.TRUNCATED, why))
    for path in sorted(folder.iterdir()):
        if path.name.startswith(UNFINISHED):
            why = "not sealed: in work, or left by a crash; the next start seals it"
            report.findings.append(Finding(path.name, Verdict.UNFINISHED, why))
        elif path not in paths and path.name != ".lock":
            why = "not part of the chain: nothing vouches for it"
            report.findings.append(Finding(path.name, Verdict.UNSIGNED, why))
    return report


def _expected(key: str | None, paths: list[Path]) -> Ed25519PublicKey | str | None:
    """The key, or the fingerprint, that must have signed."""
    if key is not None:
        return public_key(key.encode()) or key.strip()
    for path in paths:
        if (found := _public(path)) is not None:
            return found
    return None


def _public(folder: Path) -> Ed25519PublicKey | None:
    path = folder / PUBLIC
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            return public_key(file.read(LARGEST_KEY))
    except OSError:
        return None


def _link(entries: list[_Sealed], report: Report) -> None:
    """Follow the chain from its oldest end to its head."""
    stone = next((entry for entry in reversed(entries) if entry.deleted), None)
    number, previous = 0, None  # of the folder before; no hash: nothing can be said of the link
    if stone is not None and stone.verdict is Verdict.GOOD:
        number, previous = number_of(stone.path), str(stone.told.get("through"))
        report.number, report.head = number, previous
    begun, linked = number > 0, True
    for entry in entries:
        here = number_of(entry.path)
        if not entry.deleted and here > number:
            report.findings += _gap(number, here, begun)
            good = entry.verdict is Verdict.GOOD
            if good and linked and here == number + 1 and entry.told.get("previous") != previous:
                entry.verdict, entry.why = Verdict.ALTERED, "it does not follow on the one before it"
            number, previous, begun = here, entry.hash, True
            linked = bool(entry.told)  # one whose manifest does not hold is told of itself, not of the next
            if good:
                report.number, report.head = here, entry.hash
        elif entry is not stone and entry.verdict is Verdict.GOOD:
            entry.verdict, entry.why = _surplus(here, stone)
        report.findings.append(Finding(entry.path.name, entry.verdict, entry.why or _summary(entry)))


def _surplus(here: int, stone: _Sealed | None) -> tuple[Verdict, str]:
    """A folder whose number is taken, or is recorded as deleted."""
    if stone is not None and here <= number_of(stone.path):
        return Verdict.GOOD, "was to be deleted"
    return Verdict.ALTERED, "its number stands in the chain twice"


def _gap(number: int, here: int, begun: bool) -> Iterator[Finding]:
    """What is missing between two numbers."""
    first, last = number + 1, here - 1
    if last < first:
        return
    which = f"{first:06d}" if first == last else f"{first:06d} to {last:06d}"
    if begun:
        yield Finding(which, Verdict.MISSING, "no such folder, and no record that it was deleted")
    else:
        yield Finding(which, Verdict.TRUNCATED, "the chain's oldest end is gone without a record of deletion")


def _checked(path: Path, expected: Ed25519PublicKey | str | None) -> _Sealed:
    """Check one folder by itself."""
    entry = _Sealed(path)
    for name in (MANIFEST, SIGNATURE):
        if not (path / name).is_file() or (path / name).is_symlink():
            entry.verdict, entry.why = Verdict.UNSIGNED, f"there is no {name}"
            return entry
    with (path / MANIFEST).open("rb") as file:
        entry.text = file.read(LARGEST)
    with (path / SIGNATURE).open("rb") as file:
        signature = file.read(LARGEST)
    entry.verdict, entry.why = _signed(path, entry.text, signature, expected)
    if entry.verdict is Verdict.GOOD:
        try:
            told = json.loads(entry.text)
            entry.verdict, entry.why = _files(path, told)
            entry.told = told
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            entry.verdict, entry.why = Verdict.ALTERED, f"{MANIFEST} was signed, but is none of this program"
    return entry


def _signed(
    path: Path, text: bytes, signature: bytes, expected: Ed25519PublicKey | str | None
) -> tuple[Verdict, str]:
    """Whether the expected key signed the manifest."""
    beside = _public(path)
    key = expected if isinstance(expected, Ed25519PublicKey) else None
    if isinstance(expected, str) and beside is not None and fingerprint(beside) == expected:
        key = beside
    if key is not None and signed_by(key, signature, text):
        return Verdict.GOOD, ""
    if beside is not None and signed_by(beside, signature, text):
        return Verdict.WRONG_KEY, f"it was signed with {fingerprint(beside)}"
    return Verdict.ALTERED, f"{MANIFEST} or its signature is not what was signed"


def _files(path: Path, told: dict[str, Any]) -> tuple[Verdict, str]:
    """Whether the files are those that the manifest names, and the folder is called as it says."""
    there, listed = files_in(path), told["files"]
    name = TOMBSTONE if told["type"] == "deleted" else told["alert"]
    if path.name != f"{told['number']:06d}-{name}":
        return Verdict.ALTERED, f"the folder was renamed: it is {told['number']:06d}-{name}"
    if gone := [each for each in listed if each not in there]:
        return Verdict.MISSING, f"{', '.join(gone)}: no such file"
    for each, file in there.items():
        if each not in listed:
            return Verdict.ALTERED, f"{each}: was added"
        if file.is_symlink() or not file.is_file() or digest(file) != listed[each]["sha256"]:
            return Verdict.ALTERED, f"{each}: is not what was signed"
    return Verdict.GOOD, ""


def _summary(entry: _Sealed) -> str:
    """What is told of a folder in order."""
    told = entry.told
    if entry.deleted:
        return f"stands for all up to number {told['number']}, deleted {told['sealed']} by quota or age"
    size = sum(each["bytes"] for each in told["files"].values())
    parts = [f"{len(told['files'])} files, {size / 1e6:.1f} MB, sealed {told['sealed']}"]
    if not told.get("complete", True):
        parts.append("INCOMPLETE: " + "; ".join(told.get("problems", [])))
    if lost := told.get("without_evidence", {}).get("count"):
        parts.append(f"{lost} alerts before it have no evidence")
    return "; ".join(parts)
