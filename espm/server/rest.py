"""Where connections of strangers rest that have been looked at often enough."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.server.exchange import Connection

SECONDS = 0.5

# All of them at once would keep newcomers waiting at the door.
_ROUSED_AT_ONCE = 16


class Rest:
    """Connections that rest for a while, in the order in which they came; for every thread."""

    def __init__(self) -> None:
        self._wakes: dict[Connection, float] = {}
        self._lock = threading.Lock()

    def add(self, conn: Connection) -> None:
        """Let *conn* rest."""
        with self._lock:
            self._wakes[conn] = time.monotonic() + SECONDS

    def remove(self, conn: Connection) -> bool:
        """Return whether *conn* rested, which it does no more."""
        with self._lock:
            return self._wakes.pop(conn, None) is not None

    def roused(self) -> Iterator[Connection]:
        """Take out and yield a few that have rested."""
        for _ in range(_ROUSED_AT_ONCE):
            with self._lock:
                conn, wakes = self._first()
                if conn is None or wakes > time.monotonic():
                    return
                del self._wakes[conn]
            yield conn

    def wait(self) -> float:
        """Return the seconds until the next one has rested; infinity if there is none."""
        with self._lock:
            return max(0.0, self._first()[1] - time.monotonic())

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            resting = list(self._wakes)
            self._wakes.clear()
        for conn in resting:
            conn.close()

    def _first(self) -> tuple[Connection | None, float]:
        return next(iter(self._wakes.items()), (None, math.inf))
