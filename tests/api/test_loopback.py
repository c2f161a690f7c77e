"""The listener for this host: three paths without a key, and nothing that a client could hold."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from espm.api import loopback
from espm.api.loopback import Loopback

if TYPE_CHECKING:
    from tests.api.platform import Espm


@pytest.fixture
def port(espm: Espm) -> int:
    """The port of a listener of that espm."""
    return Loopback(espm.application._handlers).start(0)


def ask(port: int, method: str, path: str) -> tuple[int, bytes, http.client.HTTPResponse]:
    """Return status, body and answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer


def test_metrics_and_health_need_no_key(port: int) -> None:
    """What watches espm on its host is told what it asks for."""
    metrics, health, ready = (ask(port, "GET", path) for path in loopback._ANSWERS)

    assert {metrics[0], health[0], ready[0]} == {200}
    assert b"espm_build_info" in metrics[1]
    assert metrics[2].headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert health[1] == b'{"status":"ok"}\n'
    assert b'"jobs":{"open":0' in ready[1]
    assert health[2].headers["Server"] == "espm"


def test_head_is_get_without_a_body(port: int) -> None:
    """The length is that of the body of GET."""
    status, body, answer = ask(port, "HEAD", "/healthz")

    assert (status, body, answer.headers["Content-Length"]) == (200, b"", "16")


@pytest.mark.parametrize(
    "path", ["/", "/v1/nodes", "/problems/not-json", "/metrics/", "/x/../metrics"]
)
def test_nothing_else_is_there(port: int, path: str) -> None:
    """The API has its own port and its keys."""
    assert ask(port, "GET", path)[:2] == (404, b"404 Not Found\n")


def test_a_query_does_no_harm(port: int) -> None:
    """Prometheus adds one where somebody configured it."""
    assert ask(port, "GET", "/healthz?x=1")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_it_only_tells(port: int, method: str) -> None:
    """Other methods are not there."""
    assert ask(port, method, "/metrics")[0] == 501


def test_it_listens_on_the_loopback_only(port: int) -> None:
    """No other address of the host answers, not even another one of the loopback."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_without_a_port_nobody_listens(espm: Espm) -> None:
    """The default is off."""
    assert Loopback(espm.application._handlers).serve(0) == 0


def test_a_port_that_is_taken_is_named(espm: Espm, port: int) -> None:
    """The message says which, and which key it is from."""
    with pytest.raises(OSError, match=rf"port {port} \(\[server\] metrics_port\): Address already"):
        Loopback(espm.application._handlers).serve(port)


@pytest.mark.timing
def test_those_who_say_nothing_do_not_keep_others_out(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are bounded, those over the bound are closed, and all have a deadline."""
    monkeypatch.setattr(loopback, "SECONDS", 1.0)
    begun = time.monotonic()
    quiet = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(30)]
    for each in quiet[: loopback.MOST]:
        each.sendall(b"GET /healthz HTTP/1.0\r\n")
    over = sum(each.recv(1) == b"" for each in quiet[loopback.MOST :])
    refused = time.monotonic() - begun
    # A drop now and then does not prolong it.
    while True:
        try:
            for each in quiet[: loopback.MOST]:
                each.sendall(b"x")
        except OSError:
            break
        time.sleep(0.1)
        assert time.monotonic() - begun < 10
    for each in quiet:
        each.close()

    assert over == 30 - loopback.MOST
    assert refused < loopback.SECONDS + 1
    assert ask(port, "GET", "/healthz")[0] == 200


def test_a_client_that_leaves_is_no_bug(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged, and the next one is answered."""
    for sent in (b"", b"GET /metrics HTTP/1.0\r\n\r\n", b"\x00\xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert ask(port, "GET", "/healthz")[0] == 200
    assert caplog.records == []
