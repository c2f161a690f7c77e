"""A TLS server that does what each of its scripts says, for clients of Puppet's servers.

Functions that a test module makes fixtures of: :func:`new_authority` as ``authority``,
:func:`access_to` as ``access``, :func:`serving` as ``serve``.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trustme

from espm.model import PuppetAccess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    Handler = Callable[[ssl.SSLSocket], None]

OK = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: ;charset=UTF-8\r\nX-Puppet: 1\r\n\r\nhi"
)


def new_authority() -> trustme.CA:
    """Return Puppet's CA."""
    return trustme.CA()


def access_to(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> PuppetAccess:
    """Return access with a client certificate; the time is short."""
    directory: Path = tmp_path_factory.mktemp("tls")
    identity = authority.issue_cert("espm.test")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    identity.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    identity.private_key_pem.write_to_path(directory / "key.pem")
    certificate, key, ca = (str(directory / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    return PuppetAccess("", "", certificate, key, ca, timeout=1.0)


class Server:
    """A TLS server on 127.0.0.1 that gives each connection to the next handler."""

    def __init__(self, authority: trustme.CA, handlers: list[Handler], name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._context = context
        self._handlers = handlers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self.over = threading.Event()

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Serve in the background during the block."""
        thread = threading.Thread(target=self._accept)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for running in [thread, *self._threads]:
                running.join(timeout=10)

    def is_busy(self) -> bool:
        """Return whether a handler is at work."""
        return any(thread.is_alive() for thread in self._threads)

    def _accept(self) -> None:
        for handler in self._handlers:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(plain, handler))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, handler: Handler) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as secure:
                handler(secure)
        except OSError:
            plain.close()


def serving(authority: trustme.CA) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server with the given handlers."""
    running = []

    def start(*handlers: Handler, by: trustme.CA = authority, name: str = "127.0.0.1") -> Server:
        context = Server(by, list(handlers), name).serving()
        server = context.__enter__()
        running.append(context)
        return server

    yield start
    for context in running:
        context.__exit__(None, None, None)


def read_head(connection: ssl.SSLSocket) -> bytes:
    """Read one request without a body."""
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
        head += data
    return head


def answers(*answers: bytes) -> Handler:
    """Return a handler that gives one answer per request and closes."""

    def handle(connection: ssl.SSLSocket) -> None:
        for answer in answers:
            read_head(connection)
            connection.sendall(answer)

    return handle


def status(line: str, body: bytes = b"") -> bytes:
    """Return an answer."""
    return f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
