"""The contract as an OpenAPI 3.1 document, made of the routes that answer.

What is in it can't differ from what there is: paths, methods and query parameters are those that
requests are matched with, the kinds of problems those of their pages.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import espm
from espm import errors
from espm.api import faults
from espm.api.answer_schemas import ANSWER_SCHEMAS
from espm.api.fields import HEADERS, PARAMETERS
from espm.api.key_kinds import KEY_PROBLEMS
from espm.api.kinds import BY_SLUG, INTERNAL, PROBLEMS
from espm.api.request_schemas import REQUEST_SCHEMAS
from espm.api.schema import ref
from espm.server.framing import PROBLEMS as AT_THE_DOOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from espm.api.kind import Problem
    from espm.api.operation import Success
    from espm.api.routes import Route
    from espm.model import Json

_TAGS = {
    "nodes": "Nodes and what Puppet is told of them",
    "certificates": "A node's certificate",
    "jobs": "What goes on after its answer",
    "puppet": "What Puppet has",
    "platform": "Who calls",
    "espm": "The daemon itself; no key is needed but for this document and the metrics",
}

#: What can be asked next about what an answer shows, by the name of its schema.
_LINKS = {
    "AcceptedNode": (
        *("getNode", "changeNode", "deleteNode", "getCertificate", "issueCertificate"),
        "revokeCertificate",
    ),
    "Job": ("getJob",),
}


def document(routes: Iterable[Route]) -> bytes:
    """Return the document that describes *routes*, as JSON."""
    content = {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": "/"}],
        "security": [{"presharedKey": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": _paths(routes),
        "components": {
            "schemas": {**REQUEST_SCHEMAS, **ANSWER_SCHEMAS, **_problem_schemas()},
            "parameters": PARAMETERS,
            "headers": _header_components(),
            "responses": {kind.slug: _problems([kind]) for kind in BY_SLUG.values()},
            "securitySchemes": {
                "presharedKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The preshared key of the platform.",
                }
            },
        },
    }
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _header_components() -> dict[str, Json]:
    required = {name: content | {"required": True} for name, content in HEADERS.items()}
    return required | {f"{name}.optional": content for name, content in HEADERS.items()}


def _info() -> Json:
    return {
        "title": "espm",
        "version": espm.__version__,
        "summary": "The safe, narrow door between cloud platforms and Puppet",
        "description": "HEAD is taken wherever GET is. Other methods are 405, other paths 404; "
        "below /v1/ nobody learns which without a key.",
        "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    }


def _paths(routes: Iterable[Route]) -> Json:
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> Json:
    said = route.operation
    described: dict[str, Json] = {
        "operationId": said.ident,
        "tags": [said.tag],
        "summary": said.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _parameters(route)],
    }
    if said.body is not None:
        content = {"application/json": {"schema": ref(said.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if route.open:
        described["security"] = []
    return described | {"responses": dict(sorted(_responses(route)))}


def _parameters(route: Route) -> Iterator[str]:
    yield from re.findall(r"{(\w+)}", route.path)
    yield from route.query
    yield "X-Request-Id"
    yield from route.operation.headers
    if route.keyed:
        yield "Idempotency-Key"
    if _revalidates(route):
        yield "If-None-Match"


def _revalidates(route: Route) -> bool:
    ok = route.operation.answers.get(200)
    return route.method == "GET" and ok is not None and "ETag" in ok.headers


def _responses(route: Route) -> Iterator[tuple[str, Json]]:
    """Give each status that the route may answer with, and what it means."""
    answers = route.operation.answers
    problems: dict[int, list[Problem]] = {}
    for kind in dict.fromkeys(_kinds(route)):
        problems.setdefault(int(kind.status), []).append(kind)
    for status, success in answers.items():
        yield str(status), _merged(_success(success), problems.pop(status, []))
    if _revalidates(route):
        yield "304", {"description": "Still the same.", "headers": _headers(["ETag"])}
    for status, kinds in problems.items():
        alone = {"$ref": f"#/components/responses/{kinds[0].slug}"}
        yield str(status), alone if len(kinds) == 1 else _problems(kinds)


def _kinds(route: Route) -> Iterator[Problem]:
    """Give what may be wrong with a request for *route*, at the server's door or behind it."""
    yield from (BY_SLUG[s] for s in AT_THE_DOOR.values() if s != "method-not-implemented")
    yield INTERNAL
    yield PROBLEMS[errors.InvalidRequest]
    if not route.open:
        yield PROBLEMS[faults.AuthenticationNeeded]
        yield PROBLEMS[faults.TooManyFailures]
        yield PROBLEMS[errors.OutsideLimits]
    if "{" in route.path:
        yield PROBLEMS[faults.PathUnknown]
    if route.operation.body is not None:
        yield PROBLEMS[faults.NotJson]
        yield PROBLEMS[faults.MediaTypeRefused]
    if route.keyed:
        yield from KEY_PROBLEMS.values()
    yield from (PROBLEMS[error] for error in route.operation.errors)


def _success(success: Success) -> Json:
    response: dict[str, Json] = {
        "description": success.meaning,
        "headers": _headers(["X-Request-Id", "Cache-Control", *success.headers], success.maybe),
    }
    if success.media_type is not None:
        media = {} if success.schema is None else {"schema": ref(success.schema)}
        response["content"] = {success.media_type: media}
    if success.schema in _LINKS:
        response["links"] = {ident: _link(ident) for ident in _LINKS[success.schema]}
    return response


def _link(ident: str) -> Json:
    name, member = ("ident", "job") if ident == "getJob" else ("certname", "certname")
    return {"operationId": ident, "parameters": {name: f"$response.body#/{member}"}}


def _merged(response: Json, problems: Sequence[Problem]) -> Json:
    """Return a response that may have the body of a success or of one of *problems*."""
    if not problems:
        return response
    other = _problems(problems)
    content = {**response["content"], **other["content"]}
    return {**response, "headers": other["headers"], "content": content}


def _problems(kinds: Sequence[Problem]) -> Json:
    """Return the response that is one of *kinds*, which share a status."""
    named = [ref(_schema_name(kind)) for kind in kinds]
    schema = named[0] if len(named) == 1 else {"oneOf": named}
    status = kinds[0].status
    # The server's own answers at the door come before a request has an id.
    own = [] if status in AT_THE_DOOR else ["X-Request-Id", "Cache-Control"]
    may = ["X-Request-Id", "Cache-Control"] if status in AT_THE_DOOR else []
    if status == 401:
        own.append("WWW-Authenticate")
    may += [] if status not in {409, 429, 503} else ["Retry-After"]
    return {
        "description": "; ".join(kind.title for kind in kinds) + ".",
        "headers": _headers(own, may),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _headers(always: Iterable[str], maybe: Iterable[str] = ()) -> Json:
    named = {name: name for name in always} | {name: f"{name}.optional" for name in maybe}
    return {name: {"$ref": f"#/components/headers/{key}"} for name, key in named.items()}


def _problem_schemas() -> dict[str, Json]:
    return {
        _schema_name(kind): {
            "title": kind.title,
            "description": f"{kind.meaning} What to do: {kind.remedy}",
            "allOf": [ref("Problem")],
            "properties": {"type": {"const": kind.type}, "status": {"const": int(kind.status)}},
        }
        for kind in BY_SLUG.values()
    }


def _schema_name(kind: Problem) -> str:
    return "".join(map(str.capitalize, kind.slug.split("-"))) + "Problem"
