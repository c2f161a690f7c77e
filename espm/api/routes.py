"""The whole HTTP surface as one list, and how a path finds its row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from espm.api import paging
from espm.api.faults import MethodRefused, PathUnknown
from espm.api.handlers import Handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.api.message import Answer, Request


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
    :ivar open: whether anybody may call it.
    :ivar keyed: whether an ``Idempotency-Key`` counts.
    :ivar query: the parameters that its query may have.
    """

    method: str
    path: str
    handler: Callable[[Handlers, Request], Answer]
    open: bool = False
    waits: Waits = Waits.NEVER
    keyed: bool = False
    query: tuple[str, ...] = ()


ROUTES = (
    Route("GET", "/v1/whoami", Handlers.whoami),
    Route("GET", "/v1/groups", Handlers.groups),
    Route("GET", "/v1/classes", Handlers.classes, waits=Waits.MUST, query=("environment",)),
    Route("GET", "/v1/nodes", Handlers.list_nodes, query=paging.QUERY),
    Route("POST", "/v1/nodes", Handlers.add_node, waits=Waits.MUST, keyed=True),
    Route("GET", "/v1/nodes/{certname}", Handlers.get_node),
    Route("PUT", "/v1/nodes/{certname}", Handlers.put_node, waits=Waits.MUST),
    Route("DELETE", "/v1/nodes/{certname}", Handlers.delete_node, waits=Waits.MAY),
    Route("GET", "/v1/nodes/{certname}/certificate", Handlers.get_certificate),
    Route("POST", "/v1/nodes/{certname}/certificate", Handlers.issue, waits=Waits.MUST, keyed=True),
    Route("DELETE", "/v1/nodes/{certname}/certificate", Handlers.revoke, waits=Waits.MAY),
    Route("GET", "/v1/jobs/{ident}", Handlers.get_job),
    Route("GET", "/v1/ca", Handlers.ca, waits=Waits.MUST),
    Route("GET", "/v1/crl", Handlers.crl, waits=Waits.MUST),
    Route("GET", "/healthz", Handlers.healthz, open=True),
    Route("GET", "/readyz", Handlers.readyz, open=True),
    Route("GET", "/problems/{slug}", Handlers.problem, open=True),
)

_PATTERNS = {
    path: re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
    for path in {route.path for route in ROUTES}
}


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a request and the parts of its path that vary.

    HEAD finds what GET finds; the server leaves out the body.

    :raises espm.api.faults.PathUnknown: no route has that path.
    :raises espm.api.faults.MethodRefused: some has, but not for that method.
    """
    wanted = "GET" if method == "HEAD" else method
    for pattern_path, pattern in _PATTERNS.items():
        match = pattern.fullmatch(path)
        if match is None:
            continue
        routes = {route.method: route for route in ROUTES if route.path == pattern_path}
        if wanted not in routes:
            raise MethodRefused(method, {*routes} | ({"HEAD"} if "GET" in routes else set()))
        return routes[wanted], match.groupdict()
    msg = "there is nothing at this path"
    raise PathUnknown(msg)
