r"""Where one HTTP/1 request ends and the next begins, strictly.

cheroot's own parser takes the last of two Content-Lengths, Transfer-Encoding over Content-Length,
``+5`` and ``0_5`` as lengths, folded lines, ``Name : value``, underscores for dashes and NUL in
values.  Each of these lets two programs on one path (a proxy and espm, say) see different requests
in the same bytes.  So espm parses the head itself and refuses what is not plain RFC 9112; what was
checked is what is used.

After a refusal nothing more is read from the connection as a request, pipelined or not.

The path is not judged here: ``..``, ``%00`` and encoded slashes reach the application, percent
decoded except ``%2F`` (as cheroot does it) in ``PATH_INFO`` and untouched in ``REQUEST_URI``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_BYTES = 8192  # what RFC 9112, section 3, asks servers to take at least is 8000
FIELDS = 100  # curl sends three, a browser behind a chain of proxies thirty
METHOD_BYTES = 32

# The problem types this level answers with; the API serves a page for each.
PROBLEMS: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "malformed-request",
    HTTPStatus.LENGTH_REQUIRED: "length-required",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "target-too-long",
    HTTPStatus.EXPECTATION_FAILED: "expectation-failed",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers-too-large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal-error",
    HTTPStatus.NOT_IMPLEMENTED: "method-not-implemented",
    HTTPStatus.SERVICE_UNAVAILABLE: "too-busy",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "http-version-not-supported",
}

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")

# Two values of one of these would leave it to chance which one counts.
_ONCE = frozenset(
    b"Authorization Content-Encoding Content-Length Content-Type Expect Host Idempotency-Key "
    b"If-Match If-None-Match If-Modified-Since If-Unmodified-Since X-Request-Id".split()
)
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) (HTTP/[0-9]\.[0-9])")
_METHOD = re.compile(rb"[A-Z]+(-[A-Z]+)*")
_TARGET = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_FIELD = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]{1,5})?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_ENCODED_SLASH = re.compile(rb"%2F", re.IGNORECASE)


class Refused(Exception):
    """A request that is not taken.

    :param status: the HTTP status of the answer, one of :data:`PROBLEMS`.
    :param detail: what was wrong and what to do, safe to show.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request.

    :ivar target: the request target as it came, path and query.
    :ivar headers: values by name in ``Title-Case``, as cheroot keeps them.
    :ivar content_length: how many octets of body follow.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: dict[bytes, bytes]
    content_length: int

    @property
    def path(self) -> bytes:
        """The path, percent-decoded except for encoded slashes, which stay ``%2F``."""
        path = self.target.partition(b"?")[0]
        if b"%" not in path:
            return path
        return b"%2F".join(unquote_to_bytes(part) for part in _ENCODED_SLASH.split(path))

    @property
    def query(self) -> bytes:
        """The query as it came, without the question mark."""
        return self.target.partition(b"?")[2]

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        options = {o.strip().lower() for o in self.headers.get(b"Connection", b"").split(b",")}
        return b"close" not in options and (self.version == b"HTTP/1.1" or b"keep-alive" in options)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        return b"Expect" in self.headers and self.version == b"HTTP/1.1"


def parse(head: bytes, *, body_bytes: int) -> Head:
    """Return what *head* says: request line and header lines, without the empty line.

    :param head: lines separated by CRLF, nothing behind the last.
    :param body_bytes: the largest body that is taken.
    :raises Refused: it is not plain HTTP/1.0 or HTTP/1.1, or asks for what espm does not do.
    """
    request_line, *lines = head.split(b"\r\n")
    method, target, version = _parse_request_line(request_line)
    if len(lines) > FIELDS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "There are too many headers.")
    headers = _parse_headers(lines)
    _check_host(version, headers)
    _check_expectation(headers)
    return Head(method, target, version, headers, _content_length(headers, body_bytes))


def too_long(head: bytes | bytearray) -> Refused:
    """Return the refusal of a head that outgrew its limit before it ended."""
    if b"\n" in head[:LINE_BYTES]:
        return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.")
    return Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.")


def render(refusal: Refused) -> bytes:
    """Return the complete answer to a request that is refused: a problem document (RFC 9457)."""
    status = refusal.status
    problem = {
        "type": f"/problems/{PROBLEMS[status]}",
        "title": status.phrase,
        "status": status.value,
        "detail": refusal.detail,
    }
    body = json.dumps(problem).encode()
    retry = "Retry-After: 1\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: espm\r\n{retry}"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _malformed(detail: str) -> NoReturn:
    raise Refused(HTTPStatus.BAD_REQUEST, detail)


def _parse_request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    if len(line) > LINE_BYTES:
        raise too_long(line)
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        _malformed("The request line is not METHOD TARGET HTTP/1.1 with single spaces.")
    method, target, version = match.groups()
    if version not in {b"HTTP/1.0", b"HTTP/1.1"}:
        raise Refused(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken here."
        )
    _check_method(method)
    if not _TARGET.fullmatch(target):
        _malformed("The request target must be an absolute path and query, in RFC 3986 form.")
    return method, target, version


def _check_method(method: bytes) -> None:
    if not _METHOD.fullmatch(method):
        _malformed("The method must be in capital letters.")
    if method in {b"TRACE", b"CONNECT"} or len(method) > METHOD_BYTES:
        name = method[:METHOD_BYTES].decode()
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, f"The method {name} is not implemented.")


def _parse_headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, value = _parse_field(line)
        if name in headers and name in _ONCE:
            _malformed(f"The header {name.decode()} may be given once only.")
        # One list; RFC 9110, section 5.6.1, overlooks its empty elements.
        headers[name] = b", ".join(filter(None, (headers.get(name), value)))
    return headers


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match:
        return match[1].title(), match[2].rstrip(b" \t")
    if line[:1] in {b" ", b"\t"}:
        _malformed("Folded header lines are obsolete and refused; write one line.")
    if b"_" in line.partition(b":")[0]:
        _malformed("Header names with underscores are refused; use dashes.")
    _malformed("A header line is not Name: value, or holds control characters.")


def _check_host(version: bytes, headers: dict[bytes, bytes]) -> None:
    host = headers.get(b"Host")
    if host is None and version == b"HTTP/1.0":
        return
    if host is None:
        _malformed("HTTP/1.1 requires a Host header.")
    if not _HOST.fullmatch(host):
        _malformed("The Host header is not a host name or address with an optional port.")


def _check_expectation(headers: dict[bytes, bytes]) -> None:
    if headers.get(b"Expect", b"100-continue").lower() != b"100-continue":
        raise Refused(
            HTTPStatus.EXPECTATION_FAILED, "The only expectation understood is 100-continue."
        )


def _content_length(headers: dict[bytes, bytes], body_bytes: int) -> int:
    length = headers.get(b"Content-Length")
    if b"Transfer-Encoding" in headers:
        if length is not None:
            _malformed("Content-Length and Transfer-Encoding exclude each other.")
        raise Refused(
            HTTPStatus.LENGTH_REQUIRED, "Transfer codings are not taken: send a Content-Length."
        )
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        _malformed("Content-Length is not one decimal number.")
    if int(length) > body_bytes:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may hold {body_bytes} octets at most."
        )
    return int(length)
