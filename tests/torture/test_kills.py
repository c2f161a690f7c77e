"""Killed at any moment under load, espm keeps what it said and leaves nothing behind."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.fake_puppet import Away
from tests.torture.load import Load
from tests.torture.results import Result, say, share
from tests.torture.world import fake_world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.nursery import Nursery
    from tests.torture.world import World

pytestmark = [
    *(pytest.mark.slow, pytest.mark.timing, pytest.mark.torture),
    pytest.mark.timeout(3600),
]

#: Seconds within which espm looks again for what a CA did late, and puts it right.
LATE = 30

#: A world gets slower with every certificate that its CA ever revoked.
ROUNDS = 20


@pytest.mark.parametrize("world_number", range(share(20, 500) // ROUNDS))
def test_no_kill_under_load_leaves_anything(
    tmp_path: Path, nursery: Nursery, world_number: int
) -> None:
    """Several clients at work, a CA that is away now and then, SIGKILL, a new start."""
    with fake_world(tmp_path, nursery, puppet={"timeout": "2"}) as (world, puppet):
        load, faults = Load(world), []
        for _ in range(ROUNDS):
            with puppet.away(random.choice([*Away])) if random.random() < 0.2 else nullcontext():
                kill_under(load)
            faults += recovered(load)

    say(f"{ROUNDS} kills under load, {len(faults)} with faults")
    Result("killed at a random moment, under load", "fake CA", ROUNDS, len(faults)).keep()
    assert not faults
    assert {200, 201, 204} <= set(load.codes)


def kill_under(load: Load, seconds: float = 0.8) -> None:
    """Kill espm while *load* is on it."""
    world: World = load.world
    world.ensure()
    with load.running():
        time.sleep(random.uniform(0.05, seconds))
        world.kill()


def recovered(load: Load) -> list[str]:
    """Start espm again and return what is wrong then."""
    world: World = load.world
    world.ensure()
    settled = world.settle()
    return world.faults(*load.witnesses, patience=LATE) if settled else ["it did not settle"]
