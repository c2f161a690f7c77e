"""A request that is begun before its time: nothing can come of it until its last octet is sent."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import pytest

from espm import deadline, kept
from espm.errors import BackendSilent
from espm.puppet_http import PuppetHttp
from tests.api.wire import wait_until
from tests.scripted_server import OK, access_to, new_authority, serving, status

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from espm.kept import Begun
    from espm.model import PuppetAccess
    from tests.scripted_server import Handler, Server

    Serve = Callable[..., Server]
    Connect = Callable[..., tuple[PuppetHttp, Server]]

authority = pytest.fixture(scope="module")(new_authority)
access = pytest.fixture(scope="module")(access_to)
serve = pytest.fixture(serving)

WISH = {"wanted": "this"}
BEGUN = b'\r\n\r\n{"wanted": "this"'


class Heard(list[bytes]):
    """What came over each connection so far; the last octet of each whole request is a brace."""

    def listening(self, *answers: bytes) -> Handler:
        """Return a handler that gives the answers to one whole request after the other."""

        def handle(connection: ssl.SSLSocket) -> None:
            place, left = len(self), deque(answers)
            self.append(b"")
            for octets in _received(connection):
                self[place] += octets
                if octets.endswith(b"}") and left:
                    connection.sendall(left.popleft())
            self[place] += b"<end>"

        return handle

    def wait_for(self, number: int, end: bytes) -> bytes:
        """Return what came over that connection once it ends so."""
        assert wait_until(lambda: len(self) > number and self[number].endswith(end))
        return self[number]


def _received(connection: ssl.SSLSocket) -> Iterator[bytes]:
    with suppress(OSError):
        while octets := connection.recv(4096):
            yield octets


@pytest.fixture
def connect(serve: Serve, access: PuppetAccess) -> Iterator[Connect]:
    """Return a function that starts a server, and returns it behind a client of it."""
    with ExitStack() as clients:

        def start(*handlers: Handler) -> tuple[PuppetHttp, Server]:
            server = serve(*handlers)
            return clients.enter_context(closing(PuppetHttp(server.url, access))), server

        yield start


@pytest.fixture
def begin(connect: Connect) -> Connect:
    """Return a function that does so, with one connection at hand."""

    def start(*handlers: Handler) -> tuple[PuppetHttp, Server]:
        http, server = connect(*handlers)
        put(http)
        return http, server

    return start


def put(http: PuppetHttp, path: str = "/x", *, begun: Begun | None = None) -> bytes:
    """Make the call that tests make."""
    return http.call("PUT", path, json=WISH, begun=begun).body


def begun_by(http: PuppetHttp) -> Begun:
    """Begin that call."""
    begun = http.begin("PUT", "/x", json=WISH)
    assert begun
    return begun


def test_all_but_the_last_octet_goes_ahead(begin: Connect) -> None:
    """The server can get ready; what is missing makes it a request, over the same connection."""
    heard = Heard()
    http, server = begin(heard.listening(OK, OK, OK))

    begun = begun_by(http)
    half = heard.wait_for(0, BEGUN)
    answer = put(http, begun=begun)
    whole = heard[0]
    put(http)

    assert (answer, whole, server.accepted) == (b"hi", half + b"}", 1)


def test_what_is_left_never_becomes_a_request(begin: Connect) -> None:
    """Its connection is closed; to leave it twice, or after it was taken, does nothing."""
    heard = Heard()
    http, server = begin(heard.listening(OK), heard.listening(OK, OK, OK))

    begun = begun_by(http)
    heard.wait_for(0, BEGUN)
    begun.leave()
    begun.leave()

    assert heard.wait_for(0, b"<end>").endswith(BEGUN + b"<end>")
    put(http)
    put(http, begun=(taken := begun_by(http)))
    taken.leave()
    assert (put(http), server.accepted) == (b"hi", 2)


def test_nothing_is_begun_without_a_connection_at_hand(connect: Connect) -> None:
    """To make one takes longer than what is gained, and may fail."""
    http, server = connect(Heard().listening(OK))

    assert http.begin("PUT", "/x", json=WISH) is None
    assert server.accepted == 0


def test_other_requests_are_whole_meanwhile(begin: Connect) -> None:
    """They go over connections of their own, and so does the same one a second time."""
    heard = Heard()
    http, server = begin(heard.listening(*[OK] * 3), heard.listening(OK))

    begun = begun_by(http)
    put(http, "/other")
    still = heard[0]
    put(http, begun=begun)
    put(http, begun=begun)

    assert still.endswith(BEGUN)
    assert heard[1].startswith(b"PUT /other ")
    assert server.accepted == 2


@pytest.mark.parametrize("early", [status("503 Busy"), b""], ids=["answered", "closed"])
def test_who_does_not_wait_for_the_end_is_asked_anew(begin: Connect, early: bytes) -> None:
    """What came before the request was whole is no answer to it, and it can't have been obeyed."""
    heard = Heard()

    def hasty(connection: ssl.SSLSocket) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        assert connection.recv(4096).endswith(BEGUN)
        connection.sendall(early)

    http, server = begin(hasty, heard.listening(OK))

    begun = begun_by(http)
    assert wait_until(lambda: not server.is_busy())
    assert put(http, begun=begun) == b"hi"

    assert heard[0].endswith(BEGUN + b"}")
    assert server.accepted == 2


