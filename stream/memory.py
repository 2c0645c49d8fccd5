"""Keeps a process small in which threads come and go: glibc gives each a heap, and keeps the holes in all."""

import contextlib
import ctypes
import sys

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # M_… of malloc.h
LARGE = 32 << 20  # bytes, the highest threshold that glibc takes; a picture of 1080p has 6 million
KEPT = 64 << 20  # bytes at the end of the heap that are not given back between two pictures
ARENAS = 2  # heaps; the streams' own code allocates a few large buffers a picture, which is no crowd


def few_heaps() -> None:
    """Let all threads share a few heaps (mallopt(3)); to be called before there are many threads."""
    _ask("mallopt", _ARENA_MAX, ARENAS)


def keep_pictures() -> None:
    """Let the next picture have the last one's memory: glibc gives buffers of such a size back to the system.

    Getting one anew costs a page fault every 4 KiB: for pictures of 720p a fifth of a reader's time.
    """
    _ask("mallopt", _MMAP_THRESHOLD, LARGE)
    _ask("mallopt", _TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """Return freed memory to the system (malloc_trim(3)); takes some milliseconds."""
    _ask("malloc_trim", 0)


def _ask(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            getattr(ctypes.CDLL(None), function)(*arguments)
