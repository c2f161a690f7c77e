"""The same sudden ends with the real CA: a private Puppet Server, its files and its CRL."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.torture.holdings import LiveHoldings
from tests.torture.live_world import live_world
from tests.torture.load import Load
from tests.torture.results import Result, say, share
from tests.torture.scenarios import SCENARIOS
from tests.torture.test_kills import LATE, kill_under, recovered
from tests.torture.torment import chosen, suffer_all
from tests.torture.witness import Witness, codes, new_csr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab
    from tests.torture.world import World

pytestmark = [pytest.mark.live, pytest.mark.torture, pytest.mark.timeout(7200)]

#: How many scenarios a bounded run takes, and how many ends of each.
SCENES, SAMPLE = 3, 4

#: How many ends on ways back, and of starts after an end, a full run takes of each scenario; each
#: takes seconds here.
WAYS = 40


@pytest.fixture(scope="module", params=["full", *share((), ("prefix",))])
def world(lab: Lab, request: pytest.FixtureRequest) -> Iterator[World]:
    """An espm beside a real Puppet Server, set up in either way."""
    with live_world(lab, request.param) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS if share(0, 1) else ["a few, at random"])
def test_no_sudden_end_leaves_anything(world: World, scenario: str) -> None:
    """What the CA's files and its CRL say agrees with the ledger and the ENC, wherever it ended."""
    scenarios = [scenario] if scenario in SCENARIOS else random.sample([*SCENARIOS], SCENES)
    for name in scenarios:
        torments = chosen(world, name, SAMPLE, WAYS)
        tally = suffer_all([world], torments)

        faults = len(tally.faults)
        Result("killed at a point", "Puppet Server", tally.tried, faults).keep()
        assert not tally.faults
        assert tally.tried >= len(torments) / 2, tally.missed


def test_no_kill_under_load_leaves_anything(world: World) -> None:
    """Several clients at work, SIGKILL, a new start, again and again."""
    rounds, load = share(3, 50), Load(world)
    faults = []
    for _ in range(rounds):
        kill_under(load, 3)
        faults += recovered(load)

    fault = "killed at a random moment, under load"
    Result(fault, "Puppet Server", rounds, len(faults)).keep()
    assert not faults


def test_a_strangers_csr_at_the_moment_of_a_launch_gets_nothing_that_lasts(world: World) -> None:
    """Puppet Server may write it over espm's; then it is not signed, or revoked with proof."""
    world.ensure()
    first = world.witness()
    names = [first.name, *(world.witness().name for _ in range(share(60, 2000) - 1))]
    witnesses = [Witness(first.client, name) for name in names]
    with ThreadPoolExecutor(1) as pool:
        for witness in witnesses:
            stranger = pool.submit(_hand_in_soon, world, witness.name, new_csr(witness.name))
            assert witness.add({}) in {201, 409, 502, 503}
            stranger.result()
    faults = [] if world.settle() else ["it did not settle"]
    faults += world.faults(*witnesses, patience=LATE)

    Result("a stranger's CSR in flight", "Puppet Server", len(witnesses), len(faults)).keep()
    say(f"a stranger's CSR in flight: {codes(witnesses)}")
    assert not faults


def _hand_in_soon(world: World, name: str, csr: bytes) -> None:
    time.sleep(random.uniform(0, 0.006))
    world.holdings.hand_in(name, csr)


def _hang(lab: Lab, _: World) -> None:
    lab.suspend()
    time.sleep(random.uniform(1, 6))
    lab.resume()


def _restart(lab: Lab, world: World) -> None:
    lab.stop_hard()
    assert isinstance(world.holdings, LiveHoldings)
    world.holdings.note_unfinished()
    lab.start()


@pytest.mark.parametrize(
    ("how", "few", "many"),
    [("hangs", 2, 30), ("is killed and started", 1, 10)],
)
def test_what_was_accepted_is_done_when_the_ca_is_back(
    lab: Lab, world: World, how: str, few: int, many: int
) -> None:
    """Additions fail and leave nothing, deletions are accepted; espm is not restarted for it."""
    away = {"hangs": _hang, "is killed and started": _restart}[how]
    world.ensure()
    rounds, load, faults = share(few, many), Load(world), []
    for _ in range(rounds):
        leaving = world.witness()
        assert leaving.add({}) == 201
        with ThreadPoolExecutor(1) as pool, load.running():
            time.sleep(0.5)
            # Puppet Server ends with the thread that starts it (prctl(2), PR_SET_PDEATHSIG).
            answer = pool.submit(leaving.delete, wait=0)
            away(lab, world)
            accepted = answer.result()
            time.sleep(1)
        settled = world.settle()
        faults += [] if settled else ["it did not settle"]
        faults += world.faults(leaving, *load.witnesses, patience=LATE)
        say(f"the CA {how}: {len(faults)} faults")
        assert accepted in {202, 204}

    Result(f"the CA {how}", "Puppet Server", rounds, len(faults)).keep()
    assert not faults
