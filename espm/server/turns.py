"""Whose turn it is: connections with input, in the order in which threads look at them.

First come, first served would let whoever sends most have most.  Here every peer has a turn after
every other, however many connections it has; and platforms, with the connections of addresses that
a platform was seen at, come before strangers.  Strangers still get every fourth turn, for one of
them may be a platform that was never here.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espm.server.exchange import Connection

_EVERY = 4


class Line:
    """Connections by peer; the peers take turns."""

    def __init__(self) -> None:
        self._by_peer: dict[str, deque[Connection]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, conn: Connection) -> None:
        """Queue *conn* behind the others of its peer."""
        self._by_peer.setdefault(conn.peer, deque()).append(conn)
        self._size += 1

    def remove(self, conn: Connection) -> bool:
        """Take *conn* out; return whether it was here."""
        mine = self._by_peer.get(conn.peer, deque())
        if conn not in mine:
            return False
        mine.remove(conn)
        if not mine:
            del self._by_peer[conn.peer]
        self._size -= 1
        return True

    def popleft(self) -> Connection:
        """Return the next connection; its peer's turn is over."""
        peer = next(iter(self._by_peer))
        mine = self._by_peer.pop(peer)
        conn = mine.popleft()
        if mine:
            self._by_peer[peer] = mine
        self._size -= 1
        return conn


class LastFirst(threading.Condition):
    """Wakes who began to wait last, where the standard library's wakes who began first.

    Then a few threads do the work of few clients, and the others never come to need the memory
    that each has for a request: a tenth of a megabyte.
    """

    @property
    def waiting(self) -> deque[object]:
        """Those who wait."""
        waiters: deque[object] = vars(self)["_waiters"]
        return waiters

    def notify(self, n: int = 1) -> None:
        """Wake *n* of those who wait."""
        self.waiting.rotate(n)
        super().notify(n)


class Turns(queue.Queue[Any]):
    """A queue of connections for threads, in fair order.

    :param end: what is no connection: threads get it when nothing else is left.
    :param platforms: how many connections of platforms may wait; ``put`` raises ``queue.Full`` over
        it.  Strangers are bounded by the number of their connections, each of which is here once.
    """

    def __init__(self, end: object, platforms: int) -> None:
        super().__init__()
        self.not_empty = self._idle = LastFirst(self.mutex)
        self._end = end
        self._most = platforms

    @property
    def takers(self) -> int:
        """How many threads wait for a connection."""
        return len(self._idle.waiting)

    def take_back(self, conn: Connection) -> bool:
        """Return whether *conn* was in the queue, which it is no more."""
        with self.mutex:
            return self._first.remove(conn) or self._others.remove(conn)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the bounds are each line's own
        self._ends = 0
        self._turn = 0
        self._first, self._others = Line(), Line()

    def _qsize(self) -> int:
        return len(self._first) + len(self._others) + self._ends

    def _put(self, item: Any) -> None:
        if item is self._end:
            self._ends += 1
        elif not item.preferred:
            self._others.append(item)
        elif len(self._first) < self._most:
            self._first.append(item)
        else:
            raise queue.Full

    def _get(self) -> Any:
        self._turn += 1
        lines = [self._first, self._others]
        if not self._turn % _EVERY:
            lines.reverse()
        for line in lines:
            if line:
                return line.popleft()
        self._ends -= 1
        return self._end
