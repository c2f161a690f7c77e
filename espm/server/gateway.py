"""How a complete request reaches the application, and its answer the client.

By PEP 3333, but that the headers come in one dict, ``espm.headers``, by their lower-case names.

cheroot's own way takes apart and puts together, piece by piece, what is whole here already: the
request was read and parsed, and the answer goes out in one write.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from espm.server import framing
from espm.server.framing import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from espm.server.exchange import Connection
    from espm.server.framing import Head

log = logging.getLogger(__name__)

_ALWAYS = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "HTTPS": "on",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_FAILED = framing.render(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "See the log of espm."))


def answer(conn: Connection, head: Head, body: bytes) -> bool:
    """Have the application answer a request; return whether the connection may be used again.

    :raises OSError: the client left, or was too slow.
    """
    said = _Said()
    parts: Iterable[bytes] = ()
    try:
        try:
            parts = conn.server.wsgi_app(_environ(conn, head, body), said.start_response)
            # Asked only now: the server may have been told to stop meanwhile.
            keep = head.keep_alive and conn.server.ready
            pieces = said.head(head, keep=keep), b"".join(parts)
        except Exception:
            log.exception("the application failed")
            keep, pieces = False, (_FAILED, b"")
        conn.wfile.write(*pieces)
        return keep
    finally:
        _close(parts)


def _close(parts: Iterable[bytes]) -> None:
    """Tell the application that its answer is over; what fails then is too late to be told."""
    if hasattr(parts, "close"):
        try:
            parts.close()
        except Exception:
            log.exception("the application failed after its answer")


class _Said:
    """What the application says of its answer, its length included.

    PEP 3333 has it write pieces as well, and leave out the length; no application of ours does.
    """

    def __init__(self) -> None:
        self._status = ""
        self._fields: Sequence[tuple[str, str]] = ()

    def start_response(
        self, status: str, fields: Sequence[tuple[str, str]], _exc_info: object = None
    ) -> None:
        """Take status and header; called again, before anything is sent, they count instead."""
        self._status, self._fields = status, fields

    def head(self, request: Head, *, keep: bool) -> bytes:
        """Return the head of the answer to *request*; date and the server's name are ours.

        :param keep: whether the connection may be used again.
        """
        lines = [f"HTTP/1.1 {self._status}", *(f"{name}: {value}" for name, value in self._fields)]
        if keep != (request.version == b"HTTP/1.1"):
            lines.append("Connection: " + ("Keep-Alive" if keep else "close"))
        lines.append(f"Date: {_date(int(time.time()))}\r\nServer: espm\r\n\r\n")
        return "\r\n".join(lines).encode("latin-1")


def _environ(conn: Connection, head: Head, body: bytes) -> dict[str, Any]:
    """Return what the application is told of a request.

    Headers are no variables, of which the application would only make headers again.  Beside them
    the target as it came is ``REQUEST_URI``, and the connection ``espm.connection``.
    """
    host, port = conn.server.bind_addr
    return {
        **_ALWAYS,
        "REQUEST_METHOD": head.method.decode("ascii"),
        "REQUEST_URI": head.target.decode("ascii"),
        "PATH_INFO": head.path.decode("latin-1"),
        "QUERY_STRING": head.query.decode("ascii"),
        "SERVER_PROTOCOL": head.version.decode("ascii"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": conn.remote_addr,
        "REMOTE_PORT": str(conn.remote_port),
        "wsgi.input": io.BytesIO(body),
        "espm.connection": conn,
        "espm.headers": {
            name.decode("ascii").lower(): value.decode("latin-1")
            for name, value in head.headers.items()
        },
    }


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
