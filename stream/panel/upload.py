"""Takes an uploaded file in:

multipart, written to a folder of its own as it comes, bounded in size and time.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from stream.check.sniff import is_media
from stream.relay.requests import RequestError

T = TypeVar("T")
FIELD = "file"
PIECE = 256 << 10  # bytes that are read at once
STALL = 20.0  # s without a byte
LONGEST = 600.0  # s of an upload
NAME = 100  # characters of a file's name that are kept
_STRANGE = re.compile(r"[^\w.() -]+")


async def receive(request: web.Request, most: int) -> tuple[Path, Path]:
    """The one file of a multipart/form-data body. Returns its folder, which is the caller's to delete, and
    its path.

    Raises RequestError: 400 without such a field, 408 too slow, 413 longer than `most` bytes, 415 for another
    content type or for what is neither a picture nor a video, 507 where the disk is full.
    """
    if request.content_type != "multipart/form-data":
        raise RequestError(415, "the body must be multipart/form-data with a field 'file'")
    if (request.content_length or 0) > most + PIECE:
        raise _too_long(most)
    folder = Path(tempfile.mkdtemp(prefix="facewitness-check-"))  # only its owner may look into it
    try:
        async with asyncio.timeout(LONGEST):
            path = await _received(request, folder, most)
        if not await asyncio.to_thread(is_media, path):
            raise RequestError(415, "this is neither a picture nor a video that is known here")
        return folder, path
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, TimeoutError):
            raise RequestError(408, "the file did not come in time") from None
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            raise RequestError(507, "there is no room for the file here") from None
        raise


async def _received(request: web.Request, folder: Path, most: int) -> Path:
    part = await _part(request)
    path = folder / clean(part.filename or "")
    size = 0
    with path.open("xb") as out:
        while piece := await _understood(part.read_chunk(PIECE)):
            size += len(piece)
            if size > most:
                raise _too_long(most)
            await asyncio.to_thread(out.write, piece)
    if not size:
        raise RequestError(400, "the file is empty")
    return path


async def _part(request: web.Request) -> BodyPartReader:
    """The field that holds the file."""
    reader = await _understood(request.multipart())
    while (part := await _understood(reader.next())) is not None:
        if isinstance(part, BodyPartReader) and part.name == FIELD and part.filename is not None:
            return part
    raise RequestError(400, "there is no field 'file' with a file")


async def _understood(reading: Awaitable[T]) -> T:
    """What is read, in time; for nonsense aiohttp's parser raises whatever comes to it."""
    try:
        async with asyncio.timeout(STALL):
            return await reading
    except (OSError, web.RequestPayloadError):  # of which TimeoutError and ConnectionError are two
        raise
    except Exception:
        raise RequestError(400, "this is no multipart body that can be understood") from None


def clean(name: str) -> str:
    """A client's name for a file, fit for a disk and a page: its last part, of harmless characters."""
    last = _STRANGE.sub("_", re.split(r"[/\\]", unquote(name))[-1]).strip(" .")
    stem, dot, suffix = last.rpartition(".")
    if dot and len(suffix) < 10:
        return f"{stem[: NAME - 1 - len(suffix)] or 'file'}.{suffix}"
    return last[:NAME] or "file"


def _too_long(most: int) -> RequestError:
    return RequestError(413, f"the file is larger than {most >> 20} MiB")
