"""Connections are kept, counted and limited; the server starts and stops cleanly."""

from __future__ import annotations

import gc
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from cherrypy.process.servers import ServerAdapter
from cherrypy.process.wspbus import Bus

from espm.server.connections import Server, ServerLimits, build_server
from espm.server.exchange import Connection
from espm.server.tls import Adapter, build_context
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
from tests.living import living

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import trustme

pytestmark = pytest.mark.timing

LIMITS = ServerLimits(
    threads=4, strangers_per_peer=3, waiting_per_peer=2, connections=8, shutdown_seconds=5
)
KEY = GET.replace(b"/hello", b"/key")
SLOW = GET.replace(b"/hello", b"/slow")


class Application:
    """Answers; ``/slow`` when told to, ``/key`` as if a good key had been given."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer ok."""
        if environ["PATH_INFO"] == "/key":
            environ["espm.connection"].authenticated = True
        if environ["PATH_INFO"] == "/slow":
            self.entered.release()
            assert self.go_on.wait(20)
        if environ["PATH_INFO"] == "/broken":
            message = "secret detail"
            raise LookupError(message)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


@pytest.fixture
def app() -> Iterator[Application]:
    """Make an application whose slow requests end with the test at the latest."""
    application = Application()
    yield application
    application.go_on.set()


@pytest.fixture
def server(app: Application, pair: tuple[str, str, trustme.CA]) -> Iterator[Server]:
    """Start a server with small limits."""
    with serving(app, pair[:2], LIMITS) as server:
        yield server
        app.go_on.set()


def greeted(server: Server, client: ssl.SSLContext, request: bytes) -> ssl.SSLSocket:
    """Return a connection on which *request* was answered, so that no step of it waits."""
    sock = secure(server, client)
    sock.sendall(request)
    assert read_answer(sock) == (200, b"ok")
    return sock


def is_closed(sock: socket.socket, seconds: float = 1) -> bool:
    """Return whether the server closes *sock* within some time."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_connection_serves_many_requests(server: Server, client: ssl.SSLContext) -> None:
    """Keep-alive works: one handshake, a thousand nodes."""
    with secure(server, client) as sock:
        for _ in range(20):
            sock.sendall(KEY)
            assert read_answer(sock) == (200, b"ok")

    assert wait_until(lambda: server.peers.open == 0)


def test_a_connection_that_is_over_goes_by_itself(server: Server, client: ssl.SSLContext) -> None:
    """Python's collector may come much later, and a platform may make one for each call."""
    gc.collect()
    before = living(Connection)  # those that other tests hold
    gc.disable()
    try:
        for _ in range(20):
            ask(server, client, KEY)
        # A thread may hold the one that it worked on last.
        assert wait_until(lambda: living(Connection) - before <= LIMITS.threads)
    finally:
        gc.enable()


def test_a_connection_is_closed_on_request(server: Server, client: ssl.SSLContext) -> None:
    """``Connection: close`` ends it cleanly, with TLS's own goodbye."""
    with secure(server, client) as sock:
        sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        answer = read_all(sock)

    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nok")


