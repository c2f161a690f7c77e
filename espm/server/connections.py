"""The HTTPS server: cheroot's, with connections that cost no thread while they are quiet.

cheroot's accept thread does TLS handshakes, its worker threads wait for slow clients, and a full
queue stops its accept thread for ten seconds.  :mod:`~espm.server.manager` accepts,
:mod:`~espm.server.exchange` takes a connection from step to step, :mod:`~espm.server.workers` has
the threads, and :mod:`~espm.server.gateway` calls the application.  They use private names of
cheroot's (``_selector``, ``_run``, ``_connections``), hence the bound on its version and
``tests/api/test_server_slow.py``.
"""

from __future__ import annotations

import logging
import queue
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cheroot.wsgi import Server as CherootServer

from espm.server.framing import Refused
from espm.server.manager import Manager
from espm.server.peers import Peers, Throttle
from espm.server.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.server.exchange import Connection
    from espm.server.tls import Adapter

log = logging.getLogger(__name__)

#: Seconds after which the thread that accepts connections hangs.  It looks around twice a second;
#: with 1,000 clients that dripped, 0.6 seconds were the longest it took.
LOOKS_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What clients may cost; every time is for the whole of its phase.

    :ivar threads: worker threads; each works on one complete request.
    :ivar accepted_queue: connections of platforms with input that wait for a thread; over it 503.
    :ivar backlog: connections that the kernel holds for us.
    :ivar connections: open connections in all; over it a stranger goes for each that comes.
    :ivar strangers_per_peer: connections of one peer that have not authenticated and are listened
        to; a peer is an IPv4 address or an IPv6 network of 64 bits.
    :ivar waiting_per_peer: connections of one peer that wait until they are listened to; over it
        they are closed at once.
    :ivar header_bytes: size of request line and headers.
    :ivar body_bytes: size of a body.
    :ivar handshake_seconds: from the connection to the end of the TLS handshake.
    :ivar header_seconds: from the first octet of a request to the end of its headers, and how long
        a stranger may be idle.
    :ivar body_seconds: from the end of the headers to the end of the body.
    :ivar response_seconds: from the first octet of the answer until the client took the last.
    :ivar idle_seconds: between two requests of an authenticated client.
    :ivar patience_seconds: what a stranger that is waited for has when others of its peer wait.
    :ivar shutdown_seconds: how long :meth:`Server.stop` lets requests finish.
    """

    threads: int = 64
    accepted_queue: int = 200
    backlog: int = 1024
    connections: int = 512
    strangers_per_peer: int = 256
    waiting_per_peer: int = 64
    header_bytes: int = 16 * 1024
    body_bytes: int = 256 * 1024
    handshake_seconds: float = 10.0
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    response_seconds: float = 60.0
    idle_seconds: float = 60.0
    patience_seconds: float = 1.0
    shutdown_seconds: float = 30.0


class Server(CherootServer):
    """The HTTPS server; make it with :func:`build_server`.

    :ivar peers: counts of open connections.
    """

    version = "espm"
    software = "espm"

    def __init__(
        self, bind_addr: tuple[str, int], wsgi_app: Callable[..., Any], limits: ServerLimits
    ) -> None:
        super().__init__(bind_addr, wsgi_app, server_name="espm")
        self.limits = limits
        self.request_queue_size = limits.backlog
        self.timeout = int(limits.idle_seconds)
        self.shutdown_timeout = limits.shutdown_seconds
        self.requests = Pool(self, limits.threads, limits.accepted_queue)
        self.peers = Peers(limits.connections, limits.strangers_per_peer)
        self.throttle = Throttle()
        self.socket = None

    def claim(self) -> None:
        """Bind the port, so that a busy one is found before anything else is started.

        :meth:`start` does it too.  Idempotent; :meth:`stop` gives the port back.  ``bind_addr``
        has the real port afterwards.

        :raises OSError: the port is taken, or the address or name is not this host's.
        """
        if self.socket is not None:
            return
        host, port = self.bind_addr
        try:
            self.socket = self._bound_socket(host, port)
        except OSError as exc:
            message = f"cannot listen on {host} port {port}: {exc.strerror}"
            raise OSError(exc.errno, message) from exc
        self.bind_addr = self.socket.getsockname()[:2]

    def _bound_socket(self, host: str, port: int) -> socket.socket:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _name, address = found[0]
        sock: socket.socket = self.prepare_socket(
            address, family, kind, proto, self.nodelay, self.ssl_adapter
        )
        try:
            sock.bind(address)
            sock.settimeout(0)
        except OSError:
            sock.close()
            raise
        return sock

    def prepare(self) -> None:
        """Listen and start the threads; :meth:`start` calls it.

        cheroot's own would take file descriptor 3 for the socket if the environment has any
        ``LISTEN_PID``.
        """
        self._interrupt = None
        self.claim()
        self.socket.listen(self.request_queue_size)
        self._connections = Manager(self)
        self.requests.start()
        self.ready = True
        self._start_time = time.time()

    def stop(self) -> None:
        """Stop accepting, let the requests that are being answered finish, close everything.

        Returns after ``shutdown_seconds`` at the latest, plus half a second for the selector.
        """
        super().stop()
        if self.socket is not None:
            # It was claimed, but never served.
            self.socket.close()
            self.socket = None

    def process_conn(self, conn: Connection) -> None:
        """Give a connection with input to a thread, or turn it away if too many wait."""
        if conn.draining:
            self._keep(conn, keep=conn.discard())
            return
        try:
            self.requests.put(conn)
        except queue.Full:
            busy = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests; try again soon.")
            self._keep(conn, keep=conn.refuse(busy))

    def _keep(self, conn: Connection, *, keep: bool) -> None:
        if keep:
            self.put_conn(conn)
        else:
            conn.close()

    def stuck(self) -> str | None:
        """Return in what the server hangs; None while it answers somebody, or does not serve.

        That all threads are busy is no reason as long as one of them becomes free now and then:
        the slowest reader of an answer has ``response_seconds``, and who waits for Puppet has no
        more than a part of the threads.
        """
        if not self.ready:
            return None
        now = time.monotonic()
        if (since := now - self._connections.looked) > LOOKS_WITHIN:
            return f"nobody has looked for connections for {since:.0f} s"
        if (since := now - self.requests.freed) > 1.5 * self.limits.response_seconds:
            busy = f"all {self.limits.threads} threads are busy, none was free for {since:.0f} s"
            return None if self.requests.idle else busy
        return None

    def welcome_next(self, peer: str) -> None:
        """Take on one more client of *peer*, after one has authenticated or left."""
        if self.ready:
            self._connections.welcome_next(peer)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's signature
        """Log what cheroot has to say."""
        log.log(level, "%s", msg, exc_info=traceback)


def build_server(
    bind_addr: tuple[str, int], wsgi_app: Callable[..., Any], adapter: Adapter, limits: ServerLimits
) -> Server:
    """Return a server that does not listen yet.

    :param bind_addr: host and port; port 0 takes a free one.
    :param wsgi_app: gets what :mod:`espm.server.gateway` says, with ``espm.connection``: set its
        ``authenticated`` once the client's key was found good.
    :param adapter: TLS; its ``context`` may be replaced while the server runs.
    """
    server = Server(bind_addr, wsgi_app, limits)
    server.ssl_adapter = adapter
    return server
