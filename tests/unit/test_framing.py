"""What is a request: whatever is taken has one meaning, for us and for any other reader."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from espm.server import framing
from espm.server.framing import Head, Refused

BODY_BYTES = 1000

METHODS = st.sampled_from([b"GET", b"POST", b"BREW", b"M-SEARCH"])
TARGETS = st.from_regex(rb"/([a-z0-9./?&=-]|%[0-9A-F]{2}){0,20}", fullmatch=True)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"])
FIELDS = st.sampled_from(
    [b"X-A: 1", b"x-a:2", b"X-A:\t\xff ", b"Accept:", b"Connection: close", b"Expect: 100-Continue",
     b"Content-Length: 3", b"content-length:0", b"Content-Length: 1000", b'If-Match: "1.1"']
)  # fmt: skip
ODD = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\r\n ", b"\0", b" ", b"\t", b":", b"_", b",", b"+", b"\xe9", b"\x85",
     b"%", b"#", b"\r\nTransfer-Encoding: chunked", b"\r\nContent-Length: 3", b"\r\nHost: b",
     b"\r\nX-A : b", b"\r\nX_A: b", b"http://a", b"HTTP/1.1", b"a" * 40, b"9" * 20]
)  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Draw a good head of a request with something odd in up to two places."""
    line = b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    fields = draw(st.lists(FIELDS, max_size=4))
    head = b"\r\n".join([line, b"Host: espm", *fields])
    for odd in draw(st.lists(ODD, max_size=2)):
        place = draw(st.integers(0, len(head)))
        head = head[:place] + odd + head[place + draw(st.integers(0, 1)) :]
    return head


def parse(head: bytes) -> Head | None:
    """Return what *head* says, or None if it is refused as it should be."""
    try:
        return framing.parse(head, body_bytes=BODY_BYTES)
    except Refused as refusal:
        # It has an answer, which is a problem document; else this raises.
        json.loads(framing.render(refusal).partition(b"\r\n\r\n")[2])
        return None


def render(head: Head) -> bytes:
    """Return a head with the meaning of *head*."""
    fields = [b"%s: %s" % item for item in head.headers.items()]
    return b"\r\n".join([b"%s %s %s" % (head.method, head.target, head.version), *fields])


@given(st.binary())
def test_no_octets_break_the_parser(octets: bytes) -> None:
    """Whatever comes is taken or refused, with a status that has its problem."""
    parse(octets)


@given(heads())
@example(b"GET / HTTP/1.1\r\nHost: a")
def test_what_is_taken_can_be_said_again(head: bytes) -> None:
    """Rendered anew it is taken anew, with the same meaning."""
    found = parse(head)

    assert found is None or parse(render(found)) == found


@given(heads())
@example(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A: 1\r\nx-a: 2")
@example(b"GET / HTTP/1.0")
def test_another_reader_sees_the_same_request(head: bytes) -> None:
    """h11, which is strict as well, finds the same method, target, fields and end of the body."""
    found = parse(head)
    if found is None:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(head + b"\r\n\r\n" + b"x" * found.content_length + b"G")
    request = other.next_event()

    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (found.method, found.target)
    assert b"HTTP/" + request.http_version == found.version
    fields: dict[bytes, bytes] = {}
    for name, value in request.headers:
        key = name.title()
        fields[key] = b", ".join(filter(None, (fields.get(key), value)))
    assert fields == found.headers
    assert _body(other) == b"x" * found.content_length
    assert other.trailing_data[0] == b"G"


def _body(connection: h11.Connection) -> bytes:
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return body


@given(st.from_regex(rb"/([a-z0-9./-]|%[0-9A-Fa-f]{2})*", fullmatch=True))
def test_a_path_is_decoded_once_and_keeps_its_segments(target: bytes) -> None:
    """No encoded slash becomes a slash, and no percent sign is read twice."""
    path = Head(b"GET", target, b"HTTP/1.1", {}, 0).path

    assert path.count(b"/") == target.count(b"/")
    assert path.replace(b"%2F", b"/") == unquote_to_bytes(target).replace(b"%2F", b"/")


def test_the_number_of_fields_is_limited() -> None:
    """A hundred are taken; one more is refused before any is looked at."""
    line, fields = b"GET / HTTP/1.1\r\nHost: espm", [b"\r\na: 1"] * 99
    assert parse(line + b"".join(fields)) is not None
    with pytest.raises(Refused) as caught:
        framing.parse(line + b"".join(fields) + b"\r\n\0", body_bytes=0)

    assert caught.value.status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
