"""Puppet's classes from espm's memory, beside the server's own answer, with Debian's modules."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.bench.calls import Caller, puppet_context
from tests.bench.figure import Figure, announce
from tests.bench.site import site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.site import Site

TURNS, EACH, WARM_UP = 5, 60, 1
PATH = "/v1/classes?environment=production"


def figures() -> Iterator[Figure]:
    """Ask for the whole list, then whether it is still the same."""
    with site() as here:
        caller, server = here.espm(), _server(here)
        content = json.loads(caller.call("GET", PATH, expect=200))
        count, broken = len(content["classes"]), len(content["unparsable"])
        theirs = [_time(lambda: _environment_classes(server), 1) for _ in range(WARM_UP + TURNS)]
        what = f"GET /v1/classes, warm: {count:,} classes, {broken} files that do not parse"
        for work, act, best in _ways(caller, what):
            act()
            ours = [_time(act, EACH) for _ in range(TURNS)]
            figure = Figure(
                "classes", work, "the server's environment_classes, warm", ours,
                theirs[WARM_UP:], "ms", None, best,
            )  # fmt: skip
            yield announce(figure)
        caller.close()
        server.close()


def _ways(caller: Caller, what: str) -> Iterator[tuple[str, Callable[[], object], float]]:
    yield what, lambda: caller.call("GET", PATH, expect=200), 10.0
    tag = _etag(caller)
    same = {"If-None-Match": tag}
    yield f"{what}; 304", lambda: caller.call("GET", PATH, expect=304, headers=same), 3.0


def _etag(caller: Caller) -> str:
    caller.call("GET", PATH, expect=200)
    return caller.headers["ETag"]


def _server(here: Site) -> Caller:
    """Return a client with espm's certificate, which auth.conf lets ask for classes."""
    certs = here.stack.etc / "certs"
    context = puppet_context(here.lab.ca_file, certs / "puppet.pem", certs / "puppet.key")
    return Caller(here.lab.url, context, {})


def _environment_classes(server: Caller) -> None:
    server.call("GET", "/puppet/v3/environment_classes?environment=production", expect=200)


def _time(act: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        act()
    return 1000 * (time.perf_counter() - begin) / times
