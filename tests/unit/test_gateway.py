"""How a request reaches the application, and its answer the client."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from espm.server import framing, gateway
from espm.server.answers import Writer

if TYPE_CHECKING:
    from collections.abc import Callable


class Socket:
    """Takes all that is sent, unless the client has left."""

    def __init__(self, *, left: bool = False) -> None:
        self.sent: list[bytes] = []
        self._left = left

    def settimeout(self, seconds: float) -> None:
        """Do nothing."""

    def send(self, data: bytes) -> int:
        """Note *data*."""
        if self._left:
            raise BrokenPipeError
        self.sent.append(bytes(data))
        return len(data)


class Parts(list[bytes]):
    """The body of an answer, which is told when it is over."""

    closed = 0

    def close(self) -> None:
        """Note it."""
        self.closed += 1


def answer(
    application: Callable[..., Any],
    request: bytes = b"GET / HTTP/1.1\r\nHost: espm",
    *,
    sock: Socket | None = None,
    ready: bool = True,
) -> tuple[bool, list[bytes]]:
    """Return whether the connection lasts, and what *application* has sent on it."""
    sock = sock or Socket()
    writer: Any = sock
    server = SimpleNamespace(wsgi_app=application, bind_addr=("::1", 8443), ready=ready)
    peer = {"remote_addr": "192.0.2.1", "remote_port": 5, "wfile": Writer(writer, 1.0)}
    conn: Any = SimpleNamespace(server=server, **peer)
    return gateway.answer(conn, framing.parse(request, body_bytes=100), b"body"), sock.sent


def fine(_: Any, start_response: Any) -> list[bytes]:
    """Answer in pieces."""
    start_response("200 OK", [("X-Some", "thing")])
    return [b"one ", b"two"]


def test_an_answer_goes_out_in_one_piece() -> None:
    """Each would be a TLS record, a packet and a wake-up of the client more."""
    lasts, sent = answer(fine)

    assert lasts
    assert len(sent) == 1
    head, _, body = sent[0].partition(b"\r\n\r\n")
    assert body == b"one two"
    assert head.split(b"\r\n")[:2] == [b"HTTP/1.1 200 OK", b"X-Some: thing"]


@pytest.mark.parametrize(
    ("request_line", "ready", "lasts", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: espm", True, True, b""),
        (b"GET / HTTP/1.1\r\nHost: espm\r\nConnection: close", True, False, b"close"),
        (b"GET / HTTP/1.1\r\nHost: espm", False, False, b"close"),
        (b"GET / HTTP/1.0", True, False, b""),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", True, True, b"Keep-Alive"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False, False, b""),
    ],
)
def test_whether_it_lasts_is_said_where_the_version_leaves_it_open(
    request_line: bytes, said: bytes, *, ready: bool, lasts: bool
) -> None:
    """RFC 9112, section 9.3; a server that stops keeps nothing open."""
    kept, [sent] = answer(fine, request_line, ready=ready)

    assert kept == lasts
    fields = dict(line.split(b": ") for line in sent.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    assert fields.get(b"Connection", b"") == said


def test_the_application_is_told_what_was_asked() -> None:
    """As PEP 3333 has it but for the headers, the target as it came beside it."""
    told: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        told.update(environ)
        return fine(environ, start_response)

    answer(
        application,
        b"POST /a%20b?c=%41 HTTP/1.1\r\nHost: espm\r\nX-Two: \xe4\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 4",
    )

    assert told.pop("wsgi.input").read() == b"body"
    expected = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/a%20b?c=%41",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "c=%41",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": "8443",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "https",
        "espm.headers": {
            "host": "espm",
            "x-two": "\xe4",
            "content-type": "text/plain",
            "content-length": "4",
        },
    }
    assert {name: told.get(name) for name in expected} == expected


def test_an_application_that_fails_is_a_problem_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told as much as it may know, and the log the rest."""

    def application(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        message = "secret"
        raise ValueError(message)

    with caplog.at_level(logging.ERROR, "espm.server.gateway"):
        lasts, [sent] = answer(application)

    assert not lasts
    assert sent.startswith(b"HTTP/1.1 500 ")
    assert b"/problems/internal-error" in sent
    assert b"secret" not in sent
    assert "secret" in caplog.text


def test_an_answer_that_cannot_be_sent_is_a_problem_of_ours() -> None:
    """A header holds what HTTP can't say."""

    def application(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Some", "\u20ac")])
        return []

    lasts, [sent] = answer(application)

    assert not lasts
    assert sent.startswith(b"HTTP/1.1 500 ")


def test_what_fails_after_an_answer_does_not_undo_it(caplog: pytest.LogCaptureFixture) -> None:
    """The client may not have read all of it yet."""

    class Failing(Parts):
        def close(self) -> None:
            message = "count"
            raise ValueError(message)

    def application(_: Any, start_response: Any) -> Parts:
        start_response("200 OK", [])
        return Failing([b"one"])

    with caplog.at_level(logging.ERROR, "espm.server.gateway"):
        lasts, [sent] = answer(application)

    assert lasts
    assert sent.endswith(b"one")
    assert "count" in caplog.text


def test_what_follows_an_answer_is_done_also_when_the_client_left() -> None:
    """It is the access line, and the count."""
    parts = Parts([b"one"])

    def application(_: Any, start_response: Any) -> Parts:
        start_response("200 OK", [])
        return parts

    with pytest.raises(ConnectionError):
        answer(application, sock=Socket(left=True))

    assert parts.closed == 1


def test_the_date_is_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, section 6.6.1."""
    monkeypatch.setattr(time, "time", lambda: 784111777.9)
    _, [sent] = answer(fine)

    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in sent
