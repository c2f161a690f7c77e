"""A request that is begun ahead of its time, so that a server can get ready for it.

Puppet Server finds out who asks, for what, and whether that is allowed, before it reads a body.
What is no request yet it can't obey: its Content-Length says that more is to come, and without its
last octet JSON is no JSON::

    begun: all but the last octet is sent ──> taken: that is sent, and an answer awaited
                                     └──> left, old, or the server spoke: closed
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which one is not gone on with: Puppet Server gives up on it after 30 (Jetty's
#: idle timeout).
FRESH = 5.0


class Connection(Protocol):
    """What a request is sent over."""

    def is_quiet(self) -> bool:
        """Return whether the server has said nothing."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Connection)


class Begun(Generic[C]):
    """A request of which all but the last octet was sent; for one thread at a time.

    :param connection: where it was sent.
    :param over: called once, when it is taken or left.
    """

    def __init__(self, request: bytes, connection: C, over: Callable[[], None]) -> None:
        self.request = request
        self._connection: C | None = connection
        self._over = over
        self._since = time.monotonic()

    def take(self) -> C | None:
        """Return the connection, if the last octet can follow there now; only once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return None
        self._over()
        if time.monotonic() - self._since < FRESH and connection.is_quiet():
            return connection
        connection.close()
        return None

    def leave(self) -> None:
        """See to it that it never becomes a request, unless it was taken.  Idempotent."""
        if connection := self.take():
            connection.close()
