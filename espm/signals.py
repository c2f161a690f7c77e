"""Signals, taken one after the other by the main thread.

What a signal asks for is never done in its handler.  That runs between any two steps of the main
thread: in the middle of a log line, which makes logging fail ("reentrant call"), or with a lock
held, which it then waits for without end.  The handler only puts the signal's name into a
:class:`queue.SimpleQueue`, which is made for that.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NAMES = ("SIGHUP", "SIGTERM", "SIGINT")

#: Seconds between two looks for a signal that did not wake the main thread.
PAUSE = 1.0


class Signals:
    """The signals that came, in their order.

    :param say: told which signals are listened for, and each that was taken.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._arrived: SimpleQueue[str | None] = SimpleQueue()

    def listen(self) -> None:
        """Take signals from now on; only the main thread may call this."""
        for name in NAMES:
            signal.signal(getattr(signal, name), self._put)
            self._say(f"Listening for {name}.")

    def __iter__(self) -> Iterator[str]:
        """Yield the name of each signal once it has come, until :meth:`end`."""
        while (name := self._next()) is not None:
            self._say(f"Caught signal {name}.")
            yield name

    def _next(self) -> str | None:
        """Wait for the next one, and look up every now and then.

        Handlers run in the main thread only, and the kernel may give a signal to another one,
        which does not wake it (Python's documentation of ``signal``, "Execution of Python signal
        handlers").
        """
        while True:
            with suppress(Empty):
                return self._arrived.get(timeout=PAUSE)

    def end(self) -> None:
        """Let the iteration end; any thread may call this."""
        self._arrived.put(None)

    def _put(self, number: int, _: FrameType | None) -> None:
        self._arrived.put(signal.Signals(number).name)
