"""A deadline for a call as a whole, which sockets do not have.

Their timeouts bound every single read: a server that drips a byte now and then is waited for
without end.  Here each handshake, read and write of a connection gets what is left of the call's
own time, by a socket class that looks at the deadline of the thread it works for.
"""

from __future__ import annotations

import ssl
import time
from contextvars import ContextVar
from typing import Any

_deadline: ContextVar[float] = ContextVar("deadline")


class Within:
    """A block that gives what its thread does there *seconds* as a whole."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(time.monotonic() + self._seconds)

    def __exit__(self, *_exc: object) -> None:
        _deadline.reset(self._token)


def left() -> float:
    """Return the seconds left in this thread's :class:`Within`.

    :raises TimeoutError: none are.
    """
    seconds = _deadline.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class Socket(ssl.SSLSocket):
    """A TLS socket whose every step has only what is left of the call's time."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as in ssl
        """Shake hands."""
        self.settimeout(left())
        super().do_handshake(block)

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        """Read what is there."""
        self.settimeout(left())
        return super().recv(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Write what goes."""
        self.settimeout(left())
        return super().send(*args, **kwargs)
