"""What several ask for at the same time, done by one of them for all.

Some work costs little more for many than for one: starting Ruby takes half a second and signing a
CSR some milliseconds (reference facts on old Puppet, 1.7); a transaction takes its time for being
one.  So whoever comes when nothing is under way leads, and those who come meanwhile queue up::

    first ──> leads: works for all that are in the queue ──> each of them goes on, at once
    others ──> queue ──────────^                        └──> the first of the queue leads next
"""

from __future__ import annotations

import threading
import time
from contextvars import Context
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Asked = TypeVar("Asked")
Result = TypeVar("Result")

#: How many go together; the helper for old Puppet takes no more.
MOST = 100


@dataclass(eq=False)
class _Call(Generic[Asked, Result]):
    """What somebody asks for, and what came of it.

    :ivar leads: whether whoever asks is to work for all that are in the queue.
    :ivar go: held until it is done, or is to lead.
    """

    asked: Asked
    leads: bool
    go: threading.Lock = field(default_factory=threading.Lock)
    results: Sequence[Result] = ()
    error: Exception | None = None
    done: bool = False

    def wake(self) -> None:
        """Let the one who asks go on."""
        self.go.release()


class Together(Generic[Asked, Result]):
    """Does *work* for all who ask at the same time.

    :param work: does it for several: returns for each what came of it, in their order; what it
        raises is for each of them.  For more than one it runs outside of every request, for what
        it logs is not one caller's.
    :param window: seconds that a leader waits for others.
    :param patience: seconds that somebody waits for another's work to begin with its own; None
        for as long as it takes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Result]],
        *,
        window: float = 0.0,
        patience: float | None = None,
    ) -> None:
        self._work = work
        self._window = window
        self._patience = -1 if patience is None else patience
        self._lock = threading.Lock()
        self._queue: list[_Call[Asked, Result]] = []
        self._led = False

    def ask(self, asked: Asked) -> Result:
        """Have it done for *asked*; return what came of it.

        :raises TimeoutError: patience was at its end, and nothing was begun.
        :raises Exception: what the work raised.
        """
        with self._lock:
            call: _Call[Asked, Result] = _Call(asked, leads=not self._led)
            call.go.acquire()
            self._queue.append(call)
            self._led = True
        if not call.leads:
            self._wait(call)
        if not call.done:
            self._lead(call)
        return _outcome(call)

    def _wait(self, call: _Call[Asked, Result]) -> None:
        """Return when *call* is done or is to lead."""
        if call.go.acquire(timeout=self._patience):
            return
        with self._lock:
            if call in self._queue and not call.leads:
                self._queue.remove(call)
                msg = "what others asked for before is still under way"
                raise TimeoutError(msg)
        # It has been begun.
        call.go.acquire()

    def _lead(self, own: _Call[Asked, Result]) -> None:
        """Work for all that wait; then let them go on, and the next one lead."""
        if self._window:
            time.sleep(self._window)
        with self._lock:
            others = [call for call in self._queue if call is not own]
            self._queue = others[MOST - 1 :]
        batch = [own, *others[: MOST - 1]]
        try:
            self._work_off(batch)
        finally:
            with self._lock:
                # Where this thread is ended within the work, the others begin anew.
                self._queue[:0] = [call for call in batch[1:] if not call.done]
                self._hand_on()
            for call in batch[1:]:
                if call.done:
                    call.wake()

    def _hand_on(self) -> None:
        """Have the first of the queue lead, if there is one; for the holder of the lock."""
        self._led = bool(self._queue)
        if self._led:
            self._queue[0].leads = True
            self._queue[0].wake()

    def _work_off(self, batch: Sequence[_Call[Asked, Result]]) -> None:
        try:
            found = self._run([call.asked for call in batch])
            for call, result in zip(batch, found, strict=True):
                call.results = [result]
        except Exception as error:  # noqa: BLE001 - each of those who asked raises it
            for call in batch:
                call.error = error if call is batch[0] else _twin(error)
        for call in batch:
            call.done = True

    def _run(self, asked: Sequence[Asked]) -> Sequence[Result]:
        return self._work(asked) if len(asked) == 1 else Context().run(self._work, asked)


def _outcome(call: _Call[Asked, Result]) -> Result:
    # What is raised has a traceback with this frame and the call: they are not to hold it, too.
    error, call.error = call.error, None
    if error is None:
        (result,) = call.results
        return result
    try:
        raise error
    finally:
        del error


def _twin(error: Exception) -> Exception:
    """Return another of the kind: one for many threads would get the traceback of all of them."""
    try:
        twin = copy(error)
    except Exception:  # noqa: BLE001 - it takes other arguments than it keeps
        return error
    twin.__cause__ = error.__cause__
    return twin.with_traceback(error.__traceback__)
