"""A classification as JSON that YAML parsers read identically.

Puppet reads an ENC's answer with Psych, as YAML 1.1.  JSON is nearly that, but for a few traps,
each of which would change a value or make Puppet refuse the node:

* YAML has no surrogate pairs: a character beyond U+FFFF must stand as it is, not as two escapes.
* Other characters than ASCII may not all stand as they are (YAML 1.1, 5.1), so they are escaped;
  then it does not matter either in which locale Puppet Server reads.
* A float without a dot (``1e+16``) is a string to YAML 1.1.
* Parsers give up on keys that take more than 1024 characters (YAML 1.1, 7.3, "simple keys").
* Psych takes the key ``<<`` for a merge even when it is quoted (psych/visitors/to_ruby.rb).

The first line is a head of fixed shape that a shell script can tell from all else::

    {"espm": {"generation": 7, "version": 2, "state": "present"},
    "environment": "production", "classes": {...}, "parameters": {...}}
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from espm.errors import InvalidClassification

if TYPE_CHECKING:
    from espm.model import Catalogable, Json

#: A YAML parser counts the quotes and escapes of a key too and stops at 1024.
KEY_LENGTH = 1000

#: Psych and PyYAML recurse; nothing that is configured by hand is nested so deep.
DEPTH = 64

# Without json.dumps, which asks first for each of its options whether it was given.
_write = json.JSONEncoder().encode

_SURROGATE_PAIR = re.compile(r"(\\\\)|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def head(generation: int, version: int, state: str) -> str:
    """Return the first line of a document, without its newline."""
    return (
        f'{{"espm": {{"generation": {generation:d}, "version": {version:d}, "state": "{state}"}},'
    )


def body(catalogable: Catalogable) -> str:
    """Return what follows the head of a document that tells Puppet *catalogable*.

    :raises espm.errors.InvalidClassification: a value can't be written so that Puppet reads it.
    """
    parts = {
        "environment": catalogable.environment,
        "classes": {name: dict(values) for name, values in catalogable.classes.items()},
        "parameters": dict(catalogable.parameters),
    }
    lines = (f'"{part}": {value(content, part)}' for part, content in parts.items())
    return ",\n".join(lines) + "}\n"


def value(content: Json, where: str) -> str:
    """Return one JSON value as text on one line that JSON and YAML 1.1 read identically.

    :param where: what the value is, for the message.
    :raises espm.errors.InvalidClassification: there is no such text.
    """
    try:
        return _value(content, DEPTH)
    except (ValueError, TypeError) as exc:
        msg = f"{where}: {exc}"
        raise InvalidClassification(msg, [msg]) from exc


def _value(content: Json, depth: int) -> str:
    if not depth:
        msg = f"nested deeper than {DEPTH} levels"
        raise ValueError(msg)
    if isinstance(content, dict):
        items = (f"{_key(k)}: {_value(v, depth - 1)}" for k, v in content.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(content, list | tuple):
        return "[" + ", ".join(_value(item, depth - 1) for item in content) + "]"
    return _scalar(content)


def _scalar(content: Json) -> str:
    if isinstance(content, str):
        return _string(content)
    if isinstance(content, float):
        return _float(content)
    if content is None or isinstance(content, bool):
        return _write(content)
    if isinstance(content, int):
        return _integer(content)
    msg = f"a {type(content).__name__} is not a JSON value"
    raise TypeError(msg)


def _integer(content: int) -> str:
    # Puppet's Integer ends there (Puppet documentation, "Numbers").
    if not -(2**63) <= content < 2**63:
        msg = "an integer has more than 64 bits"
        raise ValueError(msg)
    return str(content)


def _key(key: object) -> str:
    if not isinstance(key, str):
        msg = "a key is not a string"
        raise TypeError(msg)
    if key == "<<":
        msg = "the key '<<' means a merge to Puppet"
        raise ValueError(msg)
    text = _string(key)
    if len(text) > KEY_LENGTH:
        msg = f"a key takes more than {KEY_LENGTH} characters"
        raise ValueError(msg)
    return text


def _string(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        msg = "a string holds half of a surrogate pair, which is not a character"
        raise ValueError(msg) from exc
    # JSON leaves DEL alone, which YAML does not count as printable.
    return _SURROGATE_PAIR.sub(_character, _write(text)).replace("\x7f", "\\u007f")


def _character(match: re.Match[str]) -> str:
    """Return the character that a pair of escapes stands for; an escaped backslash as it is."""
    if match[1]:
        return match[1]
    pair = int(match[2], 16).to_bytes(2, "big") + int(match[3], 16).to_bytes(2, "big")
    return pair.decode("utf-16-be")


def _float(number: float) -> str:
    if not math.isfinite(number):
        msg = f"{number} is not a JSON number"
        raise ValueError(msg)
    mantissa, exponent, power = repr(number).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent + power
