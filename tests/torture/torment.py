"""Every sudden end that a deed can meet: which there are, and what comes of one.

A deed is played without an end first, to list the points it passes.  Then it is played once for
each, with the end there.  So are its ways back, one for each step that fails, and what the next
start does, for an end may come there as well.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.torture.results import FULL, say, share
from tests.torture.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.torture.world import World

#: Calls that are also let fail, once their effect is there: espm does not know of it.
FAILING = (
    *("ca.submit", "ca.sign", "ca.revoke", "ca.crl", "ca.clean"),
    *("ca.certificate", "enc.rename", "enc.pwrite"),
)

#: The commits that are let fail after they were made: the first ones of a deed, and of its way on.
COMMITS = tuple(f"ledger.commit after {number}" for number in range(1, 9))

#: Calls after which espm is killed once more, at each point of the start that follows.
TWICE = (
    *("classifier.classify", "ca.submit", "ca.sign", "ca.revoke", "ca.clean"),
    *("classifier.withhold", "classifier.forget"),
)


@dataclass(frozen=True)
class Torment:
    """A deed and how it is interrupted.

    :ivar kill: the point at which espm ends.
    :ivar again: the point of the next start at which it ends once more.
    :ivar fail: the point at which a call fails.
    """

    scenario: str
    kill: str = ""
    again: str = ""
    fail: str = ""


@dataclass
class Outcome:
    """What came of a torment.

    :ivar passed: the points of the deed.
    :ivar recovery: the points of the start after it.
    :ivar faults: what was not as it must be.
    """

    passed: list[str] = field(default_factory=list)
    recovery: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def met(self, torment: Torment) -> bool:
        """Return whether every end and failure that was meant came."""
        deed = {torment.kill, torment.fail} - {""} <= set(self.passed)
        return deed and (not torment.again or torment.again in self.recovery)


def suffer(world: World, torment: Torment) -> Outcome:
    """Play a deed with its interruptions, start espm again, let it settle and take stock."""
    scenario, outcome = SCENARIOS[torment.scenario], Outcome()
    world.ensure()
    witness = world.witness()
    scenario.prepare(world, witness)
    world.order(torment.kill, torment.fail)
    scenario.act(world, witness)
    settled, outcome.passed = _settled(world, torment.kill)
    if not world.alive:
        settled, outcome.recovery = _come_back(world, torment.again)
    outcome.faults = [] if settled else ["it did not settle"]
    outcome.faults += scenario.after(witness)
    outcome.faults += world.faults(witness)
    status = witness.delete()
    settled = status in {202, 204, 404} and world.settle()
    outcome.faults += [] if settled else [f"DELETE answers {status}, and it does not settle"]
    outcome.faults += [f"after DELETE: {fault}" for fault in world.faults(witness)]
    return outcome


def _come_back(world: World, again: str) -> tuple[bool, list[str]]:
    """Start espm, which may end *again*; return whether all settled, and the points passed."""
    world.order(again)
    world.start()
    settled, recovery = _settled(world, again)
    if not world.alive:
        world.ensure()
        settled, _ = _settled(world, "")
    return settled, recovery


def _settled(world: World, kill: str) -> tuple[bool, list[str]]:
    """Return whether all settled, and the points passed.

    The end at *kill* has come by then, or does not come any more.
    """
    settled = world.settle()
    world.rest()
    world.control.withdraw()
    # Who has read the order before may be about to obey it.
    world.rest(0.04 if kill in ("", *world.control.passed()) else 0.4)
    passed = world.control.passed()
    if kill in passed:
        assert world.daemon.ended(20)
    return settled, passed


def plan(world: World, scenario: str, *, ways: int = 99) -> Iterator[Torment]:
    """Return every torment there is for a scenario, having played it without any end.

    :param ways: how many of its ways back, and of its second ends, are looked into.
    """
    plain = Torment(scenario)
    # What is not passed each time is what espm does of itself every now and then.
    again = {*_listed(world, plain).passed}
    passed = [point for point in _listed(world, plain).passed if point in again]
    yield from (replace(plain, kill=point) for point in passed)
    for point in _first(passed, FAILING, ways):
        failing = replace(plain, fail=point)
        behind = _listed(world, failing).passed
        if point in behind:
            behind = behind[behind.index(point) + 1 :]
            yield from (replace(failing, kill=each) for each in behind)
    for point in _first(passed, TWICE, ways):
        killed = replace(plain, kill=point)
        recovery = _listed(world, killed).recovery
        yield from (replace(killed, again=each) for each in recovery)


def chosen(world: World, scenario: str, few: int, ways: int) -> list[Torment]:
    """Return the torments that this run takes of a scenario.

    A full run takes each end while nothing else goes wrong, and *ways* at random of those on the
    ways back and of the starts after an end; another run takes *few*.
    """
    torments = list(plan(world, scenario, ways=share(1, 99)))
    if not FULL:
        return random.sample(torments, min(few, len(torments)))
    first = [torment for torment in torments if not torment.fail and not torment.again]
    others = [torment for torment in torments if torment.fail or torment.again]
    return first + random.sample(others, min(ways, len(others)))


def _listed(world: World, torment: Torment) -> Outcome:
    outcome = suffer(world, torment)
    assert not outcome.faults, (torment, outcome.faults)
    return outcome


def _first(points: Iterable[str], calls: Sequence[str], at_most: int) -> list[str]:
    """Return the point after the first of each of *calls*, and those after commits.

    :param at_most: how many; where there are more, these are taken at random.
    """
    wanted = {f"{call} after 1" for call in calls}
    found = [point for point in points if point in wanted or point in COMMITS]
    return random.sample(found, min(at_most, len(found)))


@dataclass
class Tally:
    """What came of many torments.

    :ivar tried: how many ends were met.
    :ivar missed: those that did not come: the point was not passed that time.
    :ivar faults: what was found, by torment.
    """

    tried: int = 0
    missed: list[Torment] = field(default_factory=list)
    faults: dict[Torment, list[str]] = field(default_factory=dict)

    def note(self, torment: Torment, outcome: Outcome) -> None:
        """Count one."""
        if outcome.faults:
            self.faults[torment] = outcome.faults
            say(f"{torment}: {outcome.faults}")
        if outcome.met(torment):
            self.tried += 1
        else:
            self.missed.append(torment)
        if not (self.tried + len(self.missed)) % 50:
            say(f"{torment.scenario}: {self.tried} sudden ends, {len(self.faults)} with faults")


def suffer_all(worlds: Sequence[World], torments: Iterable[Torment]) -> Tally:
    """Suffer each torment in one of *worlds*, which work side by side."""
    tally, free = Tally(), list(worlds)

    def one(torment: Torment) -> None:
        world = free.pop()
        outcome = suffer(world, torment)
        if not outcome.met(torment):  # What espm does of itself may have come in between.
            outcome = suffer(world, torment)
        tally.note(torment, outcome)
        free.append(world)

    with ThreadPoolExecutor(len(worlds)) as pool:
        list(pool.map(one, torments))
    return tally
