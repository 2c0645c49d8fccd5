"""The enrolled people: one file of the user's own, encrypted where a key is given. No picture is in it."""

import base64
import binascii
import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.fernet import Fernet, InvalidToken
from numpy.typing import NDArray

from stream.errors import ConfigError, OutputError
from stream.identity.match import Person
from stream.networks import Networks
from stream.sinks import state_dir

SCHEMA = 1
LARGEST = 16 << 20  # bytes of the file
MOST = 1000  # people


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """One person as the file has it."""

    name: str
    model: str  # name and version of the detector whose embeddings these are
    embedding: NDArray[np.float32]  # (E,), unit length
    pictures: int  # that it is the mean of
    created: float  # s since the epoch


def default_file() -> Path:
    """Where the people lie if nothing is said."""
    return state_dir() / "enrolled.json"


def expected(name: str, networks: Networks, enrolled: str | None, key: str | None) -> Person:
    """Who `--expect` names, as the detector knows faces. enrolled, key: the files; None as for Gallery.

    Raises ConfigError where the detector knows no faces or the file not this person, OutputError for a file
    that cannot be read.
    """
    if networks.detector.card.likeness is None:
        raise ConfigError(f"--expect: {networks.label} knows no faces (python -m export.identity)")
    return Gallery(Path(enrolled) if enrolled else None, Path(key) if key else None).find(
        name, networks.label
    )


class Gallery:
    """Reads and writes the file; each change replaces it whole."""

    def __init__(self, path: Path | None = None, key: Path | None = None) -> None:
        """path: None for the user's own. key: a file with a Fernet key; made where there is none yet."""
        self._path, self._key = path or default_file(), key

    def all(self) -> tuple[Enrolled, ...]:
        """Everybody. Raises ConfigError for a file that is none, OutputError for one that cannot be read."""
        try:
            data = self._path.read_bytes() if self._path.stat().st_size <= LARGEST else b""
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise OutputError(f"enrolled people {self._path}: {error.strerror or error}") from None
        try:
            held = json.loads(data)
            if isinstance(held.get("sealed"), str):
                held = json.loads(self._opened(held["sealed"]))
            return tuple(_read(each) for each in held["people"])
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise ConfigError(f"enrolled people {self._path}: this file holds none") from None

    def find(self, name: str, model: str) -> Person:
        """One by name, as a detector knows it. Raises ConfigError where there is none, or another's."""
        for each in self.all():
            if each.name == name:
                if each.model != model:
                    raise ConfigError(
                        f"{name} was enrolled with {each.model}; {model} cannot compare that: enrol anew"
                    )
                return Person(name, each.embedding)
        raise ConfigError(f"nobody is enrolled as {name}: facewitness enrol NAME PICTURE…")

    def put(self, person: Enrolled) -> None:
        """Add a person, or another one of the same name in its place. Raises ConfigError, OutputError."""
        others = [each for each in self.all() if each.name != person.name]
        if len(others) >= MOST:
            raise ConfigError(f"{MOST} people are enrolled, which is the most")
        self._write([*others, person])

    def delete(self, name: str) -> None:
        """Nothing of this person is left in the file. Raises ConfigError where there is none."""
        people = self.all()
        left = [each for each in people if each.name != name]
        if len(left) == len(people):
            raise ConfigError(f"nobody is enrolled as {name}")
        self._write(left)

    def _write(self, people: list[Enrolled]) -> None:
        held: dict[str, Any] = {"schema": SCHEMA, "people": [_written(each) for each in people]}
        if self._key is not None:
            sealed = Fernet(self._secret(make=True)).encrypt(json.dumps(held).encode())
            held = {"schema": SCHEMA, "sealed": sealed.decode()}
        part = self._path.with_name(self._path.name + ".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(held, file)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.ExitStack() as stack:
                old = stack.enter_context(self._path.open("r+b")) if self._path.exists() else None
                part.replace(self._path)
                if old is not None:  # what was there before is written over, not just unlinked
                    old.write(bytes(os.fstat(old.fileno()).st_size))
                    old.flush()
                    os.fsync(old.fileno())
        except OSError as error:
            raise OutputError(f"enrolled people {self._path}: {error.strerror or error}") from None

    def _opened(self, sealed: str) -> bytes:
        if self._key is None:
            raise ConfigError(f"enrolled people {self._path}: they are encrypted, give --enrolment-key FILE")
        try:
            return Fernet(self._secret(make=False)).decrypt(sealed)
        except InvalidToken:
            raise ConfigError(f"enrolled people {self._path}: {self._key} is not their key") from None

    def _secret(self, make: bool) -> bytes:
        """The key in the file. Raises ConfigError, OutputError."""
        assert self._key is not None
        try:
            if make and not self._key.exists():
                self._key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                handle = os.open(self._key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(Fernet.generate_key() + b"\n")
            secret = self._key.read_bytes()[:200].strip()
            Fernet(secret)
        except OSError as error:
            raise OutputError(f"enrolment key {self._key}: {error.strerror or error}") from None
        except ValueError:
            raise ConfigError(f"enrolment key {self._key}: no Fernet key (32 bytes in base64)") from None
        return secret


def _written(person: Enrolled) -> dict[str, Any]:
    data = base64.b64encode(person.embedding.astype("<f4").tobytes()).decode()
    return {
        "name": person.name,
        "model": person.model,
        "embedding": data,
        "pictures": person.pictures,
        "created": person.created,
    }


def _read(raw: dict[str, Any]) -> Enrolled:
    embedding = np.frombuffer(base64.b64decode(raw["embedding"], validate=True), "<f4").astype(np.float32)
    if not (embedding.ndim == 1 and embedding.size and abs(np.linalg.norm(embedding) - 1) < 1e-3):
        raise ValueError("no unit vector")
    return Enrolled(
        str(raw["name"]), str(raw["model"]), embedding, int(raw["pictures"]), float(raw["created"])
    )
