"""How an answer gets from the application to the client: cheroot's way, within a deadline."""

from __future__ import annotations

import errno
import ssl
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cheroot.server import HTTPRequest
from cheroot.wsgi import Gateway_10

from espm.server import framing
from espm.server.framing import Refused

if TYPE_CHECKING:
    import socket

_SPARE = 256 * 1024  # what a connection keeps of an answer without a thread
_TOO_SLOW = "timed out"  # cheroot knows a timeout by these words


class Writer:
    """Where cheroot writes an answer, all of which must be taken before the deadline.

    cheroot's own writer waits in its thread until the client has read, and allows each piece the
    whole timeout, so that a client which reads a byte now and then holds a thread for ever.  This
    one keeps what the client does not take at once, and the connection sends it when it can
    (:meth:`flush`).  Only a large answer makes the thread wait, and only platforms get those.

    :ivar left: what was written and is not sent yet.
    :ivar deadline: the monotonic time at which all of the answer must be sent.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds
        self.left = bytearray()
        self.deadline = 0.0
        self.bytes_written = 0
        self._holds = False

    def begin(self) -> None:
        """Start anew: the time runs from the first octet of the answer."""
        self.deadline = 0.0

    def hold(self) -> None:
        """Keep what is written next until more is written, or until :meth:`finish`.

        A head that goes out by itself is a TLS record, a packet and a wake-up of the client more.
        """
        self._holds = True

    def finish(self) -> None:
        """Send what was kept and goes.

        :raises ConnectionError: the client left.
        """
        self._holds = False
        with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self.flush()

    def write(self, data: bytes) -> int:
        """Take all of *data*, and send what goes.

        :raises TimeoutError: with the words that cheroot knows, when the client is too slow.
        :raises ConnectionError: the client left.
        """
        self.deadline = self.deadline or time.monotonic() + self._seconds
        self.left += data
        self.bytes_written += len(data)
        if self._holds:
            self._holds = False
        else:
            self.finish()
            self.wait(_SPARE)
        return len(data)

    def flush(self) -> None:
        """Send what is left, without waiting.

        :raises ssl.SSLWantWriteError: not all of it could be sent.
        :raises ConnectionError: the client left.
        """
        while self.left:
            self._send(0)

    def wait(self, spare: int = 0) -> None:
        """Send all but *spare* octets of what is left, waiting for the client.

        :raises TimeoutError: with the words that cheroot knows, when the client is too slow.
        :raises ConnectionError: the client left.
        """
        while len(self.left) > spare:
            seconds = self.deadline - time.monotonic()
            if seconds <= 0:
                self.left.clear()
                raise TimeoutError(_TOO_SLOW)
            with suppress(TimeoutError):
                self._send(seconds)

    def _send(self, seconds: float) -> None:
        self._sock.settimeout(seconds)
        try:
            sent = self._sock.send(self.left)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, TimeoutError):
            raise
        except OSError as exc:
            self.left.clear()
            # In the form that cheroot passes over in silence.
            raise ConnectionResetError(errno.ECONNRESET, "the client left") from exc
        del self.left[:sent]


class Request(HTTPRequest):
    """A request that came complete and was parsed by :mod:`espm.server.framing`."""

    def parse_request(self) -> None:
        """Take over what the connection has parsed."""
        head: framing.Head = self.conn.head
        self.method, self.uri, self.inheaders = head.method, head.target, head.headers
        self.path, self.qs = head.path, head.query
        self.request_protocol = head.version
        self.response_protocol = head.version.decode()
        self.close_connection = not head.keep_alive
        self.ready = True

    def simple_response(self, status: str | int, msg: str = "") -> None:
        """Answer instead of an application that failed; cheroot calls it."""
        code = HTTPStatus(int(str(status)[:3]))
        known = code if code in framing.PROBLEMS else HTTPStatus.INTERNAL_SERVER_ERROR
        self.close_connection = True
        with suppress(OSError):
            self.conn.wfile.write(framing.render(Refused(known, msg or "See the log of espm.")))

    def send_headers(self) -> None:
        """Write the head, to go out with the body; the server's name, and no version, is ours."""
        self.conn.wfile.hold()
        self.outheaders = [(k, v) for k, v in self.outheaders if k.lower() != b"server"]
        super().send_headers()


class Gateway(Gateway_10):
    """Hands requests to the WSGI application."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override] # the stub is wrong
        """Return cheroot's environ and, as ``espm.connection``, the :class:`Connection`."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call] # cheroot's
        environ["espm.connection"] = self.req.conn
        return environ
