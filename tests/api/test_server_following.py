"""A platform's next request is answered by the thread that answered its last, if it is quick."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from espm.server.connections import Server, ServerLimits
from tests.api import test_server_life as life
from tests.api.test_server_life import KEY, SLOW
from tests.api.wire import GET, read_all, read_answer, secure, serving, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import trustme

pytestmark = pytest.mark.timing

LIMITS = ServerLimits(threads=4, shutdown_seconds=5)
PATIENT_MS = 5000

app = life.app


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note each connection that is given to a thread; be patient, for the machine may be slow."""
    given: list[Any] = []
    before = Server.process_conn

    def note(server: Server, conn: Any) -> None:
        given.append(conn)
        before(server, conn)

    monkeypatch.setattr(Server, "process_conn", note)
    monkeypatch.setattr("espm.server.exchange._FOLLOWS_MS", PATIENT_MS)
    return given


@pytest.fixture
def server(
    app: life.Application, handed: list[Any], pair: tuple[str, str, trustme.CA]
) -> Iterator[Server]:
    """Start a server of four threads."""
    del handed
    with serving(app, pair[:2], LIMITS) as server:
        yield server
        app.go_on.set()


def ask_often(sock: ssl.SSLSocket, request: bytes) -> None:
    """Ask ten times on one connection, each time when the last answer is there."""
    for _ in range(10):
        sock.sendall(request)
        assert read_answer(sock) == (200, b"ok")


def test_what_follows_at_once_needs_no_other_thread(
    server: Server, client: ssl.SSLContext, handed: list[Any]
) -> None:
    """The first is handed over, after the steps of the handshake."""
    with secure(server, client) as sock:
        ask_often(sock, KEY)
        before = len(handed)
        ask_often(sock, KEY)

        assert len(handed) == before


def test_a_stranger_waits_in_line_each_time(
    server: Server, client: ssl.SSLContext, handed: list[Any]
) -> None:
    """Nobody holds a thread who has shown no key."""
    with secure(server, client) as sock:
        sock.sendall(GET)
        read_answer(sock)
        before = len(handed)
        sock.sendall(GET)
        read_answer(sock)

        assert len(handed) == before + 1


def test_no_thread_waits_for_one_client_when_others_may_need_it(
    server: Server, app: life.Application, client: ssl.SSLContext, handed: list[Any]
) -> None:
    """Half of the threads stay free for whoever comes."""
    with secure(server, client) as one, secure(server, client) as two, secure(server, client) as me:
        ask_often(me, KEY)
        for sock in (one, two):
            sock.sendall(SLOW)
            assert app.entered.acquire(timeout=5)
        me.sendall(KEY)
        read_answer(me)
        before = len(handed)
        me.sendall(KEY)
        read_answer(me)

        assert len(handed) == before + 1


def test_a_client_that_pauses_goes_back_to_the_others(
    server: Server, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for in the selector, with all who are quiet."""
    monkeypatch.setattr("espm.server.exchange._FOLLOWS_MS", 5)
    with secure(server, client) as sock:
        ask_often(sock, KEY)

        assert wait_until(lambda: server.requests.idle == LIMITS.threads)


def test_threads_that_answer_one_client_do_not_look_stuck(
    server: Server, client: ssl.SSLContext
) -> None:
    """The watchdog goes by when a thread was done last."""
    with secure(server, client) as sock:
        ask_often(sock, KEY)
        before = time.monotonic()
        ask_often(sock, KEY)

        assert wait_until(lambda: server.requests.freed >= before, seconds=1)


def test_what_follows_a_refusal_is_nobodys_request(
    server: Server, app: life.Application, client: ssl.SSLContext
) -> None:
    """It is thrown away, also that of a platform: TLS is over then, and it may be anybody's."""
    with secure(server, client) as sock:
        ask_often(sock, KEY)
        sock.sendall(KEY.replace(b"\r\n\r\n", b"\r\nContent-Length: 400000\r\n\r\n"))
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")
        socket.socket.sendall(sock, SLOW)

        assert not app.entered.acquire(timeout=0.3)
