"""Many nodes retired, each seen in the CRL, beside the CA's calls for one name at a time."""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tests.bench import crl
from tests.bench.calls import rate
from tests.bench.figure import Figure, announce
from tests.bench.site import API, JSON, bare_launch, csr, launch, names, retire, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.calls import Caller
    from tests.bench.site import Site

YARDSTICK = "certificate_status, a name after the other"

NODES, CLIENTS = 300, 16

#: How many nodes go either way before it counts, for the JVM.
WARM_UP = 50

#: By the entries of the CRL: how many times faster, how many turns, and how many names the
#: yardstick gets in each, for at a long CRL it takes more than a second for one.
SIZES: dict[int, tuple[float | None, int, int]] = {0: (5.0, 3, 60), 50_000: (25.0, 2, 12)}

#: Sizes for the picture, and how many nodes each gets.
CURVE, FEW = (0, 2_000, 10_000, 25_000, 50_000, 100_000), 100


def figures() -> Iterator[Figure]:
    """Measure at an empty and at a long CRL, both ways to ask, then the other scope."""
    for entries in SIZES:
        for way in WAYS:
            with _fresh() as here:
                yield announce(_figure(here, "full", way, entries))
    with _fresh("--ca-scope", "prefix") as here:
        for entries in SIZES:
            yield announce(_figure(here, "prefix", "waiting", entries))


@contextmanager
def _fresh(*options: str) -> Iterator[Site]:
    """Start a site of its own, warmed up a little.

    What the CA has revoked stays in its CRL, and makes the yardstick slow: in a site that was
    used before, an empty CRL is none.
    """
    with site(*options) as here:
        turn(here, WARM_UP, WARM_UP)
        yield here


def _figure(here: Site, scope: str, way: str, entries: int) -> Figure:
    reach, turns, few = SIZES[entries]
    if way == "waiting" and reach and reach > CLIENTS:
        # Each has one node in a batch: sixteen of them are never more than sixteen times as fast.
        reach = None
    if scope == "prefix":
        reach, turns = None, 1
    number = NODES if scope == "full" or not entries else 12
    pairs = []
    for _ in range(turns):
        crl.grow(here.lab, entries)
        pairs.append(turn(here, number, few, WAYS[way]))
    return Figure(
        "retire",
        f"retire {number} nodes, {CLIENTS} clients {way}, CRL of {entries:,} entries, "
        f"`ca_scope = {scope}`",
        YARDSTICK,
        [ours for ours, _ in pairs],
        [theirs for _, theirs in pairs],
        unit="/s",
        reach=reach,
    )


def waiting(here: Site, certnames: list[str]) -> float:
    """Return the rate at which nodes go when each call waits until its node is gone."""
    return rate(here.espm, retire, certnames, CLIENTS)


def asking(here: Site, certnames: list[str]) -> float:
    """Return the rate at which nodes go when no call waits, until none is being deleted."""
    jobs: list[str] = []

    def ask(caller: Caller, certname: str) -> None:
        headers = {"Prefer": "respond-async"}
        caller.call("DELETE", f"/v1/nodes/{certname}", expect=202, headers=headers)
        jobs.append(caller.headers["Location"])

    begin = time.perf_counter()
    rate(here.espm, ask, certnames, CLIENTS)
    with closing(here.espm()) as caller:
        while _read(caller, "/v1/nodes?state=deleting&limit=1")["nodes"]:
            time.sleep(0.02)
        took = time.perf_counter() - begin
        ends = {_read(caller, job)["state"] for job in jobs}
    if ends != {"done"}:
        message = f"jobs that are not done: {ends}"
        raise RuntimeError(message)
    return len(certnames) / took


def _read(caller: Caller, path: str) -> Any:
    return json.loads(caller.call("GET", path, expect=200))


#: Whether a client waits for its node's end before it sends the next away.
WAYS = {"waiting": waiting, "asking": asking}


def turn(
    here: Site, number: int, few: int, way: Callable[[Site, list[str]], float] = waiting
) -> tuple[float, float]:
    """Return the rates of espm and of the calls one by one."""
    ours, theirs = names("retired", number), names("ended", few)
    rate(here.espm, launch, ours, 8)
    rate(here.puppet, lambda caller, name: bare_launch(caller, name, csr(name)), theirs, 4)
    return way(here, ours), rate(here.puppet, end, theirs, 1)


def end(caller: Caller, certname: str) -> None:
    """Revoke a certificate and free its name by ``certificate_status``."""
    path, wish = f"{API}/certificate_status/{certname}", '{"desired_state": "revoked"}'
    caller.call("PUT", path, wish, expect=204, headers=JSON)
    caller.call("DELETE", path, expect=204)


def curve() -> dict[str, list[float]]:
    """Return, by size of the CRL, the milliseconds that a node costs each way."""
    names = {"waiting": f"espm, {CLIENTS} clients waiting", "asking": f"espm, {CLIENTS} asking"}
    found: dict[str, list[float]] = {"entries": [], "one by one": []}
    found |= {name: [] for name in names.values()}
    with site() as here:
        for entries in CURVE:
            crl.grow(here.lab, entries)
            bare = []
            for way, name in names.items():
                mine, theirs = turn(here, FEW, 4, WAYS[way])
                found[name].append(1000 / mine)
                bare.append(1000 / theirs)
            found["entries"].append(entries)
            found["one by one"].append(sum(bare) / len(bare))
    return found
