"""PostgreSQL is restarted under load, without warning: espm goes on, and nothing is lost."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from espm.ledger import upgrade
from tests.conftest import absent
from tests.postgres import Postgres
from tests.torture.load import Load
from tests.torture.results import Result, say, share
from tests.torture.world import fake_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.torture.nursery import Nursery

pytestmark = [
    *(pytest.mark.postgresql, pytest.mark.slow, pytest.mark.torture),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that nobody else uses, for it is restarted."""
    if why := Postgres.missing():
        absent(why)
    with Postgres() as server:
        yield server


def test_a_restart_of_the_database_loses_nothing(
    tmp_path: Path, nursery: Nursery, postgres: Postgres
) -> None:
    """What was answered with 2xx holds, what was not is settled, and espm is never restarted."""
    rounds, url = share(4, 50), postgres.new_database()
    upgrade(url)
    with fake_world(tmp_path, nursery, ledger={"url": url}) as (world, _):
        world.ensure()
        load = Load(world)
        faults: list[str] = []
        for _ in range(rounds):
            with load.running():
                time.sleep(random.uniform(0.1, 0.6))
                postgres.restart()
                time.sleep(0.5)
            assert world.alive, world.daemon.text
            settled = world.settle()
            faults += world.faults(*load.witnesses) if settled else ["it did not settle"]
            say(f"PostgreSQL restarted: {len(faults)} faults")

    Result("PostgreSQL killed and started, under load", "fake CA", rounds, len(faults)).keep()
    assert not faults
    assert {201, 204, 503} <= set(load.codes)
