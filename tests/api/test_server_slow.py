"""Slow and silent clients cost others nothing.

Stock cheroot 11.1.2 stands still for ten seconds for each idle TCP connection, and for ever for as
many header-dripping ones as it has threads.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from espm.server.connections import Server, ServerLimits
from tests.api.wire import (
    GET,
    ask,
    connect,
    read_all,
    read_answer,
    secure,
    serving,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

pytestmark = pytest.mark.timing

# Few threads and long deadlines: whatever holds a thread shows.
LIMITS = ServerLimits(threads=4, strangers_per_peer=100)
HASTY = ServerLimits(
    threads=2,
    handshake_seconds=0.3,
    header_seconds=0.3,
    body_seconds=0.3,
    response_seconds=0.5,
    idle_seconds=1.5,
)
MEDIUM = 200 * 1024
START = b"POST / HTTP/1.1\r\nHost: espm\r\nContent-Length: 5\r\n"
LONG = START.replace(b"5", b"5000")


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer ok, or with more than the kernel takes unread."""
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Length", str(32 * 1024 * 1024))])
        return [b"x" * (32 * 1024 * 1024)]
    environ["espm.connection"].authenticated = environ["PATH_INFO"] in {"/key", "/medium"}
    if environ["PATH_INFO"] == "/medium":
        start_response("200 OK", [("Content-Length", str(MEDIUM))])
        return [b"x" * MEDIUM]
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def server(pair: tuple[str, str, trustme.CA]) -> Iterator[Server]:
    """Start a server with few threads and long deadlines."""
    with serving(application, pair[:2], LIMITS) as server:
        yield server


@pytest.fixture
def hasty(pair: tuple[str, str, trustme.CA]) -> Iterator[Server]:
    """Start a server with short deadlines."""
    with serving(application, pair[:2], HASTY) as server:
        yield server


def idle(server: Server, client: ssl.SSLContext) -> socket.socket:
    """Return a TCP connection on which nothing was sent."""
    return connect(server, "127.0.0.2")


def half_hello(server: Server, client: ssl.SSLContext) -> socket.socket:
    """Return a connection on which half a ClientHello was sent."""
    outgoing = ssl.MemoryBIO()
    tls = client.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    sock = connect(server, "127.0.0.2")
    sock.sendall(outgoing.read()[:100])
    return sock


