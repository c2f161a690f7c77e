"""Raw clients for the tests of the server: real TLS over real sockets, byte by byte."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import trustme

from espm.server.connections import Server, ServerLimits, build_server
from espm.server.tls import Adapter, build_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GET = b"GET /hello HTTP/1.1\r\nHost: espm\r\n\r\n"


def write_pair(directory: Path, name: str = "127.0.0.1") -> tuple[str, str, trustme.CA]:
    """Return paths of a new certificate and key, and the CA that issued them."""
    ca = trustme.CA()
    leaf = ca.issue_cert(name)
    certificate, key = directory / "server.pem", directory / "server.key"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    return str(certificate), str(key), ca


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    """Return a client's context that trusts *ca* only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    return context


@contextmanager
def serving(
    app: Callable[..., Any], pair: tuple[str, str], limits: ServerLimits
) -> Iterator[Server]:
    """Serve *app* on a free port of 127.0.0.1."""
    server = build_server(("127.0.0.1", 0), app, Adapter(build_context(*pair)), limits)
    server.prepare()
    thread = Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    """Return a TCP connection to *server* from the address *source*."""
    return socket.create_connection(server.bind_addr, timeout=5, source_address=(source, 0))


def secure(server: Server, context: ssl.SSLContext, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """Return a TLS connection to *server*."""
    return context.wrap_socket(connect(server, source), server_hostname="127.0.0.1")


def read_all(sock: socket.socket) -> bytes:
    """Return what comes until the server closes the connection, well or rudely."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except (ConnectionResetError, ssl.SSLEOFError):
        parts.append(b"<cut>")
    return b"".join(parts)


def read_answer(sock: socket.socket) -> tuple[int, bytes]:
    """Return status and body of one answer that has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        part = sock.recv(65536)
        assert part, "cut short"
        body += part
    return int(head.split()[1]), body


def ask(server: Server, context: ssl.SSLContext, request: bytes = GET) -> tuple[int, bytes]:
    """Return status and body of the answer to *request* on a connection of its own."""
    with secure(server, context) as sock:
        sock.sendall(request)
        return read_answer(sock)


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Return whether *condition* comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
