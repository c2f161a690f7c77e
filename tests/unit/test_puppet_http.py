"""Puppet's server may hang, drip, break off or lie: a call ends in time, with the right error."""

from __future__ import annotations

import errno
import gc
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from espm import puppet_http
from espm.answer import Answer
from espm.errors import BackendRefused, BackendUnavailable, ConfigError
from espm.puppet_http import PuppetHttp
from tests.living import living
from tests.scripted_server import (
    OK,
    Server,
    access_to,
    answers,
    new_authority,
    read_head,
    serving,
    status,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from espm.model import PuppetAccess

    Handler = Callable[[ssl.SSLSocket], None]

authority = pytest.fixture(scope="module")(new_authority)
access = pytest.fixture(scope="module")(access_to)
serve = pytest.fixture(serving)


def drips(head: bytes) -> Handler:
    """Return a handler that sends *head*, then a byte now and then, for ten seconds."""

    def handle(connection: ssl.SSLSocket) -> None:
        read_head(connection)
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    return handle


def took(call: Callable[[], object]) -> float:
    """Return how long a call took that must fail as unavailable, in time."""
    start = time.monotonic()
    with pytest.raises(BackendUnavailable, match="in time"):
        call()
    return time.monotonic() - start


def test_an_answer_is_status_and_body(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """Puppet Server's malformed Content-Type does no harm."""
    reply = PuppetHttp(serve(answers(OK)).url, access).call("GET", "/x")

    assert (reply.status, reply.body, reply.text) == (200, b"hi", "hi")


def test_connections_are_kept(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """Many calls need one handshake, also behind an answer that has no body."""
    server = serve(answers(OK, b"HTTP/1.1 204 No Content\r\n\r\n", status("200 OK"), OK))
    http = PuppetHttp(server.url, access)
    for method in ("GET", "PUT", "GET", "PUT"):
        http.call(method, "/x")

    assert server.accepted == 1


@pytest.mark.parametrize(
    ("answer", "answered"),
    [(OK, True), (b"no answer", False), (OK[:-1], False)],
    ids=["whole", "none", "half"],
)
def test_an_answer_goes_when_it_is_read(
    serve: Callable[..., Server], access: PuppetAccess, answer: bytes, *, answered: bool
) -> None:
    """Python's collector may come much later, and a CRL may have millions of octets."""
    http = PuppetHttp(serve(answers(answer), answers(answer)).url, access)
    before = living(Answer)
    gc.disable()
    try:
        came = is_answered(http)
        after = living(Answer)
    finally:
        gc.enable()

    assert (came, after) == (answered, before)


def is_answered(http: PuppetHttp) -> bool:
    """Return whether a call has an answer; what it raises is forgotten, and so what that holds."""
    try:
        http.call("GET", "/x")
    except BackendUnavailable:
        return False
    return True


def test_a_request_comes_in_one_piece(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """Head and body are one TLS record, which is what one read returns."""
    pieces: list[bytes] = []

    def read_once(connection: ssl.SSLSocket) -> None:
        pieces.append(connection.recv(4096))
        connection.sendall(OK)

    PuppetHttp(serve(read_once).url, access).call("PUT", "/x", json={"wanted": "this"})

    assert pieces[0].startswith(b"PUT /x HTTP/1.1\r\n")
    assert pieces[0].endswith(b'\r\n\r\n{"wanted": "this"}')


@pytest.mark.timing
@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"],
    ids=["headers", "body"],
)
def test_a_server_that_drips_is_cut_off(
    serve: Callable[..., Server], access: PuppetAccess, head: bytes
) -> None:
    """The deadline is for the whole call, not for each byte."""
    http = PuppetHttp(serve(drips(head)).url, access)

    assert took(lambda: http.call("GET", "/x")) < 2


@pytest.mark.timing
def test_a_server_that_hangs_is_not_waited_for(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """A call's own timeout replaces the configured one."""
    http = PuppetHttp(serve(read_head_and_wait).url, replace(access, timeout=60))

    assert took(lambda: http.call("PUT", "/x", timeout=0.5)) < 2


def read_head_and_wait(connection: ssl.SSLSocket) -> None:
    """Take a request and wait until the client goes."""
    read_head(connection)
    connection.recv(1)


@pytest.mark.timing
def test_a_server_without_a_handshake_is_not_waited_for(access: PuppetAccess) -> None:
    """A port that accepts and says nothing is what a stopped server looks like."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"

        assert took(lambda: PuppetHttp(url, access).call("GET", "/x")) < 2


def test_a_refused_connection_is_unavailable(access: PuppetAccess) -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"https://127.0.0.1:{gone.getsockname()[1]}"

    with pytest.raises(BackendUnavailable, match="could not be reached"):
        PuppetHttp(url, access).call("GET", "/x")


@pytest.mark.timing
@pytest.mark.parametrize(("number", "seconds"), [(1, 0.5), (3, 0.75)])
def test_an_address_that_is_away_leaves_time_for_the_next(
    serve: Callable[..., Server],
    access: PuppetAccess,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    seconds: float,
) -> None:
    """A name may have several, and a host may have left the first without a word."""
    server = serve(answers(OK))
    with full() as away:
        firsts = [address("127.0.0.1", away)] * number
        resolving(monkeypatch, [*firsts, address("127.0.0.1", port_of(server))])
        begun = time.monotonic()
        reply = PuppetHttp(server.url, access).call("GET", "/x")

    assert reply.body == b"hi"
    assert abs(time.monotonic() - begun - seconds) < 0.12


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_that_refuses_leads_to_the_next(
    serve: Callable[..., Server], access: PuppetAccess, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """As where a server listens to one family only, or the system has no other."""
    server = serve(answers(OK))
    resolving(monkeypatch, [address(host, 1), address("127.0.0.1", port_of(server))])

    assert PuppetHttp(server.url, access).call("GET", "/x").body == b"hi"


def address(host: str, port: int) -> tuple[Any, ...]:
    """Return an address as the resolver gives it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, 0, "", (host, port)


def port_of(server: Server) -> int:
    """Return the port that a server listens at."""
    return int(server.url.rsplit(":", 1)[1])


def resolving(monkeypatch: pytest.MonkeyPatch, found: list[tuple[Any, ...]]) -> None:
    """Let every name that is looked for to connect to have the addresses *found*."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@contextmanager
def full() -> Iterator[int]:
    """Yield a port of 127.0.0.1 whose queue is full: whoever connects there hears nothing."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            client = opened.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]


def test_who_cannot_connect_does_not_try_again(
    access: PuppetAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is away would be waited for twice."""
    tried: list[object] = []

    def refuse(*arguments: object) -> None:
        tried.append(arguments)
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    with pytest.raises(BackendUnavailable, match="could not be reached"):
        PuppetHttp("https://127.0.0.1:1", access).call("GET", "/x")
    assert len(tried) == 1


def test_a_get_on_a_connection_that_was_closed_is_repeated_once(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """A server that closes an idle connection just then is no error."""
    server = serve(read_head_and_close, answers(OK))

    assert PuppetHttp(server.url, access).call("GET", "/x").body == b"hi"
    assert server.accepted == 2


def test_a_get_is_not_repeated_twice(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """A server that always breaks off is unavailable."""
    server = serve(read_head_and_close, read_head_and_close, answers(OK))

    with pytest.raises(BackendUnavailable, match="broke off"):
        PuppetHttp(server.url, access).call("GET", "/x")
    assert server.accepted == 2


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_what_changes_something_is_never_repeated(
    serve: Callable[..., Server], access: PuppetAccess, method: str
) -> None:
    """The first one may have had its effect."""
    server = serve(read_head_and_close, answers(OK))

    with pytest.raises(BackendUnavailable, match="broke off"):
        PuppetHttp(server.url, access).call(method, "/x")
    assert server.accepted == 1


def read_head_and_close(connection: ssl.SSLSocket) -> None:
    """Take a request and break off."""
    read_head(connection)


def test_a_5xx_is_unavailable_and_its_text_only_in_the_cause(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """Puppet Server puts paths of files into such answers."""
    server = serve(answers(status("500 Oops", b"java.io.FileNotFoundException: /secret/path")))

    with pytest.raises(BackendUnavailable) as caught:
        PuppetHttp(server.url, access).call("GET", "/x")
    assert "/secret/path" not in str(caught.value)
    assert "/secret/path" in str(caught.value.__cause__)


def test_a_403_says_who_must_allow_it(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """The remedy is in Puppet Server's auth.conf."""
    with pytest.raises(BackendRefused, match=r"auth\.conf.*espm check"):
        PuppetHttp(serve(answers(status("403 No"))).url, access).call("GET", "/x")


def test_a_status_that_is_expected_is_an_answer(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """404 is often what was wanted; where it is not, it is refused."""
    http = PuppetHttp(serve(answers(status("404 No"), status("404 No"))).url, access)

    assert http.call("GET", "/x", accept=(200, 404)).status == 404
    with pytest.raises(BackendRefused, match="404"):
        http.call("GET", "/x")


def test_redirects_are_not_followed(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """Puppet never sends any; who does is not Puppet."""
    redirect = b"HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(BackendRefused, match="302"):
        PuppetHttp(serve(answers(redirect)).url, access).call("GET", "/x")


def test_an_answer_without_end_is_cut(
    serve: Callable[..., Server], access: PuppetAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not fill the memory."""
    monkeypatch.setattr(puppet_http, "LONGEST", 1000)
    server = serve(answers(status("200 OK", b"x" * 1001)))

    with pytest.raises(BackendUnavailable, match="more than 1000 bytes"):
        PuppetHttp(server.url, access).call("GET", "/x")


def test_a_certificate_of_another_ca_is_refused_whatever_the_environment_says(
    serve: Callable[..., Server],
    access: PuppetAccess,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """REQUESTS_CA_BUNDLE silently replaces the CA of a session that trusts the environment."""
    other = trustme.CA()
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "other.pem"))

    with pytest.raises(BackendUnavailable, match="ca_file"):
        PuppetHttp(serve(answers(OK), by=other).url, access).call("GET", "/x")


def test_proxies_of_the_environment_are_ignored(
    serve: Callable[..., Server], access: PuppetAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy between espm and Puppet is nobody's wish."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert PuppetHttp(serve(answers(OK)).url, access).call("GET", "/x").status == 200


def test_the_name_of_the_server_is_checked(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """A certificate of Puppet's CA for another host proves nothing."""
    server = serve(answers(OK), name="127.0.0.2")

    with pytest.raises(BackendUnavailable, match="ca_file"):
        PuppetHttp(server.url, access).call("GET", "/x")


def test_missing_files_of_ours_are_unavailable(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """A certificate that is being renewed is back soon; its path is not the caller's business."""
    broken = replace(access, certificate="/nonexistent/cert.pem")

    with pytest.raises(BackendUnavailable) as caught:
        PuppetHttp(serve(answers(OK)).url, broken).call("GET", "/x")
    assert "/nonexistent" not in str(caught.value)


def test_who_has_no_certificate_yet_may_call_without(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """That is how a CSR is handed in, and a certificate fetched for the first time."""
    shown: list[object] = []

    def see(connection: ssl.SSLSocket) -> None:
        read_head(connection)
        shown.append(connection.getpeercert(binary_form=True))
        connection.sendall(OK)

    url = serve(see, see).url
    PuppetHttp(url, replace(access, certificate="", private_key="")).call("GET", "/x")
    PuppetHttp(url, access).call("GET", "/x")

    assert [each is None for each in shown] == [True, False]


def test_plain_http_is_refused(access: PuppetAccess) -> None:
    """TLS cannot be configured away."""
    with pytest.raises(ConfigError, match="https"):
        PuppetHttp("http://localhost:8140", access)


@pytest.mark.parametrize(
    "url", ["https://", "https://a b", "https://[x", "https://host:port", "https://a..b"]
)
def test_what_is_no_url_is_refused(access: PuppetAccess, url: str) -> None:
    """A mistake of the administrator's is told as one."""
    with pytest.raises(ConfigError, match="https://host:8140"):
        PuppetHttp(url, access)


def test_what_is_not_json_is_unavailable(
    serve: Callable[..., Server], access: PuppetAccess
) -> None:
    """A half-started server answers with pages for people."""
    http = PuppetHttp(serve(answers(OK)).url, access)

    with pytest.raises(BackendUnavailable, match="JSON"):
        http.call("GET", "/x").json()


def test_many_threads_share_it(serve: Callable[..., Server], access: PuppetAccess) -> None:
    """Each thread has its own deadline: one that hangs takes nobody along."""
    server = serve(*[answers(OK)] * 8)
    http = PuppetHttp(server.url, replace(access, timeout=20))
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(http.call("GET", "/x").body))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert bodies == [b"hi"] * 8
