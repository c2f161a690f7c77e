"""Where new connections wait until their peer has room for one more stranger.

A platform that sends fifty requests at once opens fifty connections before the first of them has
authenticated.  Those over the limit are not refused: they wait here, unread and without TLS, each
for a file descriptor only, and go in one by one as others authenticate or leave.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm.peer import household

if TYPE_CHECKING:
    import socket

    from espm.server.exchange import Connection
    from espm.server.peers import Peers


@dataclass(slots=True, eq=False)
class Arrival:
    """A connection that was accepted.

    :ivar address: the client's address in its plain form.
    :ivar port: the client's port.
    :ivar deadline: the monotonic time at which it is closed if it still waits.
    :ivar peer: who counts as one with it.
    :ivar connection: what became of it, once it was admitted.
    """

    sock: socket.socket
    address: str
    port: int
    deadline: float
    peer: str = field(init=False)
    connection: Connection | None = None

    def __post_init__(self) -> None:
        """Find the peer."""
        self.peer = household(self.address)


class Lobby:
    """Arrivals by peer, first come first in; safe to use from every thread.

    :param peers: decides who goes in.
    :param seats: how many of one peer may wait.
    """

    def __init__(self, peers: Peers, seats: int) -> None:
        self._peers = peers
        self._seats = seats
        self._waiting: dict[str, deque[Arrival]] = {}
        self._number = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._number

    @property
    def full(self) -> bool:
        """Whether all places, inside and here, are taken."""
        return self._peers.room <= self._number

    def waiting(self, peer: str) -> int:
        """Return how many of *peer* wait."""
        return len(self._waiting.get(peer, ()))

    def crowded(self, peer: str) -> bool:
        """Return whether all seats of *peer* are taken."""
        return self.waiting(peer) >= self._seats

    def enter(self, arrival: Arrival) -> bool:
        """Take a seat; return False if there is none."""
        with self._lock:
            queue = self._waiting.get(arrival.peer, deque())
            goes_in = not queue and self._peers.welcomes(arrival.peer)
            if self.full or not (goes_in or len(queue) < self._seats):
                return False
            self._waiting[arrival.peer] = queue
            queue.append(arrival)
            self._number += 1
            self._peers.expect(arrival.peer)
            return True

    def next(self, peer: str) -> Arrival | None:
        """Return the next of *peer* to go in, already counted by the peers, if one may."""
        with self._lock:
            queue = self._waiting.get(peer)
            if not queue or not self._peers.admit(queue[0]):
                return None
            return self._pop(peer)

    def drop(self, peer: str) -> bool:
        """Close the one of *peer* that has waited longest; return whether there was one."""
        with self._lock:
            if peer not in self._waiting:
                return False
            self._turn_away(peer)
            return True

    def close(self, before: float) -> None:
        """Close those whose deadline is not after *before*."""
        with self._lock:
            for peer, queue in list(self._waiting.items()):
                while queue and queue[0].deadline <= before:
                    self._turn_away(peer)

    def _turn_away(self, peer: str) -> None:
        self._pop(peer).sock.close()
        self._peers.dismiss(peer)

    def _pop(self, peer: str) -> Arrival:
        queue = self._waiting[peer]
        arrival = queue.popleft()
        self._number -= 1
        if not queue:
            del self._waiting[peer]
        return arrival
