"""A node launched with a certificate, beside the three calls that the CA wants for it at least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.calls import rate
from tests.bench.figure import Figure, announce
from tests.bench.site import bare_launch, csr, launch, names, retire, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.calls import Caller
    from tests.bench.site import Site

TURNS = 9

#: By the number of clients: how many nodes each turn launches.  One client is slow, and its figure
#: steady; of several, some are done before the others at a turn's end.
EACH = {1: 24, 4: 96, 16: 96}


def figures() -> Iterator[Figure]:
    """Measure both ways to launch at each number of clients."""
    with site() as here:
        for _ in range(3):  # The JVM gets faster for some hundreds of certificates.
            _turn(here, own_key=False, clients=4, first=True)
        for own_key, reach in ((False, 0.85), (True, 0.9)):
            for clients in EACH:
                yield announce(_figure(here, own_key=own_key, clients=clients, reach=reach))


def _figure(here: Site, *, own_key: bool, clients: int, reach: float) -> Figure:
    turns = [
        _turn(here, own_key=own_key, clients=clients, first=bool(number % 2))
        for number in range(TURNS)
    ]
    key = "with the node's own CSR" if own_key else "with a certificate"
    return Figure(
        "launch",
        f"launch {key}, {clients} client{'s' * (clients > 1)}",
        "submit, sign and fetch at the CA",
        [ours for ours, _ in turns],
        [theirs for _, theirs in turns],
        unit="/s",
        reach=reach,
    )


def _turn(here: Site, *, own_key: bool, clients: int, first: bool) -> tuple[float, float]:
    """Return the rates of espm and of the bare calls, and leave no node.

    :param first: whether espm comes first, for the machine may be slower or faster in between.
    """
    number = EACH[clients]
    ours, theirs = names("ours", number), names("theirs", number)
    requests = {name: csr(name) for name in [*ours, *theirs]}

    def mine() -> float:
        return rate(here.espm, _launching(requests if own_key else {}), ours, clients)

    def bare() -> float:
        return rate(
            here.puppet, lambda c, name: bare_launch(c, name, requests[name]), theirs, clients
        )

    rates = (mine(), bare()) if first else (bare(), mine())[::-1]
    rate(here.espm, retire, ours, 16)
    return rates


def _launching(requests: dict[str, bytes]) -> Callable[[Caller, str], None]:
    return lambda caller, name: launch(caller, name, requests.get(name))
