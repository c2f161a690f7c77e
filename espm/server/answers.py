"""How an answer gets to the client, within a deadline."""

from __future__ import annotations

import errno
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_SPARE = 256 * 1024  # what a connection keeps of an answer without a thread


class Writer:
    """Where an answer is written, all of which must be taken before the deadline.

    cheroot's writer waits in its thread until the client has read, and allows each piece the
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

    def write(self, *parts: bytes) -> None:
        """Take an answer, of all *parts*, and send what goes, as one piece; its time runs.

        :raises TimeoutError: the client is too slow.
        :raises ConnectionError: the client left.
        """
        self.deadline = time.monotonic() + self._seconds
        for part in parts:
            self.left += part
        with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self.flush()
        self.wait(_SPARE)

    def flush(self) -> None:
        """Send what is left, without waiting.

        :raises ssl.SSLWantWriteError: not all of it could be sent.
        :raises ConnectionError: the client left.
        """
        while self.left:
            self._send(0)

    def wait(self, spare: int = 0) -> None:
        """Send all but *spare* octets of what is left, waiting for the client.

        :raises TimeoutError: the client is too slow.
        :raises ConnectionError: the client left.
        """
        while len(self.left) > spare:
            seconds = self.deadline - time.monotonic()
            if seconds <= 0:
                self.left.clear()
                raise TimeoutError
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
            raise ConnectionResetError(errno.ECONNRESET, "the client left") from exc
        del self.left[:sent]
