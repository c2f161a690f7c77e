"""One client's connection, for which no thread waits that another may need.

cheroot gives a connection a thread as soon as it is there, and the thread waits for handshake,
headers and body.  Here a thread takes one *step* whenever bytes have come, and leaves the
connection to the selector when they are used up; a platform's, when nothing follows at once.  A
request is answered once it is complete, so ten or a thousand clients that drip hold file
descriptors, but no thread::

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
import logging
import select
import selectors
import socket
import ssl
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from espm.server import framing, gateway
from espm.server.answers import Writer
from espm.server.framing import Refused
from espm.server.incoming import Incoming
from espm.server.standing import Standing

if TYPE_CHECKING:
    from espm.server.connections import Server
    from espm.server.lobby import Arrival

log = logging.getLogger(__name__)

_CHUNK = 16 * 1024  # the most one TLS record holds
_DRAIN_SECONDS = 2.0
_DRAIN_BYTES = 1024 * 1024
_FOLLOWS_MS = 5


class Connection(Standing):
    """A client's connection; one thread at a time works on it.

    :ivar deadline: the monotonic time at which the selector's thread closes it.
    :ivar interest: what the selector waits for.
    :ivar eager: whether input is at hand that the selector would not see.
    :ivar draining: whether it was refused and only waits for the client to read that.
    """

    def __init__(self, server: Server, arrival: Arrival) -> None:
        super().__init__(server, arrival)
        self.limits = server.limits
        self.socket: Any = arrival.sock  # TLS speaks through it once something has come
        self.wfile = Writer(self.socket, self.limits.response_seconds)
        self.remote_addr, self.remote_port = arrival.address, arrival.port
        self.interest = selectors.EVENT_READ
        self.eager = self.draining = False
        self._incoming = Incoming(self.limits)
        self._secured = self._handshaken = self._begun = self._closed = self._last = False
        self._drained = 0
        self._expect_within(self.limits.handshake_seconds)
        arrival.sock.settimeout(0)

    def _expect_within(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def communicate(self) -> bool:
        """Take a step, and the next ones as long as a platform's input follows at once.

        Return whether the connection stays open.
        """
        stays = self._step()
        while stays and self._is_followed():
            stays = self._step()
        return stays

    def _is_followed(self) -> bool:
        """Wait a moment for a platform's input if no other may need the thread; tell if it came.

        Over selector and queue another thread would get it, which has to be woken twice.  What a
        refused client still sends is no input.
        """
        waits = self.interest == selectors.EVENT_READ and not (self.eager or self.draining)
        if not (waits and self.authenticated and self.server.requests.is_roomy()):
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(_FOLLOWS_MS))

    def _step(self) -> bool:
        """Use the input that is there, answer if it makes a request complete.

        Return whether the connection stays open.  Waits for nothing but the application and,
        within its deadline, the client's reading of the answer.
        """
        self.eager = False
        self.steps += 1
        try:
            return self._proceed()
        except ssl.SSLWantReadError:
            self.interest = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self.interest = selectors.EVENT_WRITE
        except Refused as refusal:
            return self.refuse(refusal)
        except OSError as exc:
            return self._lost(exc)
        # The selector's thread may never see one that drips: it is here each time it looks.
        return time.monotonic() < self.deadline

    def _proceed(self) -> bool:
        if self.wfile.left:
            self.wfile.flush()
            self._await_request()
        if self._last:
            return False
        self._assemble()
        return self._answer()

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
        if not self._secured:
            # Not before something has come: OpenSSL's part is large, and some say nothing ever.
            self.socket = self.server.ssl_adapter.wrap(self.socket)
            self.wfile = Writer(self.socket, self.limits.response_seconds)
            self._secured = True
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
            self._incoming.feed(chunk)

    def _complete(self) -> bool:
        before = self._incoming.head
        complete = self._incoming.complete()
        head = self._incoming.head
        if head is not None and before is None:
            self._expect_within(self.limits.body_seconds)
            if head.expects_continue and not complete:
                self.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return complete

    def _answer(self) -> bool:
        self._last = not gateway.answer(self, *self._incoming.take())
        self.answered = True
        self._begun = False
        if not self.server.ready:
            # Nobody will send the rest when the server has stopped.
            self.wfile.wait()
        self.socket.settimeout(0)
        if self.wfile.left:
            self.interest = selectors.EVENT_WRITE
            self.deadline = self.wfile.deadline
            return True
        self._await_request()
        return not self._last

    def _await_request(self) -> None:
        self.interest = selectors.EVENT_READ
        self.eager = bool(self._incoming) or bool(self.socket.pending())
        idle = self.limits.idle_seconds if self.authenticated else self.limits.header_seconds
        self._expect_within(idle)

    def refuse(self, refusal: Refused) -> bool:
        """Say so, and stay open only until the client has read it.

        Closing at once, with input unread, would make TCP throw away the answer.

        Return whether the connection stays open.
        """
        self.server.throttle.warn("refused a request of %s: %s", self.remote_addr, refusal)
        if not self._handshaken or self.wfile.left:
            return False
        self.draining = True
        self._incoming.clear()
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
        self.steps += 1
        try:
            chunk = self.socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        self._drained += len(chunk)
        return bool(chunk) and self._drained < _DRAIN_BYTES

    def _say_goodbye(self) -> None:
        """Send TLS's close_notify, without which a client must suspect a cut."""
        if self._handshaken:
            with suppress(OSError, ValueError):
                self.socket.settimeout(0)
                self.socket.unwrap()

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.server.peers.leave(self.arrival)
        # They held each other, and whoever looks among the strangers does not find it any more.
        self.arrival.connection = None
        self._say_goodbye()
        # Not as cheroot does it: in a flood, most of our time would be in shutdown(2).
        self.socket.close()
        self.server.welcome_next(self.peer)
