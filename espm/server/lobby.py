"""Where new connections wait until their address has room for one more stranger.

A platform that sends fifty requests at once opens fifty connections before the first of them has
authenticated.  Those over the limit are not refused: they wait here, unread and without TLS, each
for a file descriptor only, and go in one by one as others authenticate or leave.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from espm.server.peers import Peers


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that was accepted and nothing else.

    :ivar address: the client's address in its plain form.
    :ivar port: the client's port.
    :ivar deadline: the monotonic time at which it is closed if it still waits.
    """

    sock: socket.socket
    address: str
    port: int
    deadline: float


class Lobby:
    """Arrivals by address, first come first in; safe to use from every thread.

    :param peers: decides who goes in.
    :param seats: how many of one address may wait.
    """

    def __init__(self, peers: Peers, seats: int) -> None:
        self._peers = peers
        self._seats = seats
        self._waiting: dict[str, deque[Arrival]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def enter(self, arrival: Arrival) -> bool:
        """Take a seat; return False if there is none."""
        room = self._peers.room - len(self)
        with self._lock:
            queue = self._waiting.get(arrival.address, deque())
            goes_in = not queue and self._peers.welcomes(arrival.address)
            if room <= 0 or not (goes_in or len(queue) < self._seats):
                return False
            self._waiting[arrival.address] = queue
            queue.append(arrival)
            return True

    def next(self, address: str) -> Arrival | None:
        """Return the next of *address* to go in, already counted by the peers, if one may."""
        with self._lock:
            queue = self._waiting.get(address)
            if not queue or not self._peers.admit(address):
                return None
            arrival = queue.popleft()
            self._tidy(address)
            return arrival

    def close(self, before: float) -> None:
        """Close those whose deadline is not after *before*."""
        with self._lock:
            for address, queue in list(self._waiting.items()):
                while queue and queue[0].deadline <= before:
                    queue.popleft().sock.close()
                self._tidy(address)

    def _tidy(self, address: str) -> None:
        if not self._waiting[address]:
            del self._waiting[address]
