"""The contract that espm serves, and whether an answer keeps it.

The published schemas of answers are open, for later versions may add members; here they are
closed, so that a member which the contract does not know is found.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

from espm.api.routes import contract

if TYPE_CHECKING:
    import requests

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

#: What the server answers at its door, whatever the path is.
AT_THE_DOOR = {400, 411, 413, 414, 417, 431, 500, 501, 503, 505}


@cache
def document() -> Any:
    """Return the document as it is served, the schemas of answers closed."""
    found = json.loads(contract())
    for name, schema in found["components"]["schemas"].items():
        if name != "OpenApi":
            _close(schema)
    return found


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)


def resolved(part: Any) -> Any:
    """Return what *part* refers to, if it is a reference."""
    while "$ref" in part:
        found = document()
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def faults(schema: Any, value: Any) -> list[str]:
    """Return what is wrong with *value* by a schema of the document."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    return [f"{error.json_path}: {error.message[:400]}" for error in validator.iter_errors(value)]


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": document()["components"]})


def check(answer: requests.Response) -> None:
    """Return when *answer* is one that the contract knows.

    :raises AssertionError: it is not.
    """
    method = (answer.request.method or "").lower()
    path = urlsplit(answer.url).path
    item = next((item for template, item in _paths() if template.fullmatch(path)), None)
    if item is None or (method not in item and not (method == "head" and "get" in item)):
        _check_nothing(answer, item)
        return
    responses = item["get" if method == "head" else method]["responses"]
    expected = responses.get(str(answer.status_code))
    assert expected, f"{method} {path}: {answer.status_code} is not in the contract: {answer.text}"
    _check_headers(answer, resolved(expected))
    _check_body(answer, resolved(expected).get("content", {}), head=method == "head")


@cache
def _paths() -> list[tuple[re.Pattern[str], Any]]:
    patterns = {path: path.replace(".", r"\.") for path in document()["paths"]}
    return [
        (re.compile(re.sub(r"{\w+}", "[^/]+", pattern)), document()["paths"][path])
        for path, pattern in patterns.items()
    ]


def _check_nothing(answer: requests.Response, item: Any) -> None:
    """Check the answer to what is not in the contract: 404, or 405 with what is."""
    told = {401} if "/v1/" in answer.url or answer.url.endswith("/metrics") else set()
    assert answer.status_code in AT_THE_DOOR | told | {404 if item is None else 405}
    if answer.status_code == 405:
        known = {method.upper() for method in METHODS if method in item}
        known |= {"HEAD"} if "GET" in known else set()
        assert {*answer.headers["Allow"].split(", ")} == known
    if answer.request.method != "HEAD":
        assert faults({"$ref": "#/components/schemas/Problem"}, answer.json()) == []


def _check_headers(answer: requests.Response, expected: Any) -> None:
    for name, reference in expected["headers"].items():
        header = resolved(reference)
        value: Any = answer.headers.get(name)
        if value is None:
            assert not header.get("required"), f"{answer.status_code} without {name}"
            continue
        wanted = int(value) if header["schema"].get("type") == "integer" else value
        assert faults(header["schema"], wanted) == [], name


def _check_body(answer: requests.Response, content: Any, *, head: bool) -> None:
    if not content:
        assert answer.content == b""
        assert "Content-Type" not in answer.headers
        return
    found = answer.headers["Content-Type"]
    assert found in content
    if head:
        assert answer.content == b""
    elif "schema" in content[found]:
        assert faults(content[found]["schema"], answer.json()) == []
