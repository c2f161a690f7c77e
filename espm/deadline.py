"""A deadline for an HTTPS call as a whole, which :mod:`urllib3` does not have.

Its timeouts bound every single read: a server that drips a byte now and then is waited for
without end.  Here each handshake, read and write of a connection gets what is left of the call's
own time, by a socket class that looks at the deadline of the thread it works for.
"""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    from collections.abc import Iterator

_deadline: ContextVar[float] = ContextVar("deadline")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what this thread does in the block *seconds* as a whole."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def left() -> float:
    """Return the seconds left in this thread's :func:`within`.

    :raises TimeoutError: none are.
    """
    seconds = _deadline.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Socket(ssl.SSLSocket):
    """A TLS socket whose every step has only what is left of the call's time."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as in ssl
        self.settimeout(left())
        super().do_handshake(block)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(left())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(left())
        return super().send(*args, **kwargs)


class _Connection(HTTPSConnection):
    """A connection that sends head and body of a request together.

    Apart, Puppet Server is woken for each.  Each connection has a TLS context of its own, so that
    renewed certificates are read afresh.
    """

    _held: bytearray | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        self._held = bytearray()
        try:
            super().request(*args, **kwargs)
            request = bytes(self._held)
        finally:
            self._held = None
        self.send(request)

    def send(self, data: Any) -> None:
        """Send *data*, or keep it until the request is whole."""
        if self._held is None:
            super().send(data)
        else:
            self._held += data

    def connect(self) -> None:
        self.ssl_context = create_urllib3_context(ssl_minimum_version=ssl.TLSVersion.TLSv1_2)
        self.ssl_context.sslsocket_class = _Socket
        super().connect()


class DeadlinePool(HTTPSConnectionPool):
    """Connections to one server that keep the deadline."""

    ConnectionCls = _Connection
