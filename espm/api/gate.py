"""How many requests may wait for Puppet, so that the others never do.

A thread that waits for a CA is a thread that serves nobody.  At most a part of them may; the
next request is told so at once instead of queueing behind them.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm.errors import TooBusy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gate:
    """Lets *places* requests through at a time; nobody waits here, so no semaphore is needed."""

    def __init__(self, places: int) -> None:
        self._free = deque(range(places))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Hold a place for the block.

        :raises espm.errors.TooBusy: there is none.
        """
        place = self._take()
        if place is None:
            msg = "too many requests wait for Puppet; try again soon"
            raise TooBusy(msg)
        try:
            yield
        finally:
            self._free.append(place)

    @contextmanager
    def if_room(self) -> Iterator[bool]:
        """Hold a place for the block if there is one, and say whether."""
        place = self._take()
        try:
            yield place is not None
        finally:
            if place is not None:
                self._free.append(place)

    def _take(self) -> int | None:
        try:
            return self._free.pop()
        except IndexError:
            return None
