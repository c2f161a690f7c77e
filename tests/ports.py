"""Ports for the servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Below those that a system gives to clients, which would take one before its server does; and each
# of the processes that pytest-xdist runs side by side has its own.
_COUNT = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANGE = range(20_000 + _NUMBER, 32_000, _COUNT)
_BEGIN = random.randrange(len(_RANGE))
_PORTS: Iterator[int] = itertools.cycle([*_RANGE[_BEGIN:], *_RANGE[:_BEGIN]])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, another one each time."""
    for port in _PORTS:
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError
