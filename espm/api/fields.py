"""Parameters of requests and header fields of both sides, as the contract describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.api.kinds import BY_SLUG
from espm.api.paging import LISTED, MOST, USUAL
from espm.api.schema import TEXT, ref

if TYPE_CHECKING:
    from espm.model import Json


def _query(description: str, schema: Json) -> Json:
    return {"in": "query", "description": description, "schema": schema}


def _path(description: str, schema: Json) -> Json:
    return {"in": "path", "required": True, "description": description, "schema": schema}


def _header(description: str, schema: Json = TEXT) -> Json:
    return {"in": "header", "description": description, "schema": schema}


_PARAMETERS: dict[str, Json] = {
    "certname": _path("The node's name.", ref("Certname")),
    "ident": _path("The job's name.", {"type": "string", "pattern": "^[0-9a-f]{32}$"}),
    "slug": _path("The end of a problem's type.", {"enum": sorted(BY_SLUG)}),
    "environment": _query(
        "Without it the one that a node without groups gets.", ref("EnvironmentName")
    ),
    "state": _query("Only nodes in this state.", {"enum": [str(state) for state in LISTED]}),
    "limit": _query(
        "How many nodes a page has.",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL},
    ),
    "after": _query("The last name of the page before.", ref("Certname")),
    "X-Request-Id": _header(
        "An id of the caller's, [A-Za-z0-9._-]{1,64}; others are replaced.", TEXT
    ),
    "If-Match": _header(
        "Do it only if one of these entity tags is the node's, or it is *.",
        {
            "anyOf": [
                {"const": "*"},
                {
                    "type": "string",
                    "pattern": '^"[!#-~]*"( *, *"[!#-~]*")*$',
                    "examples": ['"1.2"'],
                },
            ]
        },
    ),
    "If-None-Match": _header("Answer 304 if one of these entity tags is the present one."),
    "Prefer": _header(
        "wait=N waits at most N seconds for the end, respond-async does not wait (RFC 7240).",
        TEXT | {"examples": ["respond-async"]},
    ),
    "Idempotency-Key": _header(
        "Do it once, however often it is sent within 24 hours.",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
    ),
    "Cache-Control": _header("no-cache has Puppet asked now.", TEXT | {"examples": ["no-cache"]}),
}

#: Parameters of requests by name.
PARAMETERS = {name: {"name": name, **content} for name, content in _PARAMETERS.items()}

_SECONDS = {"type": "integer", "minimum": 1}

#: Header fields of answers by name; none of them is required by itself.
HEADERS: dict[str, Json] = {
    "X-Request-Id": {
        "description": "The request's id, which is on every line of espm's log about it.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Cache-Control": {
        "description": "Whether the answer may be kept.",
        "schema": {"enum": ["no-store", "private, no-cache"]},
    },
    "ETag": {
        "description": "Of a node: generation and version; else a hash of the content.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f.]+"$'},
    },
    "Location": {
        "description": "The path of what was made.",
        "schema": {"type": "string", "pattern": "^/v1/"},
    },
    "Link": {
        "description": "The next page.",
        "schema": {"type": "string", "pattern": '^</v1/nodes[?].*>; rel="next"$'},
    },
    "Idempotency-Replayed": {
        "description": "It was not done again: the answer is that of the first time.",
        "schema": {"const": "true"},
    },
    "Retry-After": {"description": "Seconds to wait before a repeat.", "schema": _SECONDS},
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"const": 'Bearer realm="espm"'},
    },
}
