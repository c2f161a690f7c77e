"""Many nodes retired, each seen in the CRL, beside the CA's calls for one name at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import crl
from tests.bench.calls import rate
from tests.bench.figure import Figure, announce
from tests.bench.site import API, JSON, bare_launch, csr, launch, names, retire, site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.calls import Caller
    from tests.bench.site import Site

NODES, CLIENTS = 300, 16

#: By the entries of the CRL: how many times faster, how many turns, and how many names the
#: yardstick gets in each, for at a long CRL it takes more than a second for one.
SIZES = {0: (5.0, 3, 60), 50_000: (25.0, 2, 12)}

#: Sizes for the picture, and how many nodes each gets.
CURVE, FEW = (0, 2_000, 10_000, 25_000, 50_000, 100_000), 60


def figures() -> Iterator[Figure]:
    """Measure at an empty and at a long CRL, then the other scope."""
    with site() as here:
        for entries, (reach, turns, few) in SIZES.items():
            yield announce(_figure(here, "full", entries, turns, few, reach))
    with site("--ca-scope", "prefix") as here:
        for entries, (_, _, few) in SIZES.items():
            yield announce(_figure(here, "prefix", entries, 1, few, None))


def _figure(
    here: Site, scope: str, entries: int, turns: int, few: int, reach: float | None
) -> Figure:
    number = NODES if scope == "full" or not entries else 12
    pairs = []
    for _ in range(turns):
        crl.grow(here.lab, entries)
        pairs.append(turn(here, number, few))
    return Figure(
        "retire",
        f"retire {number} nodes, {CLIENTS} clients, CRL of {entries:,} entries, "
        f"`ca_scope = {scope}`",
        "certificate_status, a name after the other",
        [ours for ours, _ in pairs],
        [theirs for _, theirs in pairs],
        unit="/s",
        reach=reach,
    )


def turn(here: Site, number: int, few: int) -> tuple[float, float]:
    """Return the rates of espm and of the calls one by one."""
    ours, theirs = names("retired", number), names("ended", few)
    rate(here.espm, launch, ours, 8)
    rate(here.puppet, lambda caller, name: bare_launch(caller, name, csr(name)), theirs, 4)
    mine = rate(here.espm, retire, ours, CLIENTS)
    return mine, rate(here.puppet, end, theirs, 1)


def end(caller: Caller, certname: str) -> None:
    """Revoke a certificate and free its name by ``certificate_status``."""
    path, wish = f"{API}/certificate_status/{certname}", '{"desired_state": "revoked"}'
    caller.call("PUT", path, wish, expect=204, headers=JSON)
    caller.call("DELETE", path, expect=204)


def curve() -> dict[str, list[float]]:
    """Return, by size of the CRL, the milliseconds that a node costs either way."""
    found: dict[str, list[float]] = {"entries": [], "espm": [], "one by one": []}
    with site() as here:
        for entries in CURVE:
            crl.grow(here.lab, entries)
            mine, bare = turn(here, FEW, 4)
            found["entries"].append(entries)
            found["espm"].append(1000 / mine)
            found["one by one"].append(1000 / bare)
    return found
