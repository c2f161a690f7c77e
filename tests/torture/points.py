"""The points at which espm touches the outside world, counted; and the end it may meet there.

Production code has no hooks.  :mod:`tests.torture.daemon` puts these around the ports of a daemon,
and a test writes an order into a file: kill the process at this point, let that one fail.  A point
is named by what is called, the side of the call, and how often it was passed since the order came::

    ca.sign before 1      ca.sign after 1      enc.rename before 2      ledger.commit after 3

Imports nothing but espm and the standard library, for it also runs as another user in a directory
of its own.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

from espm.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ORDER, _TRACE = "order.json", "trace"


@dataclass
class Order:
    """What a test wants of a daemon, from now on.

    :ivar kill: the point at which it ends, by SIGKILL.
    :ivar fail: the point at which a call fails.
    """

    kill: str = ""
    fail: str = ""


@dataclass
class Control:
    """The test's side: gives orders and reads which points were passed."""

    directory: Path

    def give(self, order: Order) -> None:
        """Count anew from now on, and do as *order* says."""
        trace = self.directory / _TRACE
        trace.write_text("")
        trace.chmod(0o666)  # The daemon may be of another user.
        aside = self.directory / "order.new"
        aside.write_text(json.dumps(asdict(order)))
        aside.chmod(0o644)
        aside.replace(self.directory / _ORDER)

    def passed(self) -> list[str]:
        """Return the points that were passed since the last order."""
        return (self.directory / _TRACE).read_text().splitlines()

    def withdraw(self) -> None:
        """Let the daemon do as it likes."""
        (self.directory / _ORDER).unlink(missing_ok=True)


@dataclass
class Points:
    """The daemon's side: knows which point is passed for which time."""

    directory: Path
    _seen: tuple[int, int] = (0, 0)
    _order: Order | None = None
    _passed: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passing(self, point: str, error: Callable[[], Exception]) -> None:
        """Pass a point; it may be the last one, or raise *error*."""
        with self._lock:
            order = self._current()
            if order is None:
                return
            self._passed[point] += 1
            label = f"{point} {self._passed[point]}"
            self._note(label)
            if label == order.kill:
                os.kill(os.getpid(), signal.SIGKILL)
        if label == order.fail:
            raise error()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call* with a point before it and one after it."""

        @wraps(call)
        def watched(*arguments: Any, **options: Any) -> Any:
            self.passing(f"{name} before", _away)
            answer = call(*arguments, **options)
            self.passing(f"{name} after", _away)
            return answer

        return watched

    def _current(self) -> Order | None:
        """Return the order in force; a new file is a new order."""
        try:
            status = (self.directory / _ORDER).stat()
        except FileNotFoundError:
            return None
        if self._seen != (status.st_ino, status.st_mtime_ns):
            self._seen = (status.st_ino, status.st_mtime_ns)
            self._order = Order(**json.loads((self.directory / _ORDER).read_text()))
            self._passed.clear()
        return self._order

    def _note(self, label: str) -> None:
        # One write to a file that is opened for appending outlives the process at once.
        with (self.directory / _TRACE).open("a") as trace:
            trace.write(label + "\n")


def _away() -> Exception:
    return BackendUnavailable("the test lets this fail")
