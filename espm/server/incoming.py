"""The octets of a connection on their way to becoming requests."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from espm.server import framing
from espm.server.framing import Refused

if TYPE_CHECKING:
    from espm.server.connections import ServerLimits
    from espm.server.framing import Head


class Incoming:
    """What has come and was not answered yet.

    :ivar head: of the request that is under way, once it is whole.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._received = bytearray()
        self.head: Head | None = None

    def __bool__(self) -> bool:
        return bool(self._received)

    def feed(self, octets: bytes) -> None:
        """Take what has come."""
        self._received += octets

    def clear(self) -> None:
        """Forget what has come: it is no request."""
        self._received.clear()

    def complete(self) -> bool:
        """Return whether a whole request is here.

        :raises Refused: no request begins like this.
        """
        if self.head is None:
            self._find_head()
        return self.head is not None and len(self._received) >= self.head.content_length

    def take(self) -> tuple[Head, bytes]:
        """Return the request, which must be complete, with its body; the next one may follow."""
        head, self.head = self.head, None
        assert head is not None  # noqa: S101 - for the type checker
        body = bytes(self._received[: head.content_length])
        del self._received[: head.content_length]
        return head, body

    def _find_head(self) -> None:
        if self._received.startswith(b"\r\n"):
            # RFC 9112, section 2.2: an empty line before a request is to be overlooked.
            del self._received[:2]
        end = framing.END_OF_HEAD.search(self._received)
        if (end.start() if end else len(self._received)) > self._limits.header_bytes:
            raise framing.too_long(self._received)
        if end:
            head = bytes(self._received[: end.start()])
            if end[0] != b"\r\n\r\n":
                raise Refused(HTTPStatus.BAD_REQUEST, "Lines must end with CRLF.")
            del self._received[: end.end()]
            self.head = framing.parse(head, body_bytes=self._limits.body_bytes)
