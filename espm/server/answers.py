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

_TOO_SLOW = "timed out"  # cheroot knows a timeout by these words


class Writer:
    """Where cheroot writes an answer, all of which must be taken before the deadline.

    cheroot's own writer allows each piece the whole timeout, so that a client which reads a byte
    now and then holds a thread for ever.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds
        self._deadline: float | None = None
        self.bytes_written = 0

    def begin(self) -> None:
        """Start anew: the time runs from the first octet of the answer."""
        self._deadline = None

    def write(self, data: bytes) -> int:
        """Send all of *data*.

        :raises TimeoutError: with the words that cheroot knows, when the client is too slow.
        :raises ConnectionError: the client left.
        """
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        view = memoryview(data)
        while view:
            view = view[self._send(view, self._deadline - time.monotonic()) :]
        self.bytes_written += len(data)
        return len(data)

    def _send(self, view: memoryview, left: float) -> int:
        if left <= 0:
            raise TimeoutError(_TOO_SLOW)
        self._sock.settimeout(left)
        try:
            return self._sock.send(view)
        except TimeoutError as exc:
            raise TimeoutError(_TOO_SLOW) from exc
        except ssl.SSLError as exc:
            # In the form that cheroot passes over in silence.
            raise ConnectionResetError(errno.ECONNRESET, "the client left") from exc


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
        """Send the head of the answer; the server's name, and nobody's version, is ours to say."""
        self.outheaders = [(k, v) for k, v in self.outheaders if k.lower() != b"server"]
        super().send_headers()


class Gateway(Gateway_10):
    """Hands requests to the WSGI application."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override] # the stub is wrong
        """Return cheroot's environ and, as ``espm.connection``, the :class:`Connection`."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call] # cheroot's
        environ["espm.connection"] = self.req.conn
        return environ
