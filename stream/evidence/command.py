"""The command `facewitness verify`: one line for each alert, the head to remember, an exit code."""

from pathlib import Path

from stream.errors import ConfigError, FileMissing
from stream.evidence.verify import check

FINGERPRINT = "SHA256:"


def verify(folder: Path, key: str | None = None, head: str | None = None) -> int:
    """Check a directory and print what was found. Returns 0, or the code of the first thing that is wrong.

    Raises FileMissing, ConfigError (a key that is none).
    """
    wanted = None if key is None else _key(key)
    try:
        report = check(folder, wanted, head)
    except OSError as error:
        raise FileMissing(f"{folder}: {error.strerror or error}") from None
    for finding in report.findings:
        print(_plain(f"{finding.name}: {finding.verdict}: {finding.text}"))
    if report.fingerprint:
        told = "" if key else ", taken from the evidence itself: compare it with the one you know"
        print(f"key {report.fingerprint}{told}")
    if report.head:
        print(f"head {report.head} (number {report.number}): remember it for --head")
    bad = sum(bool(finding.verdict.code) for finding in report.findings)
    print(f"{bad} of {len(report.findings)} wrong" if bad else "all is as it was signed")
    return report.verdict.code


def _plain(line: str) -> str:
    """A line that cannot steer a terminal: names of files may come from anybody."""
    return "".join(c if c.isprintable() else "?" for c in line).encode("utf-8", "replace").decode()


def _key(key: str) -> str:
    """A PEM text or a fingerprint."""
    if key.startswith(FINGERPRINT):
        return key.lower().replace(FINGERPRINT.lower(), FINGERPRINT)
    from stream.evidence.key import public_key

    try:
        pem = Path(key).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"key {key}: {error}") from None
    if public_key(pem.encode()) is None:
        raise ConfigError(f"key {key}: no Ed25519 public key in PEM")
    return pem