def half_head(server: Server, client: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection on which half of a request's head was sent."""
    sock = secure(server, client, "127.0.0.2")
    sock.sendall(START)
    return sock


def half_body(server: Server, client: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection on which half of a request's body was sent."""
    sock = secure(server, client, "127.0.0.2")
    sock.sendall(START + b"\r\nabc")
    return sock


def drip(socks: list[ssl.SSLSocket], stop: threading.Event) -> None:
    """Send an octet on each of *socks* now and then."""
    while not stop.wait(0.05):
        for sock in socks:
            sock.sendall(b"X")


def median(server: Server, client: ssl.SSLContext) -> float:
    """Return the seconds that a good GET takes, handshake included."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        assert ask(server, client) == (200, b"ok")
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@pytest.mark.parametrize(
    ("attack", "count"),
    [(idle, 1), (idle, 50), (half_hello, 1), (half_hello, 50), (half_head, 50), (half_body, 50)],
)
def test_waiting_connections_do_not_delay_a_good_request(
    server: Server,
    client: ssl.SSLContext,
    attack: Callable[[Server, ssl.SSLContext], socket.socket],
    count: int,
) -> None:
    """A client that waits holds a file descriptor and nothing else."""
    quiet = median(server, client)
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(attack(server, client))
        busy = median(server, client)

    assert busy < quiet + 0.25  # what is guarded against takes 9.8 s


def test_dripping_clients_do_not_delay_a_good_request(
    server: Server, client: ssl.SSLContext
) -> None:
    """Ten headers that come an octet at a time, over four threads, are not felt."""
    quiet = median(server, client)
    stop = threading.Event()
    with ExitStack() as stack:
        socks = [secure(server, client, "127.0.0.2") for _ in range(10)]
        for sock in socks:
            stack.enter_context(sock)
            sock.sendall(START + b"X-Slow: ")
        dripping = threading.Thread(target=drip, args=(socks, stop))
        dripping.start()
        try:
            busy = median(server, client)
        finally:
            stop.set()
            dripping.join()

    assert busy < quiet + 0.25  # what is guarded against takes 9.8 s


@pytest.mark.parametrize("attack", [idle, half_hello, half_head, half_body])
def test_a_client_that_waits_too_long_is_closed(
    hasty: Server,
    client: ssl.SSLContext,
    attack: Callable[[Server, ssl.SSLContext], socket.socket],
) -> None:
    """Every phase before the answer has a deadline."""
    start = time.monotonic()
    with attack(hasty, client) as sock:
        read_all(sock)

    assert time.monotonic() - start < 5
    assert wait_until(lambda: hasty.peers.open == 0)


@pytest.mark.parametrize(
    ("begin", "octets"),
    [(b"", b"\r\n"), (START + b"X-Slow: ", b"X"), (LONG + b"\r\n", b"X")],
    ids=["empty lines", "headers", "body"],
)
def test_dripping_does_not_extend_the_deadline(
    hasty: Server, client: ssl.SSLContext, begin: bytes, octets: bytes
) -> None:
    """The deadline is for the whole, not for each octet."""
    with secure(hasty, client) as sock:
        start = time.monotonic()
        sock.settimeout(0.1)
        sock.sendall(begin)
        while not left(sock, octets):
            assert time.monotonic() < start + 3


def left(sock: ssl.SSLSocket, octets: bytes) -> bool:
    """Send *octets* and return whether the server has closed the connection."""
    try:
        sock.sendall(octets)
        return not sock.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_client_in_the_lobby_is_closed_in_time(
    pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """Who waits for its turn has a deadline too."""
    limits = ServerLimits(threads=1, strangers_per_peer=1, handshake_seconds=0.3)
    with serving(application, pair[:2], limits) as server, ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(3)]

        assert [read_all(sock) for sock in waiting] == [b"", b"", b""]


def test_a_client_that_does_not_read_its_answer_is_closed(
    hasty: Server, client: ssl.SSLContext
) -> None:
    """A thread writes for as long as the deadline allows, however slowly it goes."""
    with secure(hasty, client) as sock:
        sock.sendall(GET.replace(b"/hello", b"/large"))
        assert wait_until(lambda: hasty.requests.idle == HASTY.threads - 1)

        assert wait_until(lambda: hasty.requests.idle == HASTY.threads, 3)


def test_an_answer_that_is_not_read_holds_no_thread(server: Server, client: ssl.SSLContext) -> None:
    """What the client does not take waits with the connection, and comes whole when it is read."""
    with unread(server, client) as sock:
        sock.sendall(GET.replace(b"/hello", b"/medium"))
        assert wait_until(lambda: any(conn.wfile.left for conn in held(server)))
        assert server.requests.idle == LIMITS.threads

        assert read_answer(sock) == (200, b"x" * MEDIUM)
        sock.sendall(GET)
        assert read_answer(sock) == (200, b"ok")


def test_an_answer_that_is_not_read_has_a_deadline(hasty: Server, client: ssl.SSLContext) -> None:
    """The connection is closed, and nothing of it stays."""
    with unread(hasty, client) as sock:
        sock.sendall(GET.replace(b"/hello", b"/medium"))
        assert wait_until(lambda: any(conn.wfile.left for conn in held(hasty)))

        assert wait_until(lambda: hasty.peers.open == 0)


def unread(server: Server, client: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection whose kernels keep little of what is not read."""
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(5)
    plain.connect(server.bind_addr)
    return client.wrap_socket(plain, server_hostname="127.0.0.1")


def held(server: Server) -> list[Any]:
    """Return the connections that wait for their clients."""
    connections = list(server._connections._selector.connections)
    return [conn for _fd, conn in connections if conn is not server]


def test_a_stranger_cannot_ask_as_often_as_it_likes(server: Server, client: ssl.SSLContext) -> None:
    """After a few requests it gets two answers in a second, and a platform as many as it asks."""
    pace = {}
    for path in (b"/hello", b"/key"):
        with secure(server, client) as sock:
            start = time.monotonic()
            for _ in range(12):
                sock.sendall(GET.replace(b"/hello", path))
                assert read_answer(sock) == (200, b"ok")
            pace[path] = time.monotonic() - start

    assert pace[b"/key"] < 1 < pace[b"/hello"] < 10


def test_a_stranger_may_not_idle_as_long_as_a_platform(
    hasty: Server, client: ssl.SSLContext
) -> None:
    """An authenticated connection is kept for the next request, others not for long."""
    with secure(hasty, client) as stranger, secure(hasty, client) as platform:
        stranger.sendall(GET)
        platform.sendall(GET.replace(b"/hello", b"/key"))
        read_answer(platform)
        read_answer(stranger)
        read_all(stranger)
        platform.sendall(GET)

        assert read_answer(platform) == (200, b"ok")
