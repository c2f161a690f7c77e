"""How many requests may wait for Puppet, so that the others never do.

A thread that waits for a CA is a thread that serves nobody.  At most a part of them may; the
next request is told so at once instead of queueing behind them.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm.errors import TooBusy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gate:
    """Lets *places* requests through at a time."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Hold a place for the block.

        :raises espm.errors.TooBusy: there is none.
        """
        if not self._places.acquire(blocking=False):
            msg = "too many requests wait for Puppet; try again soon"
            raise TooBusy(msg)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def if_room(self) -> Iterator[bool]:
        """Hold a place for the block if there is one, and say whether."""
        got = self._places.acquire(blocking=False)
        try:
            yield got
        finally:
            if got:
                self._places.release()
