"""What this host may ask without a key, by plain HTTP: metrics and health, for what watches espm.

Any user of the host can connect, so what that costs is bounded: a few connections at a time, each
with one short request that has a deadline as a whole.  It shares neither threads nor limits with
the API.
"""

from __future__ import annotations

import logging
import math
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

from espm.api.handlers import Handlers
from espm.api.message import Answer, Request, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"

#: Connections at a time; more are closed at once.
MOST = 8

#: Seconds that a client has to say what it wants.
SECONDS = 10.0

_ANSWERS: dict[str, Callable[[Handlers, Request], Answer]] = {
    "/metrics": Handlers.metrics,
    "/healthz": Handlers.healthz,
    "/readyz": Handlers.readyz,
}


class Loopback:
    """The listener for this host."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def serve(self, port: int) -> int:
        """Answer on *port* from now on, beside everything else; 0 for not at all.

        :return: the port.
        :raises OSError: it is taken.
        """
        return self.start(port) if port else 0

    def start(self, port: int) -> int:
        """Answer on *port*, or on a free one if it is 0; return which it is.

        :raises OSError: it is taken.
        """
        try:
            server = _Server((ADDRESS, port), self._handlers)
        except OSError as exc:
            message = f"cannot listen on {ADDRESS} port {port} ([server] metrics_port): "
            raise OSError(exc.errno, message + str(exc.strerror)) from exc
        threading.Thread(target=server.serve_forever, name="loopback", daemon=True).start()
        return int(server.server_address[1])


class _Server(ThreadingMixIn, TCPServer):
    # Nothing waits for a client when espm ends.
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handlers: Handlers) -> None:
        self.handlers = handlers
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, _: Any) -> bool:
        """Return whether there is room for one more connection."""
        if len(self._open) >= MOST:
            return False
        self._open[request] = time.monotonic()
        return True

    def let_finish(self, request: socket.socket) -> None:
        """Give an answer the time that it takes: the client has said what it wants."""
        self._open[request] = math.inf

    def service_actions(self) -> None:
        """Cut off those whose time is over; called twice a second."""
        over = time.monotonic() - SECONDS
        for request, since in list(self._open.items()):
            if since < over:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that was answered, cut off or not let in."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Log a bug; a client that left is none."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("unexpected error", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """One request, then the connection is closed."""

    server: _Server
    timeout = SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """Answer GET, and HEAD without the body."""
        self.server.let_finish(self.connection)
        answer = _ANSWERS.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(answer(self.server.handlers, Request("-", {}, {}, {}, lambda: None)))

    do_HEAD = do_GET  # noqa: N815 - as in http.server

    def _send(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else encoded(answer.body)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Return what is said of the server: nobody's version."""
        return "espm"

    def log_message(self, *_: object) -> None:
        """Say nothing: what watches espm asks all the time."""
