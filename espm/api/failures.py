"""How often an address may come with a wrong key before it is only told to go away.

What is limited are the answers to *wrong* keys.  Whoever has a right one is let in whatever others
did behind the same address (a NAT, a proxy), so nobody can be locked out by somebody else, and
guessing 256 random bits is hopeless at any rate.  The limit is there for the log: an address gets
one line for each failure that was answered with 401, which fail2ban reads, and none for the rest.

Memory is bounded: a number for each of a bounded number of peers, forgotten when its time is over.
When the table is full, all who are not in it count as one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from espm.api.faults import TooManyFailures
from espm.pace import Pace
from espm.peer import household

if TYPE_CHECKING:
    from collections.abc import Callable

PACE = Pace(most=10, seconds=60.0)
PEERS = 4096

_EVERYBODY_ELSE = ""


class Failures:
    """Failed authentications by peer; safe to use from every thread.

    :param pace: how many a peer may have.
    :param peers: how many peers are told apart.
    :ivar total: how many there were.
    :ivar refused: how many of them were over the limit.
    """

    def __init__(
        self,
        pace: Pace = PACE,
        peers: int = PEERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._peers = peers
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self.total = self.refused = 0

    def counts(self) -> tuple[int, int]:
        """Return how many there were, and how many of them were over the limit."""
        return self.total, self.refused

    def __len__(self) -> int:
        return len(self._due)

    def note(self, address: str) -> None:
        """Count one more failure from *address*.

        :raises espm.api.faults.TooManyFailures: there were too many of late.
        """
        now = self._clock()
        with self._lock:
            self.total += 1
            self._forget(now)
            peer = self._known(household(address))
            due = self._due.get(peer, now)
            later = self._pace.take(due, now)
            if later is None:
                self.refused += 1
                raise TooManyFailures(math.ceil(self._pace.wait(due, now)))
            self._due[peer] = later
            self._due.move_to_end(peer)

    def _forget(self, now: float) -> None:
        """Drop those whose time is over; the longest silent is the first."""
        while self._due and next(iter(self._due.values())) <= now:
            self._due.popitem(last=False)

    def _known(self, peer: str) -> str:
        return peer if peer in self._due or len(self._due) < self._peers else _EVERYBODY_ELSE