def test_what_was_begun_long_ago_is_asked_anew(
    begin: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server gives up on what rests, and may do so at the moment at which we go on."""
    monkeypatch.setattr(kept, "FRESH", 0.0)
    heard = Heard()
    http, server = begin(heard.listening(OK), heard.listening(OK))

    assert put(http, begun=begun_by(http)) == b"hi"

    assert heard.wait_for(0, b"<end>").endswith(BEGUN + b"<end>")
    assert server.accepted == 2


@pytest.mark.parametrize("taken", [True, False])
def test_nothing_is_begun_beside_what_is_begun(begin: Connect, *, taken: bool) -> None:
    """What is begun keeps a thread of the server's, which all agents need; our ENC may hang."""
    heard = Heard()
    http, server = begin(*[heard.listening(*[OK] * 4)] * 3)

    first = begun_by(http)
    put(http)
    refused, answer = http.begin("PUT", "/x", json=WISH), put(http)
    if taken:
        put(http, begun=first)
    first.leave()

    assert (refused, answer, server.accepted) == (None, b"hi", 2)
    begun_by(http).leave()


def test_nothing_is_begun_beside_another_call(begin: Connect) -> None:
    """The server is busy for us already, so there is nothing to be gained."""
    asked, free = threading.Event(), threading.Event()

    def slow(connection: ssl.SSLSocket) -> None:
        for octets in _received(connection):
            if octets.startswith(b"PUT /slow"):
                asked.set()
                free.wait(10)
            connection.sendall(OK)

    http, _ = begin(slow, Heard().listening(*[OK] * 4))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(put, http, "/slow")
        assert asked.wait(10)
        put(http)
        refused = http.begin("PUT", "/x", json=WISH)
        free.set()
        answer.result(timeout=10)

    assert refused is None
    begun_by(http).leave()


def test_what_cannot_be_begun_is_no_error_yet(
    begin: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was asked so far, and the call itself gets a connection that lives."""
    heard = Heard()
    http, server = begin(heard.listening(OK), heard.listening(OK, OK, OK))

    def broken(*_: object) -> None:
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(deadline.Socket, "sendall", broken)
        assert http.begin("PUT", "/x", json=WISH) is None

    assert (put(http), server.accepted) == (b"hi", 2)
    assert put(http, begun=begun_by(http)) == b"hi", "nothing is under way"


def test_what_breaks_off_after_the_last_octet_is_never_repeated(begin: Connect) -> None:
    """It may have had its effect."""
    heard = Heard()

    def breaking_off(connection: ssl.SSLSocket) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        for octets in _received(connection):
            if octets.endswith(b"}"):
                return

    http, server = begin(breaking_off, heard.listening(OK))
    begun = begun_by(http)

    with pytest.raises(BackendSilent, match="broke off"):
        put(http, begun=begun)

    assert server.accepted == 1