def test_an_application_that_fails_tells_nothing(
    server: Server, client: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause is in the log; the client gets a problem document."""
    status, body = ask(server, client, GET.replace(b"/hello", b"/broken"))

    assert status == 500
    assert json.loads(body)["type"] == "/problems/internal-error"
    assert b"secret" not in body
    assert "secret detail" in caplog.text


def test_one_address_cannot_take_all_connections(
    server: Server, client: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """One over the limits of its address ends the oldest of them; other addresses are served."""
    with ExitStack() as stack:
        socks = [
            stack.enter_context(connect(server, "127.0.0.2"))
            for _ in range(LIMITS.strangers_per_peer + LIMITS.waiting_per_peer)
        ]
        assert wait_until(lambda: len(server._connections.lobby) == LIMITS.waiting_per_peer)
        with caplog.at_level(logging.WARNING):
            stack.enter_context(connect(server, "127.0.0.2"))
            assert is_closed(socks[0])

        assert not is_closed(socks[-1])
        assert caplog.messages == ["too many connections, ended one for 127.0.0.2"]
        most = LIMITS.strangers_per_peer
        assert wait_until(lambda: len(server.peers.strangers("127.0.0.2")) == most)
        assert ask(server, client) == (200, b"ok")

    assert wait_until(lambda: server.peers.open == 0)


def test_a_stranger_gets_its_turn_when_another_leaves(
    server: Server, client: ssl.SSLContext
) -> None:
    """Waiting costs time, not the connection."""
    with ExitStack() as stack:
        idle = [connect(server) for _ in range(LIMITS.strangers_per_peer)]
        for sock in idle:
            stack.enter_context(sock)
        last = stack.enter_context(connect(server))
        assert wait_until(lambda: len(server._connections.lobby) == 1)
        idle[0].close()
        with client.wrap_socket(last, server_hostname="127.0.0.1") as secured:
            secured.sendall(GET)

            assert read_answer(secured) == (200, b"ok")


def test_a_burst_of_a_platform_is_served(
    app: Application, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """Fifty calls at once come on fifty connections, none of which is known yet."""
    with (
        serving(app, pair[:2], ServerLimits(threads=4, strangers_per_peer=3)) as server,
        ThreadPoolExecutor(50) as pool,
    ):
        answers = list(pool.map(lambda _: ask(server, client, KEY), range(50)))

    assert answers == [(200, b"ok")] * 50


def test_authenticated_connections_do_not_count_against_their_address(
    server: Server, client: ssl.SSLContext
) -> None:
    """A platform may have as many connections as there are."""
    with ExitStack() as stack:
        for _ in range(2 * LIMITS.strangers_per_peer):
            sock = stack.enter_context(secure(server, client))
            sock.sendall(KEY)
            assert read_answer(sock) == (200, b"ok")

        assert server.peers.open == 6
        assert server.peers.strangers("127.0.0.1") == []


def test_a_newcomer_gets_the_place_of_the_oldest_stranger(
    server: Server, client: ssl.SSLContext
) -> None:
    """The number of connections is limited, and those who came first keep nobody out."""
    with ExitStack() as stack:
        socks = [
            stack.enter_context(connect(server, f"127.0.1.{number + 1}"))
            for number in range(LIMITS.connections)
        ]
        assert wait_until(lambda: server.peers.open == LIMITS.connections)
        with secure(server, client) as good:
            good.sendall(KEY)
            assert read_answer(good) == (200, b"ok")

            assert server.peers.open == LIMITS.connections
            assert is_closed(socks[0])
            assert not is_closed(socks[1], 0.1)


def test_the_largest_crowd_gives_way(server: Server, client: ssl.SSLContext) -> None:
    """Who has one connection keeps it when another has many, however old it is."""
    with ExitStack() as stack:
        alone = stack.enter_context(secure(server, client, "127.0.1.1"))
        many = [stack.enter_context(connect(server, "127.0.1.2")) for _ in range(3)]
        others = [stack.enter_context(connect(server, f"127.0.1.{n}")) for n in range(3, 7)]
        assert wait_until(lambda: server.peers.open == LIMITS.connections)
        stack.enter_context(connect(server, "127.0.2.1"))

        assert is_closed(many[0])
        assert not any(is_closed(sock, 0.05) for sock in (*many[1:], *others))
        alone.sendall(KEY)
        assert read_answer(alone) == (200, b"ok")


def test_who_has_had_its_chance_gives_way(server: Server, client: ssl.SSLContext) -> None:
    """A stranger whose request was answered goes before an older one that is still to ask."""
    with ExitStack() as stack:
        older = stack.enter_context(secure(server, client, "127.0.1.1"))
        asked = stack.enter_context(secure(server, client, "127.0.1.1"))
        asked.sendall(GET)
        read_answer(asked)
        for number in range(LIMITS.connections - 2):
            stack.enter_context(connect(server, f"127.0.2.{number + 1}"))
        assert wait_until(lambda: server.peers.open == LIMITS.connections)
        stack.enter_context(connect(server, "127.0.3.1"))

        assert is_closed(asked, 5)
        older.sendall(KEY)
        assert read_answer(older) == (200, b"ok")


def test_platforms_give_way_to_nobody(server: Server, client: ssl.SSLContext) -> None:
    """A connection that has authenticated is not ended for a newcomer."""
    with ExitStack() as stack:
        socks = [
            stack.enter_context(greeted(server, client, KEY)) for _ in range(LIMITS.connections)
        ]

        assert is_closed(stack.enter_context(connect(server, "127.0.2.1")))
        for sock in socks:
            sock.sendall(KEY)
            assert read_answer(sock) == (200, b"ok")


def test_a_stranger_has_a_second_when_others_of_its_address_wait(
    app: Application, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """Silent connections of an address do not make the next one wait for their whole time."""
    limits = ServerLimits(threads=4, strangers_per_peer=2, handshake_seconds=10)
    with serving(app, pair[:2], limits) as server, ExitStack() as stack:
        silent = [stack.enter_context(connect(server)) for _ in range(2)]
        assert wait_until(lambda: server.peers.open == 2)
        start = time.monotonic()

        assert ask(server, client) == (200, b"ok")
        assert limits.patience_seconds / 2 < time.monotonic() - start < 5
        assert is_closed(silent[0])
        assert not is_closed(silent[1], 0.1)


def test_too_many_waiting_requests_get_503(
    app: Application, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """A platform that can't be served soon is told so at once, and when to come back."""
    limits = ServerLimits(threads=1, accepted_queue=1, shutdown_seconds=5)
    with serving(app, pair[:2], limits) as server, ExitStack() as stack:
        first, second, third = (stack.enter_context(greeted(server, client, KEY)) for _ in range(3))
        first.sendall(SLOW)
        assert app.entered.acquire(timeout=5)
        second.sendall(GET)
        assert wait_until(lambda: server.requests.qsize == 1)
        third.sendall(GET)
        head = read_all(third).split(b"\r\n")
        app.go_on.set()

        assert head[0] == b"HTTP/1.1 503 Service Unavailable"
        assert b"Retry-After: 1" in head
        assert read_answer(second) == (200, b"ok")


def test_stop_lets_a_request_finish(
    app: Application, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """What was begun is answered; nothing new is accepted."""
    with serving(app, pair[:2], LIMITS) as server, secure(server, client) as sock:
        sock.sendall(SLOW)
        assert app.entered.acquire(timeout=5)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert wait_until(lambda: server.socket is None)
        app.go_on.set()
        answer = read_all(sock)
        stopping.join()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer


def test_stop_does_not_wait_for_ever(
    app: Application, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """A request that hangs does not keep the daemon from ending."""
    others = set(threading.enumerate())
    with serving(app, pair[:2], ServerLimits(threads=1, shutdown_seconds=0.2)) as server:
        with secure(server, client) as sock:
            sock.sendall(SLOW)
            assert app.entered.acquire(timeout=5)
            server.stop()
        mine = set(threading.enumerate()) - others
        worker = next(thread for thread in mine if thread.name.startswith("CP Server"))
        assert worker.is_alive()
        app.go_on.set()
        worker.join()


def test_a_busy_port_is_found_before_anything_starts(pair: tuple[str, str, trustme.CA]) -> None:
    """The message names the address and the reason."""
    adapter = Adapter(build_context(*pair[:2]))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = build_server(("127.0.0.1", port), Application(), adapter, LIMITS)
        with pytest.raises(OSError, match=f"listen on 127.0.0.1 port {port}: Address already"):
            server.claim()


def test_a_claimed_port_is_given_back(pair: tuple[str, str, trustme.CA]) -> None:
    """A start that fails later leaves nothing behind."""
    server = build_server(
        ("127.0.0.1", 0), Application(), Adapter(build_context(*pair[:2])), LIMITS
    )
    server.claim()
    server.claim()
    server.stop()

    assert server.socket is None


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """Make a bus of the test's own; the one of CherryPy is everybody's."""
    own = Bus()
    yield own
    with suppress(ValueError):
        own.exit()


def test_cherrypy_drives_the_server(
    bus: Bus, pair: tuple[str, str, trustme.CA], client: ssl.SSLContext
) -> None:
    """CherryPy's bus starts and stops it, a port claimed before included."""
    lines: list[str] = []
    bus.subscribe("log", lambda msg, level: lines.append(msg))
    adapter = Adapter(build_context(*pair[:2]))
    server = build_server(("127.0.0.1", 0), Application(), adapter, LIMITS)
    server.claim()
    ServerAdapter(bus, httpserver=server, bind_addr=server.bind_addr).subscribe()
    bus.start()
    port = server.bind_addr[1]
    answer = ask(server, client)
    bus.stop()

    assert answer == (200, b"ok")
    assert f"Serving on https://127.0.0.1:{port}" in lines
    assert not server.ready
