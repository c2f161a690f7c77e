"""Calls that come at the same time, done by one of them for all.

Starting Ruby takes half a second and signing a CSR some milliseconds (reference facts on old
Puppet, 1.7).  So whoever comes first waits a moment for others, takes all that are there along,
and those who come meanwhile wait for the next turn, which the first of them takes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

#: Seconds that the first waits for others.
WINDOW = 0.02

#: How many go together; the helper takes no more.
MOST = 100


class _Call(Generic[T]):
    """Somebody's wish, and what came of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.result: T | None = None
        self.error: Exception | None = None
        self.done = False


class Together(Generic[T]):
    """Does *work* for the names of all who ask at the same time.

    :param work: does it for several names; what it returns, or raises, is for each of them.
    """

    def __init__(self, work: Callable[[Sequence[str]], T]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self._queueing = threading.Lock()
        self._queue: list[_Call[T]] = []

    def ask(self, name: str) -> T | None:
        """Have it done for *name*, and return what came of it."""
        call: _Call[T] = _Call(name)
        with self._queueing:
            self._queue.append(call)
        with self._turn:
            if not call.done:
                time.sleep(WINDOW)
                self._work_off(call)
        if call.error is not None:
            # One exception for many threads would get the traceback of all of them.
            raise type(call.error)(*call.error.args) from call.error
        return call.result

    def _work_off(self, own: _Call[T]) -> None:
        batch = self._batch(own)
        result = error = None
        try:
            result = self._work(list(dict.fromkeys(call.name for call in batch)))
        except Exception as exc:  # noqa: BLE001 - each of those who asked raises it
            error = exc
        for call in batch:
            call.result, call.error, call.done = result, error, True

    def _batch(self, own: _Call[T]) -> list[_Call[T]]:
        """Take *own* and what else waits out of the queue."""
        with self._queueing:
            others = [call for call in self._queue if call is not own]
            self._queue = others[MOST - 1 :]
        return [own, *others[: MOST - 1]]
