"""Documents mean the same to JSON, to PyYAML and to Psych, which Puppet reads them with."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espm.classifier import render
from espm.errors import InvalidClassification
from espm.model import Catalogable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# As Puppet::Node::Exec reads an answer: bytes of a pipe, safe_load with symbols and aliases.  What
# it read comes back as JSON; floats as hex of their bits, since JSON libraries round as they like.
PSYCH = r"""
require 'yaml'; require 'json'
def plain(v)
  case v
  when Hash then ['h', v.map { |k, w| [plain(k), plain(w)] }]
  when Array then ['a', v.map { |w| plain(w) }]
  when Float then ['f', [v].pack('G').unpack1('H*')]
  when Integer then ['i', v.to_s]
  when String then ['s', v.encode('UTF-8').unpack('U*')]
  when nil, true, false then ['c', v]
  else ['?', v.class.to_s]
  end
end
STDIN.binmode
while (size = STDIN.gets)
  text = STDIN.read(size.to_i).force_encoding(ARGV[0] || 'UTF-8')
  begin
    answer = plain(YAML.safe_load(text, permitted_classes: [Symbol], aliases: true))
  rescue StandardError, Psych::Exception => e
    answer = ['error', e.message]
  end
  puts JSON.generate(answer, max_nesting: 0)
  STDOUT.flush
end
"""


def plain(value: Any) -> Any:
    """Return *value* in the form in which the Ruby program says what it read."""
    if isinstance(value, dict):
        return ["h", [[plain(key), plain(item)] for key, item in value.items()]]
    if isinstance(value, list):
        return ["a", [plain(item) for item in value]]
    if value is None or isinstance(value, bool):
        return ["c", value]
    if isinstance(value, int):
        return ["i", str(value)]
    if isinstance(value, float):
        return ["f", struct.pack(">d", value).hex()]
    return ["s", [ord(character) for character in value]]


@pytest.fixture(scope="module", params=["UTF-8", "US-ASCII", "BINARY"])
def psych(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Psych in one Ruby process, whichever encoding the pipe is said to have."""
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("no ruby: run tests/prerequisites.sh")
    with subprocess.Popen(
        [ruby, "-e", PSYCH, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def read(text: str) -> Any:
            data = text.encode()
            stdin.write(b"%d\n" % len(data) + data)
            stdin.flush()
            return json.loads(stdout.readline())

        yield read
        stdin.close()


def document(value: Any) -> str:
    """Return a whole document with *value* as a parameter."""
    return f"{render.head(7, 2, 'present')}\n" + render.body(
        Catalogable("production", {"ntp": {}}, {"x": value})
    )


def expected(value: Any) -> Any:
    """Return what a reader of ``document(value)`` must see."""
    return {
        "espm": {"generation": 7, "version": 2, "state": "present"},
        "environment": "production",
        "classes": {"ntp": {}},
        "parameters": {"x": value},
    }


# Every character of which a parser may think something special.
ODD = (
    "\x00\t\n\r\x0b\x1b\x7f\x80\x85\x9f\xa0\xad\u2028\u2029\ufeff\ufffe\uffff\ufffd\ue000"
    "\U00010000\U0001f600\U0010ffff\\\"'/:#&*!|>%@`{}[],?-~=<."
)
TRAPS = [
    *("yes", "no", "on", "null", "~", "", " ", "1", "1.5", "0x1f", "017", "1e3", "1_000", "1:30"),
    *("2020-01-01", "2001-12-14 21:59:43.10 -5:00", "=", "<<", ".inf", ".nan", "!ruby/object:X"),
    *(
        ":symbol",
        ':"x"',
        "!!binary x",
        "*a",
        "&a",
        "- a",
        "a: b",
        "a #b",
        "%YAML 1.1",
        "---",
        "...",
    ),
    *("\\ud83d\\ude00", "\\", "\\\\", "\\n", '"', "trail ", "\n", "a\nb", "a\r\nb\n\n", ODD, "é"),
    *ODD,
    *(0, -1, 2**31, 2**63 - 1, -(2**63), True, False, None),
    *(0.0, -0.0, 1.0, 1e16, 1e-7, 1.5e300, 5e-324, 1.7976931348623157e308, 0.1, -1e22, 123456.789),
    *({}, [], [[]], [{}], {"a": {}}, {"": ""}, {"=": 1, "y": 2, "1": 3, "null": 4, ":a": 5}),
    {"k" * 998: 1},
    "x" * 100_000,
    [[[[[[[[{"deep": [None]}]]]]]]]],
]
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])))
keys = texts.filter(lambda text: text != "<<" and len(text) < 80)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("value", TRAPS, ids=lambda value: ascii(value)[:40])
def test_every_reader_sees_what_was_meant(value: Any, psych: Callable[[str], Any]) -> None:
    """Known traps of YAML 1.1 change no value."""
    text = document(value)

    assert plain(expected(value)) == plain(json.loads(text))
    assert plain(expected(value)) == plain(yaml.safe_load(text))
    assert plain(expected(value)) == psych(text)


@given(value=values)
def test_any_value_survives(value: Any, psych: Callable[[str], Any]) -> None:
    """Whatever JSON can say, Puppet reads."""
    text = document(value)

    assert plain(expected(value)) == plain(json.loads(text))
    assert plain(expected(value)) == plain(yaml.safe_load(text))
    assert plain(expected(value)) == psych(text)


def test_no_prefix_of_a_document_is_a_classification(psych: Callable[[str], Any]) -> None:
    """A truncated document makes Puppet refuse the catalog, wherever it was cut."""
    text = document({"a": [1, "}"]}).rstrip("\n")
    read = {psych(text[:end])[0] for end in range(len(render.head(7, 2, "present")), len(text))}

    assert {"error"} == read


def test_the_head_is_one_line_of_fixed_shape() -> None:
    """A shell script can tell a document from all else by its first line."""
    line, rest = document(1).split("\n", 1)

    assert line == '{"espm": {"generation": 7, "version": 2, "state": "present"},'
    assert rest.startswith('"environment": "production",\n"classes"')


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        (float("nan"), "not a JSON number"),
        (float("inf"), "not a JSON number"),
        ({"<<": {}}, "merge"),
        ({"k" * 999: 1}, "1000 characters"),
        ({"é" * 170: 1}, "1000 characters"),
        ({1: 1}, "not a string"),
        ({1, 2}, "a set is not a JSON value"),
        (b"x", "a bytes is not"),
        pytest.param(10**5000, "more than 64 bits", id="digits"),
        pytest.param(2**63, "more than 64 bits", id="65 bits"),
    ],
)
def test_what_puppet_would_misread_is_refused(value: Any, why: str) -> None:
    """A value that can't be written safely is the caller's fault and is named."""
    with pytest.raises(InvalidClassification, match=why):
        document(value)


def test_what_is_nested_too_deep_is_refused() -> None:
    """Depth costs an error message, not a stack."""
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidClassification, match="nested deeper"):
        document(value)


def test_values_at_the_depth_limit_are_read(psych: Callable[[str], Any]) -> None:
    """The limit is one that every reader reaches."""
    value: Any = "x"
    for _ in range(render.DEPTH - 2):
        value = [value]

    assert plain(expected(value)) == psych(document(value))


def test_plain_json_falls_into_the_traps(psych: Callable[[str], Any]) -> None:
    """json.dumps alone would change values, so the tests above can fail."""
    assert psych(json.dumps(1e16)) == plain("1e+16")
    assert psych(json.dumps("\U0001f600")) != plain("\U0001f600")
