"""How far a command is, for somebody who waits at a terminal; nothing for anybody else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

# Often enough to be seen moving.
_SECONDS = 0.1


def shown(items: Iterable[T], total: int, noun: str) -> Iterator[T]:
    """Yield *items*, telling a terminal on standard error how many of *total* there were.

    The line is gone when they end, or nobody wants more of them.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    due = 0.0
    try:
        for count, item in enumerate(items, 1):
            if (now := time.monotonic()) >= due:
                due = now + _SECONDS
                sys.stderr.write(f"\r{noun} {count} of {total}")
                sys.stderr.flush()
            yield item
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
