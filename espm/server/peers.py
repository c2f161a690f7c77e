"""Who is connected: how many in all, how many strangers from each peer, and who is known.

A stranger is a connection that has not authenticated yet.  Only strangers count against their
peer, so that a platform with many connections, or one behind the same NAT as an attacker, loses
nothing once its key was seen.  A peer is an IPv4 address or an IPv6 network
(:func:`espm.peer.household`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.server.lobby import Arrival

log = logging.getLogger(__name__)

_ACQUAINTANCES = 1024
_CROWDS = 3


class Peers:
    """Counts connections; safe to use from every thread.

    :param total: how many connections may be open.
    :param strangers: how many of one peer may be open without having authenticated.
    """

    def __init__(self, total: int, strangers: int) -> None:
        self._total = total
        self._most = strangers
        self._open = 0
        self._strangers: dict[str, dict[Arrival, None]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        # How many places strangers have, for peers that are not known and for those that are.
        self._places: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._open

    @property
    def room(self) -> int:
        """How many more connections there may be."""
        return self._total - self._open

    def strangers(self, peer: str) -> list[Arrival]:
        """Return the connections of *peer* that have not authenticated yet, the oldest first."""
        with self._lock:
            return list(self._strangers.get(peer, ()))

    def knows(self, peer: str) -> bool:
        """Return whether a key was seen from *peer* of late: it is worth more than a stranger's."""
        return peer in self._known

    def welcomes(self, peer: str) -> bool:
        """Return whether :meth:`admit` would admit a stranger from *peer* now."""
        return self.room > 0 and len(self._strangers.get(peer, ())) < self._most

    def admit(self, arrival: Arrival) -> bool:
        """Let in one who was expected; False, and no change, over a limit."""
        with self._lock:
            if not self.welcomes(arrival.peer):
                return False
            self._open += 1
            self._strangers.setdefault(arrival.peer, {})[arrival] = None
            return True

    def recognise(self, arrival: Arrival) -> None:
        """Note that a stranger has authenticated; its peer is known from now on."""
        with self._lock:
            self._forget(arrival)
            self._make_known(arrival.peer)

    def leave(self, arrival: Arrival) -> None:
        """Note that a connection is closed."""
        with self._lock:
            self._open -= 1
            self._forget(arrival)

    def expect(self, peer: str) -> None:
        """Note that somebody of *peer* waits to be admitted."""
        with self._lock:
            self._count(peer, 1)

    def dismiss(self, peer: str) -> None:
        """Note that somebody of *peer* has left without having been admitted."""
        with self._lock:
            self._count(peer, -1)

    def crowds(self) -> Iterator[str]:
        """Yield a few peers with most strangers, inside and waiting, the worst first.

        Among equals the longest here comes first, and who is known comes after all others.
        """
        for places in self._places:
            with self._lock:
                left = dict(places)
            for _ in range(min(_CROWDS, len(left))):
                worst = max(left, key=left.__getitem__)
                del left[worst]
                yield worst

    def _forget(self, arrival: Arrival) -> None:
        them = self._strangers.get(arrival.peer, {})
        if arrival not in them:
            return
        del them[arrival]
        self._count(arrival.peer, -1)
        if not them:
            # An entry for everybody who ever came would grow for ever.
            del self._strangers[arrival.peer]

    def _count(self, peer: str, change: int) -> None:
        places = self._places[peer in self._known]
        places[peer] = places.get(peer, 0) + change
        if not places[peer]:
            del places[peer]

    def _make_known(self, peer: str) -> None:
        if peer not in self._known:
            self._known[peer] = None
            self._move(peer, *self._places)
        self._known.move_to_end(peer)
        if len(self._known) > _ACQUAINTANCES:
            oldest, _ = self._known.popitem(last=False)
            self._move(oldest, *reversed(self._places))

    @staticmethod
    def _move(peer: str, source: dict[str, int], target: dict[str, int]) -> None:
        if peer in source:
            target[peer] = source.pop(peer)


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
