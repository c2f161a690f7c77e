"""Calls that come at the same time, done by one of them for all.

Starting Ruby takes half a second and signing a CSR some milliseconds (reference facts on old
Puppet, 1.7).  So whoever comes first waits a moment for others, takes all that are there along,
and those who come meanwhile wait for the next turn, which the first of them takes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds that the first waits for others.
WINDOW = 0.02

#: How many go together; the helper takes no more.
MOST = 100


class _Call:
    """Somebody's wish, and whether it was done."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Exception | None = None
        self.done = False


class Together:
    """Does *work* for the names of all who ask at the same time.

    :param work: does it for several names; what it raises is for each of them.
    """

    def __init__(self, work: Callable[[Sequence[str]], object]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self._queueing = threading.Lock()
        self._queue: list[_Call] = []

    def ask(self, name: str) -> None:
        """Have it done for *name*; return when it is."""
        call = _Call(name)
        with self._queueing:
            self._queue.append(call)
        with self._turn:
            if not call.done:
                time.sleep(WINDOW)
                self._work_off(call)
        if call.error is not None:
            # One exception for many threads would get the traceback of all of them.
            raise type(call.error)(*call.error.args) from call.error

    def _work_off(self, own: _Call) -> None:
        batch = self._batch(own)
        error = None
        try:
            self._work(list(dict.fromkeys(call.name for call in batch)))
        except Exception as exc:  # noqa: BLE001 - each of those who asked raises it
            error = exc
        for call in batch:
            call.error, call.done = error, True

    def _batch(self, own: _Call) -> list[_Call]:
        """Take *own* and what else waits out of the queue."""
        with self._queueing:
            others = [call for call in self._queue if call is not own]
            self._queue = others[MOST - 1 :]
        return [own, *others[: MOST - 1]]
