"""An answer of HTTP/1.1 is read however its octets come, and nothing else is taken for one."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm import answer
from espm.answer import Answer, Garbled, TooLong

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH
OPEN = b"HTTP/1.1 200 OK\r\n\r\nhi"
CLOSING = b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read(octets: bytes, *cuts: int, longest: int = 100) -> Answer:
    """Return the answer that *octets* are, which come in pieces and are all that comes."""
    places = [0, *sorted(cuts), len(octets)]
    pieces = [octets[a:b] for a, b in pairwise(places) if a < b]
    found = Answer(longest)
    for piece in [*pieces, b""]:
        if not found.whole:
            found.take(piece)
    return found


@pytest.mark.parametrize(
    ("octets", "status", "body", "lasts"),
    [
        (LENGTH, 200, b"hi", True),
        (CHUNKS, 200, b"hi", True),
        (NOTHING, 204, b"", True),
        (INTERIM, 200, b"hi", True),
        (OPEN, 200, b"hi", False),
        (CLOSING, 404, b"hi", False),
        (OLD, 200, b"hi", False),
    ],
)
@given(cuts=st.lists(st.integers(0, 100), max_size=4))
def test_an_answer_is_read_in_whatever_pieces_it_comes(
    octets: bytes, status: int, body: bytes, *, lasts: bool, cuts: list[int]
) -> None:
    """Its end is told by a length, by chunks, by its status, or by the connection's end."""
    found = read(octets, *(cut % len(octets) for cut in cuts))

    assert (found.status, found.body, found.lasts) == (status, body, lasts)


@given(st.sampled_from([LENGTH, CHUNKS, NOTHING, INTERIM]), st.data())
def test_what_breaks_off_is_no_answer(octets: bytes, data: st.DataObject) -> None:
    """A half of a certificate must not pass for one."""
    kept = data.draw(st.integers(0, len(octets) - 1))

    with pytest.raises(Garbled):
        read(octets[:kept])


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(octets: bytes) -> None:
    """Also where two readers could see two answers in it."""
    with pytest.raises(Garbled):
        read(octets)


@given(st.binary(max_size=200))
def test_octets_at_random_are_refused_or_read(octets: bytes) -> None:
    """Nothing else comes of them."""
    with suppress(Garbled, TooLong):
        assert read(octets).whole


def test_what_follows_an_answer_is_not_taken_for_the_next() -> None:
    """Nobody has asked for it, so the connection is not used again."""
    found = read(LENGTH + CLOSING)

    assert (found.status, found.body, found.lasts) == (200, b"hi", False)


@pytest.mark.parametrize("octets", [LENGTH, CHUNKS, OPEN])
def test_a_body_is_not_taken_beyond_its_limit(octets: bytes) -> None:
    """One octet less than it has is too few; as many are enough."""
    with pytest.raises(TooLong):
        read(octets, longest=1)
    assert read(octets, longest=2).body == b"hi"


def test_a_head_without_end_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of its own, for the body has not begun."""
    monkeypatch.setattr(answer, "BESIDE", 100)
    head = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100
    trailer = CHUNKS[:-2] + b"X-Long: " + b"x" * 200

    for octets in (head, trailer):
        with pytest.raises(Garbled, match="no end"):
            read(octets, 30, 60, 90)
