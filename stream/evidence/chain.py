"""The chain of sealed folders in one directory: goes on at its head, loses its oldest end within bounds.

000017-deleted/                     stands for all up to number 17
000018-front-door-1a2b3c4d-3/       each names the hash of the manifest before it
000019-desk-99aa00bb-1/             the head
unfinished-desk-99aa00bb-2/         in work, or left by a crash
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream.errors import OutputError
from stream.evidence.key import Signer
from stream.evidence.manifest import MANIFEST, SEALED, TOMBSTONE, UNFINISHED, flush_folder, seal, size_of

log = logging.getLogger(__name__)

REMEMBERED = 1000  # hashes of deleted manifests that the record of deletion keeps
DAY = 86400.0  # s


class Chain:
    """One directory's chain, for one writer at a time."""

    def __init__(self, folder: Path, signer: Signer, quota: int, days: float | None) -> None:
        """Find the head. quota: bytes; days: None keeps all that fits.

        Raises OutputError where the folder cannot be read, or where the head was made with another key.
        """
        self._folder, self._signer = folder, signer
        self._quota, self._seconds = quota, None if days is None else days * DAY
        try:
            self._sizes = {path: size_of(path) for path in sealed(folder)}  # in the chain's order
            last = next(reversed(self._sizes), None)
            self.number = number_of(last) if last else 0
            text = (last / MANIFEST).read_bytes() if last else b""
        except OSError as error:
            raise OutputError(f"evidence {folder}: {error.strerror or error}") from None
        self.head = self._hash_of(last, text) if last else None
        self._small = False  # was told that the quota holds less than one alert

    def unfinished(self) -> list[Path]:
        """Folders that nobody sealed. Raises OSError."""
        return sorted(path for path in self._folder.iterdir() if path.name.startswith(UNFINISHED))

    def begin(self, name: str) -> Path:
        """A folder for files that are to be sealed. Raises OSError."""
        path = self._folder / f"{UNFINISHED}{name}"
        path.mkdir(exist_ok=True)
        return path

    def seal(self, folder: Path, name: str, fields: Mapping[str, Any]) -> Path:
        """Make the folder the head of the chain; the oldest go where the quota wants it. Raises OSError."""
        size = size_of(folder)
        self.prune(size)
        number = self.number + 1
        told = {"type": "evidence", "number": number, "previous": self.head, "sealed": now_text(), **fields}
        head = seal(folder, told, self._signer)
        place = self._folder / f"{number:06d}-{name}"
        folder.rename(place)
        flush_folder(self._folder)
        self.number, self.head = number, head
        self._sizes[place] = size_of(place)
        return place

    def prune(self, room: int = 0) -> None:
        """Delete the oldest until `room` bytes fit into the quota, and what is too old. Raises OSError."""
        total, oldest = sum(self._sizes.values()) + room, time.time() - (self._seconds or 0)
        gone: list[Path] = []
        for path, size in self._sizes.items():
            if path.name.endswith(f"-{TOMBSTONE}") and SEALED.fullmatch(path.name):
                continue
            old = self._seconds is not None and path.stat().st_mtime < oldest
            if total <= self._quota and not old:
                break
            total -= size
            gone.append(path)
        if total > self._quota and not self._small:
            self._small = True
            log.warning("evidence: one alert takes more than the quota of %.3g GB", self._quota / 1e9)
        if gone:
            self._bury(gone)

    def _bury(self, gone: list[Path]) -> None:
        """Record what is deleted, then delete it: after a crash in between it is deleted the next time."""
        before = [path for path in self._sizes if path.name.endswith(f"-{TOMBSTONE}")]
        hashes = [each for path in before for each in _deleted(path)] + [_hash(path) for path in gone]
        through = number_of(gone[-1])
        part = self.begin(f"{TOMBSTONE}-{through}")
        told = {
            "type": "deleted",
            "number": through,
            "through": hashes[-1],
            "deleted": hashes[-REMEMBERED:],
            "sealed": now_text(),
        }
        seal(part, told, self._signer)
        place = self._folder / f"{through:06d}-{TOMBSTONE}"
        part.rename(place)
        flush_folder(self._folder)
        for path in [*before, *gone]:
            shutil.rmtree(path)
            del self._sizes[path]
        self._sizes = {place: size_of(place), **self._sizes}
        log.info("evidence: deleted %d alerts, the oldest, up to number %d", len(gone), through)

    def sweep(self) -> None:
        """Delete what a record of deletion stands for and a crash left behind. Raises OSError."""
        stones = [path for path in self._sizes if path.name.endswith(f"-{TOMBSTONE}")]
        if not stones:
            return
        through = number_of(stones[-1])
        for path in list(self._sizes):
            if number_of(path) <= through and path != stones[-1]:
                shutil.rmtree(path)
                del self._sizes[path]

    def _hash_of(self, path: Path, text: bytes) -> str:
        """What the next manifest names as the one before."""
        try:
            told = json.loads(text)
            key, through = told["key"], told.get("through")
        except (ValueError, KeyError, TypeError, AttributeError):  # damaged: goes on from it as it is
            return hashlib.sha256(text).hexdigest()
        if key != self._signer.fingerprint:
            raise OutputError(
                f"evidence {self._folder}: {path.name} was signed with another key ({key}): "
                "give that key with --evidence-key, or another folder"
            )
        return str(through) if through else hashlib.sha256(text).hexdigest()


def _hash(path: Path) -> str:
    """Of a folder's manifest as it is; where it is gone, one that no manifest has: the gap stays visible."""
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return hashlib.sha256(b"").hexdigest()


def _deleted(path: Path) -> list[str]:
    """The hashes that a record of deletion remembers."""
    try:
        return [str(each) for each in json.loads((path / MANIFEST).read_bytes())["deleted"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def sealed(folder: Path) -> list[Path]:
    """The sealed folders in the order of their numbers, a record of deletion after what it stands for."""
    found = [path for path in folder.iterdir() if SEALED.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: (number_of(path), path.name.endswith(f"-{TOMBSTONE}"), path.name))


def number_of(path: Path) -> int:
    """A sealed folder's number."""
    return int(path.name.partition("-")[0])


def now_text() -> str:
    """The time of day, ISO 8601 UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
