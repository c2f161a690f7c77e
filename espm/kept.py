"""Connections to one HTTPS server that are kept between calls; each is one thread's at a time.

A request is one piece, head and body: apart, Puppet Server is woken for each.  Or it is begun ahead
of its time: Puppet Server finds out who asks, for what, and whether that is allowed, before it
reads a body.  What is no request yet it can't obey: its Content-Length says that more is to come,
and without its last octet JSON is no JSON::

    begun: all but the last octet is sent ──> taken: that is sent, and an answer awaited
                                     └──> left, old, or the server spoke: closed

What has no answer yet is never sent again from here.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
import weakref
from collections import deque
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from espm.answer import Answer
from espm.deadline import Socket, left

if TYPE_CHECKING:
    from espm.model import PuppetAccess

_RECORD = 16 * 1024  # the most one TLS record holds

#: How many are kept; more are made where more threads call at once.
MOST = 32

#: Seconds after which what was begun is not gone on with: Puppet Server gives up on it after 30
#: (Jetty's idle timeout).
FRESH = 5.0


class NoConnection(ConnectionError):
    """None can be made: nobody listens there, or there is no such host."""


class Connections:
    """Those to one server; for any number of threads.

    :param host: its name or address.
    :param access: the certificates, which are read anew for each connection.
    :ivar busy: those that wait for an answer, or for the rest of a request; only to be looked at.
    """

    def __init__(self, host: str, port: int, access: PuppetAccess) -> None:
        self._address = host, port
        self._access = access
        # The one that was used last is used next: the server closes those that rest for long.
        self._kept: deque[_Connection] = deque()
        self.busy: set[_Connection] = set()
        # Whoever forgets to close them leaves nothing open.
        weakref.finalize(self, _close_all, self._kept)

    def begin(self, request: bytes) -> Begun | None:
        """Send all of *request* but its last octet, for :meth:`ask` to go on with.

        None where no connection is at hand, or it can't be sent: nothing was asked yet, so that
        is no error.
        """
        connection = self._free()
        if connection is None:
            return None
        begun = Begun(request, connection, self.busy)
        try:
            connection.send(request[:-1])
        except OSError:
            begun.leave()
            return None
        return begun

    def ask(self, request: bytes, longest: int, begun: Begun | None = None) -> tuple[int, bytes]:
        """Send *request*, whole as HTTP/1.1 has it; return status and body of the answer.

        It has what is left in :class:`espm.deadline.Within`; to resolve the server's name may
        take longer.

        :param longest: how many octets the body may have.
        :param begun: what :meth:`begin` returned for it.
        :raises espm.answer.TooLong: it has more.
        :raises espm.answer.Garbled: the answer is not one, or not whole.
        :raises NoConnection: it is an OSError, too.
        :raises OSError: it broke off, or the time is over (TimeoutError), or TLS
            is refused (ssl.SSLError), or a certificate can't be read.
        """
        connection = begun.take() if begun else None
        rest = request[-1:] if connection else request
        connection = connection or self._free() or _Connection(self._address, self._access)
        self.busy.add(connection)
        try:
            answer = connection.ask(rest, longest)
        except BaseException:
            connection.close()
            raise
        finally:
            self.busy.discard(connection)
        if answer.lasts and len(self._kept) < MOST:
            self._kept.append(connection)
        else:
            connection.close()
        return answer.status, answer.body

    def close(self) -> None:
        """Close those that nobody uses.  Idempotent."""
        _close_all(self._kept)

    def _free(self) -> _Connection | None:
        """Return one that is kept and still open, if there is one."""
        while connection := _pop(self._kept):
            if connection.is_quiet():
                return connection
            connection.close()
        return None


class _Connection:
    """One connection."""

    def __init__(self, address: tuple[str, int], access: PuppetAccess) -> None:
        context = _context(access)
        try:
            plain = _connected(*address)
        except TimeoutError:
            raise
        except OSError as error:
            message = "no connection"
            raise NoConnection(message) from error
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = context.wrap_socket(plain, server_hostname=address[0].rstrip("."))
        except BaseException:
            plain.close()
            raise
        self._waiting = select.poll()
        self._waiting.register(self._socket, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return whether nothing has come since the last answer; it would be the server's end."""
        return not self._waiting.poll(0)

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def ask(self, octets: bytes, longest: int) -> Answer:
        """Send what makes a request whole, and return its answer."""
        self.send(octets)
        with closing(Answer(longest)) as answer:
            while not answer.whole:
                answer.take(self._socket.recv(_RECORD))
        return answer

    def close(self) -> None:
        self._socket.close()


class Begun:
    """A request of which all but the last octet was sent; for one thread at a time.

    :param connection: where that was; it is among *busy* until it is taken or left.
    """

    def __init__(self, request: bytes, connection: _Connection, busy: set[_Connection]) -> None:
        self.request = request
        self._connection: _Connection | None = connection
        self._busy = busy
        self._since = time.monotonic()
        busy.add(connection)

    def take(self) -> _Connection | None:
        """Return the connection, if the last octet can follow there now; only once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return None
        self._busy.discard(connection)
        if time.monotonic() - self._since < FRESH and connection.is_quiet():
            return connection
        connection.close()
        return None

    def leave(self) -> None:
        """See to it that it never becomes a request, unless it was taken.  Idempotent."""
        if connection := self.take():
            connection.close()


def _connected(host: str, port: int) -> socket.socket:
    """Return a connection to the first of the host's addresses that takes one.

    Each gets its share of the time that is left, for one that is away must not use up all of it.

    :raises OSError: none does.
    """
    *firsts, last = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, place in enumerate(firsts):
        with suppress(OSError):
            return _opened(place, left() / (len(firsts) + 1 - number))
    return _opened(last, left())


def _opened(place: Any, seconds: float) -> socket.socket:
    """Return a connection to a *place* that the resolver gave.

    :raises OSError: it takes none.
    """
    family, kind, protocol, _, where = place
    plain = socket.socket(family, kind, protocol)
    try:
        plain.settimeout(seconds)
        plain.connect(where)
    except BaseException:
        plain.close()
        raise
    return plain


def _pop(kept: deque[_Connection]) -> _Connection | None:
    try:
        return kept.pop()
    except IndexError:
        return None


def _close_all(kept: deque[_Connection]) -> None:
    while connection := _pop(kept):
        connection.close()


def _context(access: PuppetAccess) -> ssl.SSLContext:
    """Return what TLS has to heed: this CA, our certificate, and nothing of the environment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.sslsocket_class = Socket
    context.load_verify_locations(access.ca_file)
    if access.certificate:
        # A passphrase, or OpenSSL would ask for one at the terminal and wait.
        context.load_cert_chain(access.certificate, access.private_key, password="")  # nosec B106
    return context
