"""Puppet's CA is away, in each way there is: what was accepted is done when it is back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fake_puppet import Away
from tests.torture.load import Load
from tests.torture.results import Result, say, share
from tests.torture.test_kills import LATE
from tests.torture.world import fake_world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.nursery import Nursery

pytestmark = [
    *(pytest.mark.slow, pytest.mark.timing, pytest.mark.torture),
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("how", Away)
def test_what_was_accepted_is_done_when_the_ca_is_back(
    tmp_path: Path, nursery: Nursery, how: Away
) -> None:
    """Additions are refused and leave nothing, deletions are accepted; all without a restart."""
    rounds = share(1, 20)
    with fake_world(tmp_path, nursery, puppet={"timeout": "2"}) as (world, puppet):
        world.ensure()
        load, faults = Load(world), []
        for _ in range(rounds):
            leaving, arriving = world.witness(), world.witness()
            assert leaving.add({}) == 201
            with load.running():
                time.sleep(0.3)
                with puppet.away(how):
                    refused = arriving.client.add(arriving.name, certificate={})
                    accepted = leaving.delete(wait=0)
                    withheld = (world.home.enc / f"{leaving.name}.json").read_text()
                    time.sleep(1)
                time.sleep(0.3)
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            assert accepted == 202
            assert '"withheld"' in withheld.partition("\n")[0]
            faults += [] if world.settle() else ["it did not settle"]
            faults += world.faults(leaving, arriving, *load.witnesses, patience=LATE)
            say(f"the CA {how}: {len(faults)} faults")

    Result(f"the CA {how}", "fake CA", rounds, len(faults)).keep()
    assert not faults
