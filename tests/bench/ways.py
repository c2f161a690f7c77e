"""The other ways to the CA, beside its own calls: what they cost, without a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import launching, retiring
from tests.bench.figure import Figure, announce
from tests.bench.site import site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.site import Site


@dataclass(frozen=True)
class Way:
    """A way to the CA.

    :ivar options: of ``espm_setup``.
    :ivar turns: how many; of the command few, for it starts a Ruby for each launch.
    :ivar each: by the number of clients: how many nodes are launched in each turn.
    :ivar retired: how many nodes are retired, by as many clients; 0 where another group does it.
    """

    name: str
    options: tuple[str, ...]
    turns: int
    each: Mapping[int, int]
    ca: str = "http_api"
    retired: int = 0


WAYS = (
    Way("`ca_scope = prefix`", ("--ca-scope", "prefix"), 9, launching.EACH),
    Way("`puppetserver_ca`", (), 3, {1: 4, 4: 8, 16: 16}, "puppetserver_ca", retired=16),
)


def figures() -> Iterator[Figure]:
    """Measure each way in a site of its own."""
    for way in WAYS:
        with site(*way.options, ca=way.ca) as here:
            for _ in range(4):  # For the JVM; the other clients' calls are the same.
                launching.turn(here, clients=4, number=way.each[4])
            yield from map(announce, _launches(here, way))
            if way.retired:
                yield announce(_retirements(here, way))


def _launches(here: Site, way: Way) -> Iterator[Figure]:
    for clients, number in way.each.items():
        turns = [
            launching.turn(here, clients=clients, number=number, first=bool(count % 2))
            for count in range(way.turns)
        ]
        work = launching.work("with a certificate", clients)
        yield _figure(work, launching.YARDSTICK, way, turns)


def _retirements(here: Site, way: Way) -> Figure:
    work = f"retire {way.retired} nodes, {way.retired} clients waiting, CRL of 0 entries"
    turns = [retiring.turn(here, way.retired, way.retired)]
    return _figure(work, retiring.YARDSTICK, way, turns)


def _figure(work: str, yardstick: str, way: Way, turns: list[tuple[float, float]]) -> Figure:
    ours, theirs = map(list, zip(*turns, strict=True))
    return Figure("ways", f"{work}, {way.name}", yardstick, ours, theirs, unit="/s")
