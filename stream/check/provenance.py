"""Content credentials (C2PA, https://spec.c2pa.org): who signed a file, and whether it is as it was signed.

Read by the package c2pa-python where it is installed (`pip install 'facewitness[provenance]'`).
"""

import json
from pathlib import Path
from typing import Any

from stream.check.values import Provenance

LONGEST = 300  # characters of what is told


def provenance_of(path: Path) -> Provenance:
    """What the file's manifest says; "not read" without the package, "absent" without a manifest."""
    try:
        import c2pa
    except ImportError:
        return Provenance()
    try:
        # A file must not make us ask the network for anything.
        quiet = c2pa.Context.from_dict({"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}})
        with path.open("rb") as file, c2pa.Reader(_mime(path), file, context=quiet) as reader:
            return judge(json.loads(reader.json()))
    except c2pa.C2paError as error:
        text = str(error)
        absent = "ManifestNotFound" in text or "no JUMBF" in text or "NotSupported" in text
        return Provenance("absent") if absent else Provenance("broken", text[:LONGEST])
    except (OSError, ValueError) as error:
        return Provenance("not read", str(error)[:LONGEST])


def judge(store: dict[str, Any]) -> Provenance:
    """From the reader's manifest store to a status. Pure."""
    active = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    signer = active.get("signature_info", {}) or {}
    makers = active.get("claim_generator_info") or [{}]
    maker = active.get("claim_generator") or makers[0].get("name") or "unknown software"
    by = f"signed by {signer.get('issuer') or signer.get('common_name') or 'nobody named'}, made with {maker}"
    if signer.get("time"):
        by += f", {signer['time']}"
    state = str(store.get("validation_state", ""))
    codes = [str(each.get("code", "")) for each in store.get("validation_status") or ()]
    broken = [code for code in codes if "untrusted" not in code.lower()]
    if state == "Invalid" or broken:
        return Provenance("broken", f"{by}; {', '.join(broken) or 'not as it was signed'}"[:LONGEST])
    if state == "Trusted" or (state != "Valid" and not codes):
        return Provenance("valid", by[:LONGEST])
    return Provenance(
        "untrusted", f"{by}; as it was signed, by a signer whom no list of trust knows"[:LONGEST]
    )


def _mime(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG"):
        return "image/png"
    if head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"GIF8"):
        return "image/gif"
    return "video/mp4"
