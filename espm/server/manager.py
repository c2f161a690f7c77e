"""Who accepts connections and holds those that wait for their clients.

Nobody is kept out by those who came before.  When all places are taken, each newcomer gets that of
a stranger: of the peer that has most of them, one that has had its chance, or else the oldest.
When its own peer has too many, it is one of these.  When others of the same peer wait, a stranger
has a second to authenticate.  And a stranger that has sent many small pieces, or many requests, is
looked at twice in a second from then on, however much it sends.
"""

from __future__ import annotations

import heapq
import math
import socket
import time
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cheroot.connections import ConnectionManager, prevent_socket_inheritance

from espm.peer import plain_address
from espm.server.exchange import Connection
from espm.server.lobby import Arrival, Lobby
from espm.server.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from espm.server.connections import Server

_ACCEPTED_AT_ONCE = 64
_SERVED_AT_ONCE = 32


class Manager(ConnectionManager):
    """Holds the connections that wait for their clients; its thread never waits for one.

    A connection is here (in the selector, or resting), or a thread works on it, or it waits for a
    thread; never two of these.  Only this object's thread takes connections out of the selector.

    :ivar looked: the monotonic time at which it last looked around.
    """

    server: Server
    _selector: Any
    _remove_invalid_sockets: Callable[[], None]

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.lobby = Lobby(server.peers, server.limits.waiting_per_peer)
        self.looked = time.monotonic()
        self._rest = Rest()

    def stop(self) -> None:
        """Stop accepting and end :meth:`run`, at once instead of after its next look around."""
        self._stop_requested = True
        with suppress(OSError):
            self.server.socket.shutdown(socket.SHUT_RDWR)
        super().stop()

    def put(self, conn: Connection) -> None:
        """Wait for the client, or go on at once if it has sent the next request already."""
        if conn.tiring:
            self._rest.add(conn)
        elif conn.eager:
            self.server.process_conn(conn)
        else:
            self._hold(conn)

    def _hold(self, conn: Connection) -> None:
        try:
            self._selector.register(conn.socket.fileno(), conn.interest, data=conn)
        except (KeyError, ValueError, OSError):
            # The server stopped between the caller's look and now.
            conn.close()

    def _take_back(self, conn: Connection) -> bool:
        """Return whether no thread works on *conn*; it is the caller's alone then."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(conn.socket.fileno())
            return True
        return self._rest.remove(conn) or bool(self.server.requests.take_back(conn))

    def _run(self, expiration_interval: float) -> None:
        """Look around until told to stop.

        cheroot's own goes by the clock on the wall: set back, it would suspend all deadlines.
        """
        expired = self.looked
        while not self._stop_requested:
            self.looked = time.monotonic()
            try:
                timeout = min(expiration_interval, self._rest.wait())
                ready = list(self._selector.select(timeout=timeout))
            except OSError:
                self._remove_invalid_sockets()
                continue
            self._serve(ready)
            for conn in self._rest.roused():
                self._go_on(conn)
            if time.monotonic() - expired > expiration_interval:
                self._expire(0)
                expired = time.monotonic()

    def _serve(self, ready: Sequence[tuple[int, Any]]) -> None:
        """Give some of what is ready to the threads, and let newcomers in.

        The rest is ready in the next round still: nobody waits long at the door.  Newcomers are
        last, for they may end others.
        """
        conns = [(not conn.preferred, fd, conn) for fd, conn in ready if conn is not self.server]
        for _, fd, conn in heapq.nsmallest(_SERVED_AT_ONCE, conns, key=itemgetter(0)):
            self._selector.unregister(fd)
            self.server.process_conn(conn)
        if len(conns) == len(ready):
            return
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._from_server_socket(self.server.socket):
                return

    def _expire(self, threshold: float) -> None:  # noqa: ARG002 - the deadline is each one's own
        now = time.monotonic()
        self.lobby.close(before=now)
        for fd, conn in [(fd, c) for fd, c in self._selector.connections if c is not self.server]:
            if self._is_late(conn, now):
                self._selector.unregister(fd)
                conn.close()

    def _go_on(self, conn: Connection) -> None:
        """Go on with a connection that has rested."""
        if conn.deadline <= time.monotonic():
            conn.close()
        elif conn.eager:
            self.server.process_conn(conn)
        else:
            self._hold(conn)

    def _is_late(self, conn: Connection, now: float) -> bool:
        if conn.deadline <= now:
            return True
        hurried = not conn.authenticated and self.lobby.waiting(conn.peer)
        return bool(hurried) and conn.since + self.server.limits.patience_seconds <= now

    def _from_server_socket(self, server_socket: socket.socket) -> bool:
        """Accept a connection; return whether there was none."""
        try:
            sock, address = server_socket.accept()
        except BlockingIOError:
            return True
        except OSError as exc:
            if not self._stop_requested:
                # Without file descriptors accept fails at once, again and again.
                self.server.throttle.warn("cannot accept a connection: %s", exc)
                time.sleep(0.05)
            return True
        prevent_socket_inheritance(sock)
        deadline = time.monotonic() + self.server.limits.handshake_seconds
        self._receive(Arrival(sock, plain_address(address[0]), address[1], deadline))
        return False

    def _receive(self, arrival: Arrival) -> None:
        if self._has_place(arrival) and self.lobby.enter(arrival):
            self.welcome_next(arrival.peer)
        else:
            self.server.throttle.warn("too many connections, closed one of %s", arrival.address)
            arrival.sock.close()

    def _has_place(self, arrival: Arrival) -> bool:
        """Return whether there is a place for it, having taken one from another if need be."""
        if self.lobby.full:
            crowds = self.server.peers.crowds()
        elif self.lobby.crowded(arrival.peer):
            crowds = iter([arrival.peer])
        else:
            return True
        found = any(self._end_one(peer) or self.lobby.drop(peer) for peer in crowds)
        if found:
            self.server.throttle.warn("too many connections, ended one for %s", arrival.address)
        return found

    def _end_one(self, peer: str) -> bool:
        strangers = self.server.peers.strangers(peer)
        # Asked once: a thread may close one meanwhile.
        conns = [conn for each in strangers if (conn := each.connection)]
        conns.sort(key=lambda conn: not conn.spent)
        for conn in conns:
            if self._take_back(conn):
                conn.close()
                return True
        return False

    def welcome_next(self, peer: str) -> None:
        """Begin with the connection of *peer* that has waited longest, if there is room."""
        arrival = self.lobby.next(peer)
        if arrival is None:
            return
        conn = Connection(self.server, arrival)
        arrival.connection = conn
        self.put(conn)

    def close(self) -> None:
        """Close all connections that wait."""
        self.lobby.close(before=math.inf)
        self._rest.close()
        super().close()
