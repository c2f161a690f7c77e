"""Who accepts connections and holds those that wait for their clients."""

from __future__ import annotations

import math
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cheroot.connections import ConnectionManager, prevent_socket_inheritance

from espm.peer import plain_address
from espm.server.exchange import Connection
from espm.server.lobby import Arrival, Lobby

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.server.connections import Server


class Manager(ConnectionManager):
    """Holds the connections that wait for their clients; its thread never waits for one.

    :ivar looked: the monotonic time at which it last looked around.
    """

    server: Server
    _selector: Any
    _remove_invalid_sockets: Callable[[], None]

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.lobby = Lobby(server.peers, server.limits.waiting_per_peer)
        self.looked = time.monotonic()

    def _run(self, expiration_interval: float) -> None:
        """Look around until told to stop.

        cheroot's own goes by the clock on the wall: set back, it would suspend all deadlines.
        """
        expired = self.looked
        while not self._stop_requested:
            self.looked = time.monotonic()
            try:
                active = self._selector.select(timeout=expiration_interval)
            except OSError:
                self._remove_invalid_sockets()
                continue
            for fd, conn in active:
                self._attend(fd, conn)
            if time.monotonic() - expired > expiration_interval:
                self._expire(0)
                expired = time.monotonic()

    def _attend(self, fd: int, conn: Any) -> None:
        """Do what a socket with input asks for: the server's, or that of a connection."""
        if conn is self.server:
            self._from_server_socket(self.server.socket)
        else:
            # Until a thread has read from it and put it back.
            self._selector.unregister(fd)
            self.server.process_conn(conn)

    def stop(self) -> None:
        """Stop accepting and end :meth:`run`, at once instead of after its next look around."""
        self._stop_requested = True
        with suppress(OSError):
            self.server.socket.shutdown(socket.SHUT_RDWR)
        super().stop()

    def put(self, conn: Connection) -> None:
        """Wait for the client, or go on at once if it has sent the next request already."""
        if conn.eager:
            self.server.process_conn(conn)
            return
        try:
            self._selector.register(conn.socket.fileno(), conn.interest, data=conn)
        except (KeyError, ValueError, OSError):
            # The server stopped between the caller's look and now.
            conn.close()

    def _expire(self, threshold: float) -> None:  # noqa: ARG002 - the deadline is each one's own
        now = time.monotonic()
        self.lobby.close(before=now)
        held = [(fd, c) for fd, c in self._selector.connections if c is not self.server]
        for fd, conn in held:
            if conn.deadline <= now:
                self._selector.unregister(fd)
                conn.close()

    def _from_server_socket(self, server_socket: socket.socket) -> None:
        """Accept a connection and leave it to the selector."""
        try:
            sock, address = server_socket.accept()
        except BlockingIOError:
            return
        except OSError as exc:
            if self._stop_requested:
                return
            # Without file descriptors accept fails at once, again and again.
            self.server.throttle.warn("cannot accept a connection: %s", exc)
            time.sleep(0.05)
            return
        prevent_socket_inheritance(sock)
        self._receive(sock, plain_address(address[0]), address[1])

    def _receive(self, sock: socket.socket, address: str, port: int) -> None:
        deadline = time.monotonic() + self.server.limits.handshake_seconds
        if self.lobby.enter(Arrival(sock, address, port, deadline)):
            self.welcome_next(address)
        else:
            self.server.throttle.warn("too many connections, closed one of %s", address)
            sock.close()

    def welcome_next(self, address: str) -> None:
        """Begin with the connection of *address* that has waited longest, if there is room."""
        arrival = self.lobby.next(address)
        if arrival is None:
            return
        try:
            wrapped, environ = self.server.ssl_adapter.wrap(arrival.sock)
        except OSError:
            arrival.sock.close()
            self.server.peers.leave(address, stranger=True)
            return
        conn = Connection(self.server, wrapped, (address, arrival.port))
        conn.ssl_env = environ
        self.put(conn)

    def close(self) -> None:
        """Close all connections that wait."""
        self.lobby.close(before=math.inf)
        super().close()
