"""Bodies and queries: what is taken, and that nothing else than the documented errors comes out."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm.api import bodies
from espm.api.faults import BodyTooLarge, LengthMissing, MediaTypeRefused, NotJson
from espm.api.parsing import DEPTH, check_query, parse_json, read_json
from espm.errors import InvalidRequest

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = [
    "certname",
    "environment",
    "groups",
    "classes",
    "parameters",
    "certificate",
    "csr",
    "sign_pending",
    "replace_pending",
]
BODIES = st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=5), JSON, max_size=5) | JSON


@given(st.binary())
def test_any_bytes_are_json_or_said_not_to_be(text: bytes) -> None:
    """Nothing but NotJson is ever raised."""
    with suppress(NotJson):
        parse_json(text)


@given(JSON)
def test_what_is_json_comes_through(value: object) -> None:
    """All that JSON can say is taken as it is, but for NUL and half characters in strings."""
    text = json.dumps(value)
    if "\\u0000" in text or "\\ud" in text:
        with suppress(NotJson):
            parse_json(text.encode())
    else:
        assert parse_json(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"NaN", "NaN"),
        (b"-Infinity", "Infinity"),
        (b"1e999", "too large"),
        (b'{"a": 1, "a": 2}', "'a' is repeated"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' is repeated"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'"\\ud800"', "surrogate"),
        (b"[" * (DEPTH + 2) + b"]" * (DEPTH + 2), "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 100_000, "deeper"),
        (b"1" * 10_000, "not JSON"),
    ],
)
def test_what_is_not_json_is_said(text: bytes, word: str) -> None:
    """The message names what is wrong, and stays short."""
    with pytest.raises(NotJson, match=word) as caught:
        parse_json(text)

    assert len(str(caught.value)) < 300


def test_values_may_nest_as_deep_as_the_bound() -> None:
    """The bound itself is inside."""
    deepest = b"[" * DEPTH + b"]" * DEPTH

    assert json.dumps(parse_json(deepest)).encode() == deepest


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({}, MediaTypeRefused),
        ({"content-type": "text/json"}, MediaTypeRefused),
        ({"content-type": "application/json"}, LengthMissing),
        ({"content-type": "application/json", "content-length": "11"}, BodyTooLarge),
        ({"content-type": "application/json", "content-length": "0"}, NotJson),
    ],
)
def test_a_body_needs_its_headers(headers: dict[str, str], fault: type[Exception]) -> None:
    """Each missing or wrong one is an error of its own."""
    with pytest.raises(fault):
        read_json(headers, io.BytesIO(b""), 10)


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON ; charset=utf-8"])
def test_a_body_is_read_to_its_length_only(media_type: str) -> None:
    """What follows belongs to the next request."""
    stream = io.BytesIO(b"[1][2]")
    headers = {"content-type": media_type, "content-length": "3"}

    assert read_json(headers, stream, 10) == [1]
    assert stream.read() == b"[2]"


def test_a_query_names_each_unknown_parameter() -> None:
    """All are named at once, with those that are known."""
    check_query({"state": "x"}, ("state", "limit"))
    with pytest.raises(InvalidRequest) as caught:
        check_query({"b": "", "a": "", "state": ""}, ("state", "limit"))

    assert caught.value.faults == (
        "'a': unknown; known are: limit, state",
        "'b': unknown; known are: limit, state",
    )


@given(BODIES)
def test_any_body_is_taken_or_its_faults_are_named(body: object) -> None:
    """Nothing but InvalidRequest is ever raised, by any of the three kinds of bodies."""
    for read in (bodies.new_node, bodies.classification, bodies.order):
        with suppress(InvalidRequest):
            read(body)


def test_all_faults_of_a_body_are_named_at_once() -> None:
    """A caller corrects a body in one go; a misspelt member has a hint."""
    with pytest.raises(InvalidRequest) as caught:
        bodies.new_node(
            {
                "certname": "a.example.com",
                "group": [],
                "groups": "web",
                "classes": {"Ntp": {}, "ntp": []},
                "parameters": {"trusted": 1},
                "environment": "Prod",
                "certificate": {"csr": 1, "sign_pending": "x"},
            }
        )
    faults = "\n".join(caught.value.faults)

    assert len(caught.value.faults) == 9
    for word in ("did you mean 'groups'?", "Ntp", "class 'ntp'", "trusted", "Prod", "csr:"):
        assert word in faults
