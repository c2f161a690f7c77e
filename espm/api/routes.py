"""The whole HTTP surface as one list, and how a path finds its row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from espm.api import openapi, paging
from espm.api import operations as op
from espm.api.faults import MethodRefused, PathUnknown
from espm.api.handlers import Handlers
from espm.api.message import Answer, entity_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.api.message import Request
    from espm.api.operation import Operation


class Waits(Enum):
    """Whether answering a request may wait for Puppet.

    ``NEVER``; ``MUST``, and is refused when too many do; ``MAY``, and is answered before the end
    when too many do.
    """

    NEVER = "never"
    MUST = "must"
    MAY = "may"


@dataclass(frozen=True, slots=True)
class Route:
    """One request of the API.

    :ivar path: with ``{name}`` for a segment that varies.
    :ivar operation: what the contract says of it.
    :ivar open: whether anybody may call it.
    :ivar keyed: whether an ``Idempotency-Key`` counts.
    :ivar query: the parameters that its query may have.
    """

    method: str
    path: str
    handler: Callable[[Handlers, Request], Answer]
    operation: Operation
    open: bool = False
    waits: Waits = Waits.NEVER
    keyed: bool = False
    query: tuple[str, ...] = ()


@cache
def contract() -> bytes:
    """Return the OpenAPI document that describes :data:`ROUTES`."""
    return openapi.document(ROUTES)


def _contract(_: Handlers, __: Request) -> Answer:
    """GET /v1/openapi.json."""
    return Answer(body=contract(), headers={"ETag": entity_tag(contract())})


_NODE = "/v1/nodes/{certname}"
_CERTIFICATE = f"{_NODE}/certificate"
_MUST, _MAY = Waits.MUST, Waits.MAY

ROUTES = (
    Route("GET", "/v1/whoami", Handlers.whoami, op.WHOAMI),
    Route("GET", "/v1/groups", Handlers.groups, op.GROUPS),
    Route("GET", "/v1/classes", Handlers.classes, op.CLASSES, waits=_MUST, query=("environment",)),
    Route("GET", "/v1/nodes", Handlers.list_nodes, op.LIST_NODES, query=paging.QUERY),
    Route("POST", "/v1/nodes", Handlers.add_node, op.ADD_NODE, waits=_MUST, keyed=True),
    Route("GET", _NODE, Handlers.get_node, op.GET_NODE),
    Route("PUT", _NODE, Handlers.put_node, op.PUT_NODE, waits=_MUST),
    Route("DELETE", _NODE, Handlers.delete_node, op.DELETE_NODE, waits=_MAY),
    Route("GET", _CERTIFICATE, Handlers.get_certificate, op.GET_CERTIFICATE),
    Route("POST", _CERTIFICATE, Handlers.issue, op.ISSUE, waits=_MUST, keyed=True),
    Route("DELETE", _CERTIFICATE, Handlers.revoke, op.REVOKE, waits=_MAY),
    Route("GET", "/v1/jobs/{ident}", Handlers.get_job, op.GET_JOB),
    Route("GET", "/v1/ca", Handlers.ca, op.CA, waits=_MUST),
    Route("GET", "/v1/crl", Handlers.crl, op.CRL, waits=_MUST),
    Route("GET", "/v1/openapi.json", _contract, op.OPENAPI),
    Route("GET", "/healthz", Handlers.healthz, op.HEALTHZ, open=True),
    Route("GET", "/readyz", Handlers.readyz, op.READYZ, open=True),
    Route("GET", "/metrics", Handlers.metrics, op.METRICS),
    Route("GET", "/problems/{slug}", Handlers.problem, op.PROBLEM, open=True),
)

_BY_PATH = {
    path: {route.method: route for route in ROUTES if route.path == path}
    for path in dict.fromkeys(route.path for route in ROUTES)
}
_FIXED = {path: routes for path, routes in _BY_PATH.items() if "{" not in path}
_VARYING = [
    (re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))), routes)
    for path, routes in _BY_PATH.items()
    if path not in _FIXED
]


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a request and the parts of its path that vary.

    HEAD finds what GET finds; the server leaves out the body.

    :raises espm.api.faults.PathUnknown: no route has that path.
    :raises espm.api.faults.MethodRefused: some has, but not for that method.
    """
    wanted = "GET" if method == "HEAD" else method
    routes, parts = _at(path)
    if wanted not in routes:
        raise MethodRefused(method, {*routes} | ({"HEAD"} if "GET" in routes else set()))
    return routes[wanted], parts


def _at(path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
    """Return the routes of a path by method, and the parts of it that vary."""
    if path in _FIXED:
        return _FIXED[path], {}
    for pattern, routes in _VARYING:
        if match := pattern.fullmatch(path):
            return routes, match.groupdict()
    msg = "there is nothing at this path"
    raise PathUnknown(msg)
