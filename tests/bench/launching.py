"""A node launched with a certificate, beside the three calls that the CA wants for it at least."""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING

from tests.bench.calls import rate
from tests.bench.figure import Figure, announce
from tests.bench.site import bare_launch, csr, launch, names, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.calls import Caller
    from tests.bench.site import Site

YARDSTICK = "submit, sign and fetch at the CA"

#: Short turns and many of each way, one after the other: the machine is faster and slower by turns
#: of its own, and Puppet Server gets faster for thousands of certificates.
TURNS = 61

#: By the number of clients: how many nodes each turn launches.
EACH = {1: 24, 4: 32, 16: 64}

#: By whether the key is the node's own: what is to be reached.
REACH = {False: 0.85, True: 0.9}


def figures() -> Iterator[Figure]:
    """Measure both ways to launch at each number of clients."""
    ways = [*product(REACH, EACH)]
    turns: dict[tuple[bool, int], list[tuple[float, float]]] = {way: [] for way in ways}
    with site() as here:
        for _ in range(10):  # The JVM gets much faster for some hundreds of certificates.
            turn(here, clients=4, number=EACH[4])
        for number in range(TURNS):
            for own_key, clients in ways:
                many, first = EACH[clients], bool(number % 2)
                found = turn(here, clients=clients, number=many, own_key=own_key, first=first)
                turns[own_key, clients].append(found)
            if number % 10 == 0:
                sys.stderr.write(f"launch: turn {number + 1} of {TURNS}\n")
    for (own_key, clients), each in turns.items():
        yield announce(_figure(each, own_key=own_key, clients=clients))


def work(key: str, clients: int) -> str:
    """Return what is done: launches with a certificate of a *key* by so many clients."""
    return f"launch {key}, {clients} client{'s' * (clients > 1)}"


def _figure(turns: Sequence[tuple[float, float]], *, own_key: bool, clients: int) -> Figure:
    key = "with the node's own CSR" if own_key else "with a certificate"
    return Figure(
        "launch",
        work(key, clients),
        YARDSTICK,
        [ours for ours, _ in turns],
        [theirs for _, theirs in turns],
        unit="/s",
        reach=REACH[own_key],
    )


def turn(
    here: Site, *, clients: int, number: int, own_key: bool = False, first: bool = True
) -> tuple[float, float]:
    """Return the rates of espm and of the bare calls, for as many nodes as *number* says.

    The nodes stay: who launches many does not retire them meanwhile, and a file system may take
    longer for new files while many were removed.

    :param first: whether espm comes first.
    """
    ours, theirs = names("ours", number), names("theirs", number)
    requests = {name: csr(name) for name in [*ours, *theirs]}

    def mine() -> float:
        return rate(here.espm, _launching(requests if own_key else {}), ours, clients)

    def bare() -> float:
        return rate(
            here.puppet, lambda c, name: bare_launch(c, name, requests[name]), theirs, clients
        )

    return (mine(), bare()) if first else (bare(), mine())[::-1]


def _launching(requests: dict[str, bytes]) -> Callable[[Caller, str], None]:
    return lambda caller, name: launch(caller, name, requests.get(name))
