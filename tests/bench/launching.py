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

TURNS, EACH = 9, 48
CLIENTS = (1, 4, 16)


def figures() -> Iterator[Figure]:
    """Measure both ways to launch at each number of clients."""
    with site() as here:
        for _ in range(3):  # The JVM gets faster for some hundreds of certificates.
            _turn(here, own_key=False, clients=4)
        for own_key, reach in ((False, 0.85), (True, 0.9)):
            for clients in CLIENTS:
                yield announce(_figure(here, own_key=own_key, clients=clients, reach=reach))


def _figure(here: Site, *, own_key: bool, clients: int, reach: float) -> Figure:
    turns = [_turn(here, own_key=own_key, clients=clients) for _ in range(TURNS)]
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


def _turn(here: Site, *, own_key: bool, clients: int) -> tuple[float, float]:
    """Return the rates of espm and of the bare calls, and leave no node."""
    # One client is slow, and its figure steady.
    number = EACH if clients > 1 else EACH // 2
    ours, theirs = names("ours", number), names("theirs", number)
    requests = {name: csr(name) for name in [*ours, *theirs]}
    mine = rate(here.espm, _launching(requests if own_key else {}), ours, clients)
    bare = rate(here.puppet, lambda c, name: bare_launch(c, name, requests[name]), theirs, clients)
    rate(here.espm, retire, ours, 16)
    return mine, bare


def _launching(requests: dict[str, bytes]) -> Callable[[Caller, str], None]:
    return lambda caller, name: launch(caller, name, requests.get(name))
