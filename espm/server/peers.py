"""Who is connected: how many in all, and how many strangers from each address.

A stranger is a connection that has not authenticated yet.  Only strangers count against their
address, so that a platform with many connections, or one behind the same NAT as an attacker, loses
nothing once its key was seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

log = logging.getLogger(__name__)


class Peers:
    """Counts connections; safe to use from every thread.

    :param total: how many connections may be open.
    :param strangers: how many of one address may be open without having authenticated.
    """

    def __init__(self, total: int, strangers: int) -> None:
        self._total = total
        self._most = strangers
        self._open = 0
        self._strangers: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._open

    def strangers(self, address: str) -> int:
        """Return how many connections of *address* have not authenticated yet."""
        return self._strangers.get(address, 0)

    @property
    def room(self) -> int:
        """How many more connections there may be."""
        return self._total - self._open

    def welcomes(self, address: str) -> bool:
        """Return whether :meth:`admit` would admit a stranger from *address* now."""
        return self.room > 0 and self.strangers(address) < self._most

    def admit(self, address: str) -> bool:
        """Count one more stranger from *address*; False, and no change, over a limit."""
        with self._lock:
            if not self.welcomes(address):
                return False
            self._open += 1
            self._strangers[address] += 1
            return True

    def recognise(self, address: str) -> None:
        """Note that a stranger from *address* has authenticated."""
        with self._lock:
            self._forget(address)

    def leave(self, address: str, *, stranger: bool) -> None:
        """Note that a connection from *address* is closed."""
        with self._lock:
            self._open -= 1
            if stranger:
                self._forget(address)

    def _forget(self, address: str) -> None:
        self._strangers[address] -= 1
        if not self._strangers[address]:
            # An entry for everybody who ever came would grow for ever.
            del self._strangers[address]


class Throttle:
    """Warns at most once in a while, so that an attacker does not write our log.

    :param seconds: the time between two lines of the same kind.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._next: dict[str, float] = {}
        self._silent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def warn(self, message: str, *args: object) -> None:
        """Log *message*, a format that also names the kind; or count it as left out."""
        now = time.monotonic()
        with self._lock:
            if now < self._next.get(message, 0.0):
                self._silent[message] += 1
                return
            self._next[message] = now + self._seconds
            silent = self._silent.pop(message, 0)
        log.warning(message, *args)
        if silent:
            log.warning("%d lines like the one above were left out", silent)
