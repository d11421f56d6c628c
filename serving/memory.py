"""Memory that is free, given back to the system: glibc keeps it in the arenas of threads, also of threads that are gone."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Give back what this process does not use; nothing where the C library has no such call."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
