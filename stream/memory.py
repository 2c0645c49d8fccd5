"""Keeps a process small in which threads come and go: glibc gives each a heap, and keeps the holes in all."""

import contextlib
import ctypes
import sys

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
ARENAS = 2  # heaps; the streams' own code allocates a few large buffers a picture, which is no crowd


def few_heaps() -> None:
    """Let all threads share a few heaps (mallopt(3)); to be called before there are many threads."""
    _ask("mallopt", _ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return freed memory to the system (malloc_trim(3)); takes some milliseconds."""
    _ask("malloc_trim", 0)


def _ask(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            getattr(ctypes.CDLL(None), function)(*arguments)
