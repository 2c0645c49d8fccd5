"""Gives memory back to the system: glibc keeps what streams that have ended used, torn into small pieces."""

import contextlib
import ctypes
import sys


def give_back() -> None:
    """Return freed memory to the system where the C library can (malloc_trim(3)); takes some milliseconds."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)
