"""How much memory the C library keeps of what was freed."""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress

# Of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8

#: Seconds between two times that free memory is given back.
EVERY = 60.0

_LARGE = 128 * 1024
_ARENAS = 2


def bound_arenas() -> None:
    """Let all threads share two of malloc's arenas; before the first is started.  Idempotent.

    glibc gives up to eight to each processor, and each keeps what was freed in it: 55 MB more
    for 64 threads.  Threads of Python seldom allocate at the same time.  Other C libraries have no
    arenas.
    """
    _set(_M_ARENA_MAX, _ARENAS)


def return_large() -> None:
    """Let what is large go back to the system as soon as it is freed.  Idempotent.

    glibc begins so, and then takes each large piece that is freed, a CRL say, for a reason to have
    the next ones up to that size, at most 32 MB, in the arenas, where they leave holes.
    """
    _set(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Let what is free between what is in use go back to the system.  Idempotent.

    Of its arenas glibc by itself gives back only what is free behind all the rest.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def stay_small() -> None:
    """Give back every now and then what a busy time needed; never returns."""
    while True:
        time.sleep(EVERY)
        give_back()


def _set(option: int, value: int) -> None:
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(option, value)
