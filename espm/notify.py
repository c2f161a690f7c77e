"""Telling a service manager how we are: sd_notify(3), when one listens.

The protocol is a datagram to the socket that ``$NOTIFY_SOCKET`` names; a dependency for that
would be larger than this file.
"""

from __future__ import annotations

import logging
import os
import socket
import time

log = logging.getLogger(__name__)


def notify(*states: str) -> bool:
    """Send *states* (``READY=1`` and the like, see sd_notify(3)).

    :returns: whether somebody listens; a manager that went away is no error.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.warning("the service manager does not listen: %s", error.strerror)
        return False
    return True


def reloading() -> bool:
    """Say that a reload begins, with the clock reading that systemd 253 and later want."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
