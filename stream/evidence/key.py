"""The key that signs evidence: Ed25519 (RFC 8032), made at first use, and its public half's fingerprint."""

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stream.errors import ConfigError, OutputError

LARGEST = 1 << 16  # bytes of a key file


def default_key() -> Path:
    """Where the key lies by default: in XDG's folder for settings. Raises ConfigError without a home."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        folder = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    except RuntimeError:
        raise ConfigError("evidence: this user has no home for the key: give --evidence-key FILE") from None
    return folder / "facewitness" / "evidence.key"


class Signer:
    """Signs, and knows its public half."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = fingerprint(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)


def open_signer(path: Path) -> Signer:
    """The key in a file; made there, for its owner's eyes only, if there is none.

    Raises ConfigError for a file that holds no such key or may be read by others, OutputError where none can
    be made.
    """
    try:
        if not path.exists():
            _make(path)
        data = _private(path)
    except OSError as error:
        raise OutputError(f"evidence key {path}: {error.strerror or error}") from None
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"evidence key {path}: no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"evidence key {path}: it is no Ed25519 key")
    return Signer(key)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)  # fails where another process was faster: its key is ours then
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"evidence key {path}: others may read it: chmod 600 it, or make a new one")
        return file.read(LARGEST)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER, as `openssl pkey -pubin -outform DER | sha256sum` gives it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + hashlib.sha256(der).hexdigest()


def public_key(pem: bytes) -> Ed25519PublicKey | None:
    """The public key in a PEM text; None where there is no such key in it."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def signed_by(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether the signature over the data is this key's."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
