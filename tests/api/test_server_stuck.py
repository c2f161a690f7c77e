"""The server knows when it hangs, and does not take a slow client or a slow Puppet for that."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from espm.server import connections
from espm.server.connections import Server, ServerLimits
from tests.api.wire import GET, ask, connect, read_all, secure, serving, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import trustme

pytestmark = pytest.mark.timing

THREADS = 4
LIMITS = ServerLimits(threads=THREADS, response_seconds=0.4, handshake_seconds=1)


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer ok, ``/slow`` later, and take everybody for a platform."""
        environ["espm.connection"].authenticated = True
        if environ["PATH_INFO"] == "/slow":
            self.entered.release()
            assert self.go_on.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


@pytest.fixture
def app() -> Slow:
    """An application."""
    return Slow()


@pytest.fixture
def server(app: Slow, pair: tuple[str, str, trustme.CA]) -> Iterator[Server]:
    """A server in front of it."""
    with serving(app, pair[:2], LIMITS) as server:
        yield server
        app.go_on.set()


def _occupy(server: Server, client: ssl.SSLContext, app: Slow, number: int) -> list[ssl.SSLSocket]:
    """Let *number* threads work on a slow request."""
    socks = [secure(server, client) for _ in range(number)]
    for sock in socks:
        sock.sendall(GET.replace(b"/hello", b"/slow"))
    assert all(app.entered.acquire(timeout=5) for _ in socks)
    return socks


def test_it_is_not_stuck_when_nothing_happens(server: Server) -> None:
    """However long nobody comes."""
    time.sleep(1)

    assert server.stuck() is None


def test_threads_that_never_become_free_are_noticed(
    server: Server, client: ssl.SSLContext, app: Slow
) -> None:
    """Not at once, for an answer may take its time; and it is over when one is free again."""
    socks = _occupy(server, client, app, THREADS)
    early = server.stuck()
    noticed = wait_until(lambda: server.stuck() is not None)
    reason = server.stuck()
    app.go_on.set()

    assert early is None
    assert noticed
    assert str(reason).startswith("all 4 threads are busy, none was free for ")
    assert wait_until(lambda: server.stuck() is None)
    for sock in socks:
        sock.close()


def test_one_free_thread_is_enough(server: Server, client: ssl.SSLContext, app: Slow) -> None:
    """Those that wait for Puppet are never all of them."""
    socks = _occupy(server, client, app, THREADS - 1)
    time.sleep(1)

    assert server.stuck() is None
    app.go_on.set()
    for sock in socks:
        sock.close()


def test_an_accepting_thread_that_hangs_is_noticed(
    server: Server, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although every other thread is well."""
    monkeypatch.setattr(connections, "LOOKS_WITHIN", 0.8)
    go_on = threading.Event()
    attend = server._connections._serve
    monkeypatch.setattr(server._connections, "_serve", lambda *_: go_on.wait(20))
    with connect(server):
        noticed = wait_until(lambda: server.stuck() is not None)
        reason = server.stuck()
        monkeypatch.setattr(server._connections, "_serve", attend)
        go_on.set()

    assert noticed
    assert str(reason).startswith("nobody has looked for connections for ")
    assert wait_until(lambda: server.stuck() is None)
    assert ask(server, client) == (200, b"ok")


def test_a_server_that_stops_is_not_stuck(
    app: Slow, pair: tuple[str, str, trustme.CA], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is the service manager's to measure, by TimeoutStopSec."""
    monkeypatch.setattr(connections, "LOOKS_WITHIN", -1.0)
    with serving(app, pair[:2], LIMITS) as server:
        assert server.stuck()

    assert server.stuck() is None


def test_deadlines_hold_while_the_clock_is_set_back(
    server: Server, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent connection is closed in its time also in an hour that the clock repeats."""
    ask(server, client)
    now = time.time
    monkeypatch.setattr("cheroot.connections.time.time", lambda: now() - 3600)
    with connect(server) as sock:
        begun = time.monotonic()
        read_all(sock)

    assert time.monotonic() - begun < 3
