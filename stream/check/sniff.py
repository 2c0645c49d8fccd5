"""What a file is, by its first bytes: names lie."""

from pathlib import Path

from stream.check.values import Kind

HEAD = 1 << 16  # bytes that are looked at
_STILL = (b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")  # JPEG, BMP, TIFF
_MOVING = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG-PS
    b"\x00\x00\x01\xb3",  # MPEG-1, MPEG-2
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
)
_HEIF = (b"heic", b"heix", b"mif1", b"avif", b"avis", b"hevc", b"hevx", b"msf1")


def sniff(path: Path) -> Kind:
    """PICTURE, ANIMATION, or VIDEO for all else, which its own reader may still refuse. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.ANIMATION if _before(head, b"acTL", b"IDAT") else Kind.PICTURE
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Kind.ANIMATION
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        moves = head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
        return Kind.ANIMATION if moves else Kind.PICTURE
    if head.startswith(_STILL):
        return Kind.PICTURE
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return Kind.PICTURE
    return Kind.VIDEO


def is_media(path: Path) -> bool:
    """Whether a file begins as a picture or a video of a usual kind does. Raises OSError."""
    if sniff(path) is not Kind.VIDEO:
        return True
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):  # MP4, QuickTime
        return True
    if head[:1] == b"\x47" and head[188:189] in (b"\x47", b""):  # MPEG-TS
        return True
    return head.startswith(_MOVING) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def is_heif(path: Path) -> bool:
    """Whether a picture is of the HEIF family (HEIC, AVIF). Raises OSError."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp"


def _before(head: bytes, one: bytes, other: bytes) -> bool:
    at, limit = head.find(one), head.find(other)
    return at >= 0 and (limit < 0 or at < limit)
