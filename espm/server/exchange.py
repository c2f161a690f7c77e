"""One client's connection, which never waits for that client.

cheroot gives a connection a thread as soon as it is there, and the thread waits for handshake,
headers and body.  Here a thread takes one *step* whenever bytes have come, and leaves the
connection to the selector when they are used up.  A request is answered once it is complete, so
ten or a thousand clients that drip hold file descriptors, but no thread::

    accepted -> handshake -> idle -> head -> body -> answer -> idle ...
                    |          |       |       |        |
                    |          |       |       |        +-> closed (asked for, or too slow a reader)
                    |          |       +-------+-> refused -> draining -> closed
                    +----------+-------+-------+-> closed (its deadline passed, or the client left)

Every state has a deadline for the whole of it, however many bytes trickle in; the selector's
thread closes what is late.  The answer is written by the thread that made it, within a deadline.
"""

from __future__ import annotations

import errno
import io
import logging
import selectors
import socket
import ssl
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cheroot.server import HTTPConnection

from espm.server import framing
from espm.server.answers import Request, Writer
from espm.server.framing import Refused

if TYPE_CHECKING:
    from espm.server.connections import Server

log = logging.getLogger(__name__)

_CHUNK = 16 * 1024  # the most one TLS record holds
_DRAIN_SECONDS = 2.0
_DRAIN_BYTES = 1024 * 1024


class Connection(HTTPConnection):
    """A client's connection; one thread at a time works on it.

    :ivar deadline: the monotonic time at which the selector's thread closes it.
    :ivar interest: what the selector waits for.
    :ivar eager: whether input is at hand that the selector would not see.
    :ivar draining: whether it was refused and only waits for the client to read that.
    """

    RequestHandlerClass = Request

    def __init__(self, server: Server, sock: ssl.SSLSocket, address: tuple[Any, ...]) -> None:
        self.limits = server.limits
        super().__init__(server, sock, self._makefile)
        self.remote_addr, self.remote_port = address[:2]
        self.ssl_env = {}
        self.head: framing.Head | None = None
        self.interest = selectors.EVENT_READ
        self.eager = self.draining = False
        self._authenticated = self._handshaken = self._begun = self._closed = False
        self._received = bytearray()
        self._drained = 0
        self._expect_within(self.limits.handshake_seconds)
        sock.settimeout(0)

    def _makefile(self, sock: socket.socket, mode: str, _bufsize: int) -> io.BytesIO | Writer:
        return io.BytesIO() if "r" in mode else Writer(sock, self.limits.response_seconds)

    def _expect_within(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    @property
    def authenticated(self) -> bool:
        """Whether a request on this connection carried a known key.

        The application sets it.  It only decides which limits hold (:mod:`~espm.server.peers`);
        every request must be authenticated by itself.  It can't be taken back.
        """
        return self._authenticated

    @authenticated.setter
    def authenticated(self, value: bool) -> None:
        if value and not self._authenticated:
            self._authenticated = True
            self.server.peers.recognise(self.remote_addr)
            self.server.welcome_next(self.remote_addr)

    def communicate(self) -> bool:
        """Take a step: use the input that is there, answer if it makes a request complete.

        Return whether the connection stays open.  Waits for nothing but the application and,
        within its deadline, the client's reading of the answer.
        """
        self.eager = False
        try:
            self._assemble()
        except ssl.SSLWantReadError:
            self.interest = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self.interest = selectors.EVENT_WRITE
        except Refused as refusal:
            return self.refuse(refusal)
        except OSError as exc:
            return self._lost(exc)
        else:
            return self._answer()
        # The selector's thread may never see one that drips: it is here each time it looks.
        return time.monotonic() < self.deadline

    def _lost(self, error: OSError) -> bool:
        log.debug("%s left: %s", self.remote_addr, error)
        if getattr(error, "reason", None) == "HTTP_REQUEST":
            plain = Refused(HTTPStatus.BAD_REQUEST, "This port speaks HTTPS only.")
            with suppress(OSError):
                # Past the TLS layer, which has given up.
                socket.socket.send(self.socket, framing.render(plain))
        return False

    def _assemble(self) -> None:
        """Return when a whole request is at hand.

        :raises ssl.SSLWantReadError: nothing more has come.
        :raises OSError: the client left or does not speak TLS.
        """
        if not self._handshaken:
            self.socket.do_handshake()
            self._handshaken = True
            # A stranger must say what it wants before long; a platform may keep quiet.
            self._expect_within(self.limits.header_seconds)
        while not self._complete():
            chunk = self.socket.recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError(errno.ECONNRESET, "the client closed the connection")
            if not self._begun:
                self._begun = True
                self._expect_within(self.limits.header_seconds)
            self._received += chunk

    def _complete(self) -> bool:
        if self.head is None:
            self._find_head()
        return self.head is not None and len(self._received) >= self.head.content_length

    def _find_head(self) -> None:
        if self._received.startswith(b"\r\n"):
            # RFC 9112, section 2.2: an empty line before a request is to be overlooked.
            del self._received[:2]
        end = framing.END_OF_HEAD.search(self._received)
        if (end.start() if end else len(self._received)) > self.limits.header_bytes:
            raise framing.too_long(self._received)
        if end:
            head = bytes(self._received[: end.start()])
            if end[0] != b"\r\n\r\n":
                raise Refused(HTTPStatus.BAD_REQUEST, "Lines must end with CRLF.")
            del self._received[: end.end()]
            self.head = framing.parse(head, body_bytes=self.limits.body_bytes)
            self._await_body(self.head)

    def _await_body(self, head: framing.Head) -> None:
        self._expect_within(self.limits.body_seconds)
        if head.expects_continue and len(self._received) < head.content_length:
            self.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self) -> bool:
        assert self.head is not None  # noqa: S101 - for the type checker; _assemble saw to it
        length = self.head.content_length
        self.rfile = io.BytesIO(bytes(self._received[:length]))
        del self._received[:length]
        self.wfile.begin()
        keep = bool(super().communicate())  # type: ignore[no-untyped-call] # cheroot's
        self.head = None
        self._begun = False
        self.interest = selectors.EVENT_READ
        self.eager = bool(self._received or self.socket.pending())
        self.socket.settimeout(0)
        idle = self.limits.idle_seconds if self.authenticated else self.limits.header_seconds
        self._expect_within(idle)
        return keep

    def refuse(self, refusal: Refused) -> bool:
        """Say so, and stay open only until the client has read it.

        Closing at once, with input unread, would make TCP throw away the answer.

        Return whether the connection stays open.
        """
        self.server.throttle.warn("refused a request of %s: %s", self.remote_addr, refusal)
        if not self._handshaken:
            return False
        self.draining = True
        self._received.clear()
        self.interest = selectors.EVENT_READ
        self._expect_within(_DRAIN_SECONDS)
        try:
            self.socket.send(framing.render(refusal))
            self._say_goodbye()
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def discard(self) -> bool:
        """Throw away what a refused client still sends; return whether to wait for more."""
        try:
            chunk = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._drained += len(chunk)
        return bool(chunk) and self._drained < _DRAIN_BYTES

    def _say_goodbye(self) -> None:
        """Send TLS's close_notify, without which a client must suspect a cut."""
        with suppress(OSError, ValueError):
            self.socket.settimeout(0)
            self.socket.unwrap()

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.server.peers.leave(self.remote_addr, stranger=not self.authenticated)
        self._say_goodbye()
        with suppress(OSError):
            super().close()
        self.socket.close()
        self.server.welcome_next(self.remote_addr)
