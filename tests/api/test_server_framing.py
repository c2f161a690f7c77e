"""Requests that could be read in two ways are refused, and nothing behind them is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from espm.server.connections import Server, ServerLimits
from tests.api.wire import GET, read_all, read_answer, secure, serving, trusting, write_pair

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

LIMITS = ServerLimits(threads=4, body_bytes=1000, strangers_per_peer=100)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: espm\r\n\r\n"
SEEN: list[dict[str, Any]] = []


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with the body of the request, noting its environ."""
    body = environ["wsgi.input"].read()
    SEEN.append(dict(environ))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, ssl.SSLContext]]:
    """Serve, and give a client's context that trusts it."""
    certificate, key, ca = write_pair(tmp_path_factory.mktemp("tls"))
    with serving(application, (certificate, key), LIMITS) as server:
        yield server, trusting(ca)


def line(text: bytes) -> bytes:
    """Return a request without a body that begins with *text*."""
    return text + b"\r\nHost: espm\r\n\r\n"


def post(*headers: bytes, body: bytes = b"x") -> bytes:
    """Return a POST with these headers."""
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: espm", *headers, b"", body))


REFUSALS = {
    "two lengths": (400, post(b"Content-Length: 1", b"Content-Length: 1")),
    "two different lengths": (400, post(b"Content-Length: 1", b"Content-Length: 2")),
    "length with a plus": (400, post(b"Content-Length: +5")),
    "length with an underscore": (400, post(b"Content-Length: 0_5")),
    "negative length": (400, post(b"Content-Length: -1")),
    "hexadecimal length": (400, post(b"Content-Length: 0x1")),
    "list of lengths": (400, post(b"Content-Length: 1, 1")),
    "empty length": (400, post(b"Content-Length:")),
    "length in other digits": (400, post("Content-Length: \u0661".encode())),
    "length and coding": (400, post(b"Content-Length: 1", b"Transfer-Encoding: chunked")),
    "coding and length": (400, post(b"Transfer-Encoding: identity", b"Content-Length: 1")),
    "chunked": (411, post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n")),
    "odd coding": (411, post(b"Transfer-Encoding: xchunked")),
    "two codings": (411, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")),
    "no coding": (411, post(b"Transfer-Encoding:")),
    "coding, HTTP/1.0": (411, line(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked")),
    "length and coding, in small letters": (
        400,
        post(b"content-length: 1", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    ),
    "length and an empty coding": (400, post(b"Content-Length: 1", b"Transfer-Encoding:")),
    "length and a coding of several": (
        400,
        post(b"Content-Length: 1", b"Transfer-Encoding: gzip, chunked"),
    ),
    "coding behind a blank": (400, post(b"Content-Length: 1", b"Transfer-Encoding : chunked")),
    "coding behind a tab": (400, post(b"Content-Length: 1", b"\tTransfer-Encoding: chunked")),
    "coding behind a bare LF": (400, post(b"Content-Length: 1\nTransfer-Encoding: chunked")),
    "coding behind a bare CR": (400, post(b"Content-Length: 1\rTransfer-Encoding: chunked")),
    "coding behind a form feed": (400, post(b"Transfer-Encoding: \x0cchunked")),
    "coding with an underscore": (400, post(b"Transfer_Encoding: chunked")),
    "coding folded": (400, post(b"Transfer-Encoding:", b" chunked")),
    "chunk of 2**64": (411, post(b"Transfer-Encoding: chunked", body=b"f" * 16 + b"\r\nx")),
    "chunk of minus one": (411, post(b"Transfer-Encoding: chunked", body=b"-1\r\nx\r\n0\r\n\r\n")),
    "chunk with an endless extension": (
        411,
        post(b"Transfer-Encoding: chunked", body=b"1;" + b"a" * 20000),
    ),
    "length of 16 digits": (400, post(b"Content-Length: 0000000000000001")),
    "length of a thousand digits": (400, post(b"Content-Length: " + b"9" * 1000)),
    "length with a blank within": (400, post(b"Content-Length: 1 0")),
    "length with a NUL": (400, post(b"Content-Length: 1\0")),
    "length behind another": (400, post(b"Content-Length: 1", b"CONTENT-LENGTH: 1")),
    "length with an exponent": (400, post(b"Content-Length: 1e1")),
    "length with a point": (400, post(b"Content-Length: 1.0")),
    "NUL in a value": (400, post(b"X-A: a\0b")),
    "NUL in a name": (400, post(b"X\0A: b")),
    "control character in a value": (400, post(b"X-A: a\x0bb")),
    "bare CR in a value": (400, post(b"X-A: a\rX-B: b")),
    "bare LF in the headers": (400, post(b"X-A: a\nX-B: b")),
    "bare LF throughout": (400, b"GET / HTTP/1.1\nHost: espm\n\n"),
    "CR CR LF in the headers": (400, post(b"X-A: a\r", b"X-B: b")),
    "LF CR LF at the end": (400, b"GET / HTTP/1.1\r\nHost: espm\n\r\n"),
    "CR LF LF at the end": (400, b"GET / HTTP/1.1\r\nHost: espm\r\n\n"),
    "two empty lines first": (400, b"\r\n\r\n" + GET),
    "bare LF first": (400, b"\n" + GET),
    "blank first": (400, b" " + GET),
    "NUL first": (400, b"\0" + GET),
    "byte order mark first": (400, b"\xef\xbb\xbf" + GET),
    "NUL in the method": (400, line(b"G\0T / HTTP/1.1")),
    "escape in a value": (400, post(b"X-A: \x1b[2J")),
    "DEL in a value": (400, post(b"X-A: \x7f")),
    "folded line": (400, post(b"X-A: a", b" b")),
    "fold at the first header": (400, line(b"GET / HTTP/1.1\r\n X: a")),
    "blank before the colon": (400, post(b"X-A : 1")),
    "no colon": (400, post(b"X-A")),
    "no name": (400, post(b": 1")),
    "name that is no token": (400, post(b"X(A): 1")),
    "underscore in a name": (400, post(b"Content_Length: 5")),
    "two hosts": (400, post(b"Host: other")),
    "two keys": (400, post(b"Authorization: Bearer a", b"authorization: Bearer b")),
    "two types": (400, post(b"Content-Type: a/b", b"Content-Type: c/d")),
    "two If-Match": (400, post(b'If-Match: "a"', b'If-Match: "b"')),
    "two idempotency keys": (400, post(b"Idempotency-Key: a", b"Idempotency-Key: b")),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "list of hosts": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "absolute form": (400, line(b"GET https://espm/ HTTP/1.1")),
    "authority form": (400, line(b"GET espm:443 HTTP/1.1")),
    "asterisk form": (400, line(b"OPTIONS * HTTP/1.1")),
    "absolute form of another scheme": (400, line(b"GET file:///etc/passwd HTTP/1.1")),
    "absolute form with a user": (400, line(b"GET http://a@b/ HTTP/1.1")),
    "path without a slash": (400, line(b"GET v1/nodes HTTP/1.1")),
    "backslash in the path": (400, line(b"GET /..\\..\\etc HTTP/1.1")),
    "half an escape": (400, line(b"GET /a%4 HTTP/1.1")),
    "encoding of Windows": (400, line(b"GET /%u002e HTTP/1.1")),
    "fragment": (400, line(b"GET /a#b HTTP/1.1")),
    "broken escape": (400, line(b"GET /%zz HTTP/1.1")),
    "raw octet in the path": (400, line(b"GET /\xe9 HTTP/1.1")),
    "NUL in the path": (400, line(b"GET /\0 HTTP/1.1")),
    "two blanks": (400, line(b"GET  / HTTP/1.1")),
    "tab for a blank": (400, line(b"GET\t/ HTTP/1.1")),
    "blank in the target": (400, line(b"GET /a b HTTP/1.1")),
    "method in small letters": (400, line(b"get / HTTP/1.1")),
    "method of many letters": (501, line(b"A" * 33 + b" / HTTP/1.1")),
    "method of very many letters": (501, line(b"A" * 8000 + b" / HTTP/1.1")),
    "method without end": (414, b"A" * 17000),
    "no method": (400, line(b" / HTTP/1.1")),
    "method alone": (400, line(b"GET")),
    "no version": (400, line(b"GET / ")),
    "two digits in the version": (400, line(b"GET / HTTP/1.10")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "protocol in small letters": (400, line(b"GET / http/1.1")),
    "three version numbers": (400, line(b"GET / HTTP/1.1.1")),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (505, line(b"GET / HTTP/1.2")),
    "TRACE": (501, line(b"TRACE / HTTP/1.1")),
    "CONNECT": (501, line(b"CONNECT espm:443 HTTP/1.1")),
    "odd expectation": (417, post(b"Content-Length: 1", b"Expect: 200-ok")),
    "long target": (414, line(b"GET /" + b"a" * 9000 + b" HTTP/1.1")),
    "endless target": (414, b"GET /" + b"a" * 17000),
    "large headers": (431, line(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 17000)),
    "endless headers": (431, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 17000),
    "hundred and one headers": (431, post(*[b"X-A: a"] * 100)),
    "thousands of headers": (431, post(*[b"X:" for _ in range(4000)])),
    "thousands of names": (431, post(*[b"X%d:" % n for n in range(1500)])),
    "large body": (413, post(b"Content-Length: 1001", body=b"x" * 1001)),
    "huge body, not sent yet": (413, post(b"Content-Length: 999999999999")),
}


@pytest.mark.parametrize(("status", "request_"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_request_of_unclear_bounds_is_refused(
    wire: tuple[Server, ssl.SSLContext], status: int, request_: bytes
) -> None:
    """The answer is a problem document, the connection ends, and what follows is not read."""
    SEEN.clear()
    with secure(*wire) as sock:
        sock.sendall(request_ + SMUGGLED)
        answer = read_all(sock)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"HTTP/1.1 {status} ".encode() == head[:13]
    assert b"Content-Type: application/problem+json" in head.split(b"\r\n")
    assert b"Connection: close" in head.split(b"\r\n")
    assert status == json.loads(body)["status"]
    assert SEEN == []


TAKEN = {
    "an empty line first": b"\r\n" + GET,
    "HTTP/1.0 without a host": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "host with a port": b"GET / HTTP/1.1\r\nHost: espm.example.com:8443\r\n\r\n",
    "host that is IPv6": b"GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n",
    "two headers that are lists": line(b"GET / HTTP/1.1\r\nAccept: a/b\r\nAccept: c/d"),
    "unknown method": line(b"BREW / HTTP/1.1"),
    "length zero": post(b"Content-Length: 0", body=b""),
    "a hundred headers": line(b"GET / HTTP/1.1\r\n" + b"\r\n".join([b"X: a"] * 99)),
    "method of 32 letters": line(b"A" * 32 + b" / HTTP/1.1"),
    "target of 8000 octets": line(b"GET /" + b"a" * 8000 + b" HTTP/1.1"),
    "length with zeros in front": post(b"Content-Length: 000", body=b""),
    "blank around a value": line(b"GET / HTTP/1.1\r\nX-A: \t a \t"),
}


@pytest.mark.parametrize("request_", TAKEN.values(), ids=TAKEN.keys())
def test_what_the_standard_allows_is_taken(
    wire: tuple[Server, ssl.SSLContext], request_: bytes
) -> None:
    """Strict does not mean odd: clients that keep to RFC 9112 are served."""
    with secure(*wire) as sock:
        sock.sendall(request_)

        assert read_answer(sock) == (200, b"")


def test_a_body_of_exactly_the_limit_is_taken(wire: tuple[Server, ssl.SSLContext]) -> None:
    """The limit is the largest size that works."""
    body = b"x" * LIMITS.body_bytes
    with secure(*wire) as sock:
        sock.sendall(post(b"Content-Length: 1000", body=body))

        assert (200, body) == read_answer(sock)


def test_requests_in_one_packet_are_answered_in_turn(wire: tuple[Server, ssl.SSLContext]) -> None:
    """Pipelining works, with bodies in between."""
    requests = [post(b"Content-Length: 3", body=body) for body in (b"one", b"two", b"six")]
    with secure(*wire) as sock:
        sock.sendall(b"".join(requests) + line(b"GET / HTTP/1.1\r\nConnection: close"))
        answers = read_all(sock)

    assert [
        part[-3:] if part[-3:].isalpha() else b"" for part in answers.split(b"HTTP/1.1 200 OK")[1:]
    ] == [b"one", b"two", b"six", b""]


def test_nothing_is_read_behind_a_refusal(wire: tuple[Server, ssl.SSLContext]) -> None:
    """What came before in the same packet is answered, what comes after never reaches anybody."""
    SEEN.clear()
    with secure(*wire) as sock:
        sock.sendall(GET + post(b"Content-Length: +1") + SMUGGLED * 50)
        answers = read_all(sock)

    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
    assert [environ["PATH_INFO"] for environ in SEEN] == ["/hello"]


def test_a_body_is_no_request(wire: tuple[Server, ssl.SSLContext]) -> None:
    """A request in the body of a GET is its body, and the next one is read behind it."""
    SEEN.clear()
    inner = b"Content-Length: %d" % len(SMUGGLED)
    with secure(*wire) as sock:
        sock.sendall(line(b"GET /outer HTTP/1.1\r\n" + inner) + SMUGGLED + GET)
        first = read_answer(sock)
        second = read_answer(sock)

    assert (first, second) == ((200, SMUGGLED), (200, b""))
    assert [environ["PATH_INFO"] for environ in SEEN] == ["/outer", "/hello"]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_pieces_in_which_a_request_comes_do_not_matter(
    wire: tuple[Server, ssl.SSLContext], size: int
) -> None:
    """The end of a head is found across packets, and so is what must be refused."""
    good, bad = post(b"Content-Length: 3", body=b"abc"), post(b"X-A: a\nX-B: b")
    with secure(*wire) as sock:
        for octets in (good, bad):
            for at in range(0, len(octets), size):
                sock.sendall(octets[at : at + size])
        answers = read_all(sock)

    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"abcHTTP/1.1 400 " in answers


def test_the_path_reaches_the_application_as_it_came(wire: tuple[Server, ssl.SSLContext]) -> None:
    """Dots, encoded slashes and NUL are the application's to judge."""
    SEEN.clear()
    with secure(*wire) as sock:
        sock.sendall(line(b"GET /v1/../a%2fb%00c%41?q=%2F HTTP/1.1"))
        read_answer(sock)

    assert SEEN[0]["REQUEST_URI"] == "/v1/../a%2fb%00c%41?q=%2F"
    assert SEEN[0]["PATH_INFO"] == "/v1/../a%2Fb\0cA"
    assert SEEN[0]["QUERY_STRING"] == "q=%2F"


def test_the_server_names_no_version(wire: tuple[Server, ssl.SSLContext]) -> None:
    """Nobody learns from a header which flaws to try."""
    with secure(*wire) as sock:
        sock.sendall(line(b"GET / HTTP/1.1\r\nConnection: close"))
        head = read_all(sock).split(b"\r\n")

    assert [field for field in head if field.startswith(b"Server:")] == [b"Server: espm"]


def test_a_client_that_waits_for_100_continue_gets_it_once(
    wire: tuple[Server, ssl.SSLContext],
) -> None:
    """Some clients, curl for one, send large bodies only after it."""
    with secure(*wire) as sock:
        sock.sendall(post(b"Content-Length: 3", b"Expect: 100-continue", body=b""))
        interim = sock.recv(65536)
        sock.sendall(b"abc")

        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert read_answer(sock) == (200, b"abc")
