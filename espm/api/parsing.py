"""Reading a request: its framing beyond HTTP, its JSON, its query - strictly."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from espm.api.faults import BodyTooLarge, LengthMissing, MediaTypeRefused, NotJson
from espm.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import BinaryIO, NoReturn

    from espm.model import Json

#: Deeper values are nobody's, and would let a small body cost much.
DEPTH = 32

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def read_json(headers: Mapping[str, str], stream: BinaryIO, limit: int) -> Json:
    """Return the JSON value of a request's body.

    :param headers: by lower-case name.
    :param limit: how many bytes it may have.
    :raises espm.api.faults.HttpFault: it has none, is too large, or is not JSON.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        msg = f"'{media_type}' is not 'application/json'" if media_type else "no Content-Type"
        raise MediaTypeRefused(msg)
    if "content-length" not in headers:
        msg = "the body has no Content-Length"
        raise LengthMissing(msg)
    length = int(headers["content-length"])
    if length > limit:
        msg = f"the body has {length} bytes; at most {limit} are taken"
        raise BodyTooLarge(msg)
    return parse_json(stream.read(length))


def parse_json(text: bytes) -> Json:
    """Return the JSON value in *text*: UTF-8, no repeated names, no NaN, bounded depth.

    :raises espm.api.faults.NotJson: it is not that.
    """
    try:
        value = _read(text.decode())
        _check_value(value, DEPTH)
    except RecursionError:
        msg = f"the body nests deeper than {DEPTH} levels"
        raise NotJson(msg) from None
    except ValueError as error:
        msg = f"the body is not JSON: {error}"
        raise NotJson(msg) from None
    return value


def check_query(query: Mapping[str, str], known: Collection[str]) -> None:
    """Return when *query* has no other names than *known*.

    :raises espm.errors.InvalidRequest: it has.
    """
    unknown = sorted(set(query) - set(known))
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        msg = "the query has parameters that this path does not take"
        raise InvalidRequest(msg, [f"'{name}': unknown; known are: {takes}" for name in unknown])


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        msg = f"the number {text[:40]} is too large"
        raise ValueError(msg)
    return number


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name in found:
            msg = f"the name {name[:80]!a} is repeated"
            raise ValueError(msg)
        found[name] = value
    return found


# Made once: what json.loads makes anew for each call takes longer than a short value.
_decode = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_without_repeats
).decode


def _read(text: str) -> Json:
    if text.startswith("\ufeff"):
        msg = "it begins with a byte order mark; leave that out"
        raise ValueError(msg)
    return _decode(text)


def _check_value(value: Json, depth: int) -> None:
    if depth < 0:
        raise RecursionError
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, (dict, list)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        for each in inner:
            _check_value(each, depth - 1)


def _check_text(text: str) -> None:
    # Neither PostgreSQL nor YAML can hold a NUL, and a lone surrogate is no character at all.
    if "\0" in text or _HALF_PAIR.search(text):
        msg = "a string holds a NUL or half a surrogate pair"
        raise ValueError(msg)
