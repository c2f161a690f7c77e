"""The same sudden ends with the real CA: a private Puppet Server, its files and its CRL."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.torture.live_world import live_world
from tests.torture.load import Load
from tests.torture.results import Result, share
from tests.torture.scenarios import SCENARIOS
from tests.torture.test_kills import killed_under
from tests.torture.torment import plan, suffer_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab
    from tests.torture.world import World

pytestmark = [pytest.mark.live, pytest.mark.torture, pytest.mark.timeout(7200)]

#: How many scenarios a bounded run takes, and how many ends of each.
SCENES, SAMPLE = 3, 4


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """An espm beside a real Puppet Server."""
    with live_world(lab) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS if share(0, 1) else ["a few, at random"])
def test_no_sudden_end_leaves_anything(world: World, scenario: str) -> None:
    """What the CA's files and its CRL say agrees with the ledger and the ENC, wherever it ended."""
    scenarios = [scenario] if scenario in SCENARIOS else random.sample([*SCENARIOS], SCENES)
    for name in scenarios:
        torments = list(plan(world, name, ways=share(0, 99)))
        torments = random.sample(torments, min(share(SAMPLE, 9999), len(torments)))
        tally = suffer_all([world], torments)

        faults = len(tally.faults)
        Result("killed at a point", "Puppet Server", tally.tried, faults).keep()
        assert not tally.faults
        assert len(tally.missed) <= 1 + len(torments) / 10, tally.missed


def test_no_kill_under_load_leaves_anything(world: World) -> None:
    """Several clients at work, SIGKILL, a new start, again and again."""
    rounds, load = share(3, 50), Load(world)
    faults = [found for _ in range(rounds) if (found := killed_under(load, 3))]

    fault = "killed at a random moment, under load"
    Result(fault, "Puppet Server", rounds, len(faults)).keep()
    assert not faults
