"""Clients that call over connections they keep, many at once, and how fast that goes."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Caller:
    """One client with one connection, which is made at once; not for several threads.

    :ivar headers: those of the last answer.
    """

    def __init__(self, url: str, context: ssl.SSLContext, headers: Mapping[str, str]) -> None:
        self._connection = HTTPSConnection(urlsplit(url).netloc, context=context, timeout=120)
        self._connection.connect()
        self._headers = dict(headers)
        self.headers: Mapping[str, str] = {}

    def call(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        expect: int | tuple[int, ...],
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Make a call and return the body of its answer.

        :raises RuntimeError: the status is not *expect*.
        """
        self._connection.request(method, path, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        content, self.headers = answer.read(), dict(answer.headers)
        if answer.status not in (expect if isinstance(expect, tuple) else (expect,)):
            message = f"{method} {path}: {answer.status} {content[:300]!r}"
            raise RuntimeError(message)
        return content

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def puppet_context(ca_file: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for Puppet Server, with a client certificate."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.load_cert_chain(certificate, key)
    return context


def rate(
    make: Callable[[], Caller],
    work: Callable[[Caller, str], object],
    items: Sequence[str],
    clients: int,
) -> float:
    """Return how many of *items* a second were worked on by *clients* callers side by side.

    Connecting is not counted.  What fails is raised.
    """
    waiting = deque(items)
    start = threading.Barrier(clients + 1)

    def run() -> None:
        with closing(make()) as caller:
            start.wait(timeout=60)
            with suppress(IndexError):
                while True:
                    work(caller, waiting.popleft())

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(run) for _ in range(clients)]
        start.wait(timeout=60)
        begin = time.perf_counter()
        for each in running:
            each.result()
        return len(items) / (time.perf_counter() - begin)
