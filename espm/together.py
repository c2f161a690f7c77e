"""What several ask for at the same time, done by one of them for all.

Some work costs little more for many than for one: starting Ruby takes half a second and signing a
CSR some milliseconds (reference facts on old Puppet, 1.7); a transaction takes its time for being
one.  So whoever comes first takes all along that are there, and those who come meanwhile wait for
the next turn, which the first of them takes.
"""

from __future__ import annotations

import threading
import time
from contextvars import Context
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Wish = TypeVar("Wish")
Result = TypeVar("Result")

#: How many go together; the helper for old Puppet takes no more.
MOST = 100


@dataclass(slots=True, eq=False)
class _Call(Generic[Wish, Result]):
    """Somebody's wish, and what came of it."""

    wish: Wish
    results: Sequence[Result] = ()
    error: Exception | None = None
    done: bool = False


class Together(Generic[Wish, Result]):
    """Does *work* for all who ask at the same time.

    :param work: does it for several: returns for each what came of it, in their order; what it
        raises is for each of them.  Outside of every request: what it logs is not one caller's.
    :param window: seconds that the first waits for others.
    """

    def __init__(
        self, work: Callable[[Sequence[Wish]], Sequence[Result]], window: float = 0.0
    ) -> None:
        self._work = work
        self._window = window
        self._turn = threading.Lock()
        self._queueing = threading.Lock()
        self._queue: list[_Call[Wish, Result]] = []

    def ask(self, wish: Wish) -> Result:
        """Have it done for *wish*; return what came of it."""
        call = _Call[Wish, Result](wish)
        with self._queueing:
            self._queue.append(call)
        with self._turn:
            if not call.done:
                if self._window:
                    time.sleep(self._window)
                self._work_off(call)
        if call.error is not None:
            raise call.error
        (result,) = call.results
        return result

    def _work_off(self, own: _Call[Wish, Result]) -> None:
        batch = self._batch(own)
        try:
            found = Context().run(self._work, [call.wish for call in batch])
            for call, result in zip(batch, found, strict=True):
                call.results = [result]
        except Exception as exc:  # noqa: BLE001 - each of those who asked raises it
            for call in batch:
                call.error = exc if call is own else _twin(exc)
        for call in batch:
            call.done = True

    def _batch(self, own: _Call[Wish, Result]) -> list[_Call[Wish, Result]]:
        """Take *own* and what else waits out of the queue."""
        with self._queueing:
            others = [call for call in self._queue if call is not own]
            self._queue = others[MOST - 1 :]
        return [own, *others[: MOST - 1]]


def _twin(error: Exception) -> Exception:
    """Return another of the kind: one for many threads would get the traceback of all of them."""
    twin = copy(error)
    twin.__cause__ = error.__cause__
    return twin
