"""A sealed folder: every file's hash in manifest.json, its Ed25519 signature and the public key beside it."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.evidence.key import Signer

SCHEMA = 1
MANIFEST, SIGNATURE, PUBLIC = "manifest.json", "manifest.sig", "public.pem"
SEALED = re.compile(r"(\d{6,12})-(.+)")  # the number in the chain, and the alert's id
TOMBSTONE = "deleted"  # what stands for the id of the record of what was deleted
UNFINISHED = "unfinished-"
LARGEST = 8 << 20  # bytes of a manifest


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path in it, with "/"; the manifest and its signature left out.

    What is neither a plain file nor a folder (a link, a pipe) is named too: it has no business there.
    """
    found = {}
    for base, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in [*names, *links]:
            path = Path(base) / name
            found[path.relative_to(folder).as_posix()] = path
    return {name: found[name] for name in sorted(found) if name not in (MANIFEST, SIGNATURE)}


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                continue
    return total


def seal(folder: Path, fields: Mapping[str, Any], signer: Signer) -> str:
    """Write public key, manifest and signature; all is on the disk when it returns. Raises OSError.

    fields: what the manifest says beside the files. Returns the manifest's SHA-256.
    """
    (folder / PUBLIC).write_bytes(signer.public)
    files = {}
    for name, path in files_in(folder).items():
        _flush(path)
        files[name] = {"sha256": digest(path), "bytes": path.stat().st_size}
    told = {"schema": SCHEMA, **fields, "key": signer.fingerprint, "files": files}
    text = (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
    for name, data in ((MANIFEST, text), (SIGNATURE, signer.sign(text))):
        (folder / name).write_bytes(data)
        _flush(folder / name)
    flush_folder(folder)
    return hashlib.sha256(text).hexdigest()


def flush_folder(folder: Path) -> None:
    """Names in a folder are on the disk when it returns, where the system can promise it."""
    if os.name == "posix":
        _flush(folder)


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
