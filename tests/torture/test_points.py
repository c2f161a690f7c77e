"""Killed wherever it touches the outside world, espm leaves nothing that nobody accounts for.

Against the double of Puppet's CA; a bounded run takes a sample, another one each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture.daemon import PORTS, methods
from tests.torture.results import Result
from tests.torture.scenarios import SCENARIOS
from tests.torture.torment import chosen, plan, suffer_all
from tests.torture.world import fake_world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.nursery import Nursery

pytestmark = [
    *(pytest.mark.slow, pytest.mark.timing, pytest.mark.torture),
    pytest.mark.timeout(3600),
]

#: How many ends a bounded run takes of each scenario, and how many deeds are done at once.
SAMPLE, SIDE_BY_SIDE = 6, 2

#: How many ends on ways back, and of starts after an end, a full run takes of each scenario; it has
#: hundreds of them.
WAYS = 150


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_sudden_end_leaves_anything(tmp_path: Path, nursery: Nursery, scenario: str) -> None:
    """Nothing valid, classified or half made is unaccounted for, and every 2xx is still true."""
    places = [tmp_path / str(number) for number in range(SIDE_BY_SIDE)]
    for place in places:
        place.mkdir()
    with fake_world(places[0], nursery) as (one, _), fake_world(places[1], nursery) as (two, _):
        torments = chosen(one, scenario, SAMPLE, WAYS)
        tally = suffer_all([one, two], torments)

    Result("killed at a point", "fake CA", tally.tried, len(tally.faults)).keep()
    assert not tally.faults
    assert tally.tried >= len(torments) / 2, tally.missed


def test_the_points_are_those_of_the_ports(tmp_path: Path, nursery: Nursery) -> None:
    """The scenarios pass every method of the ports that changes something outside."""
    reading = {"nodes", "page", "node", "was_deleted", "certificate", "certificates", "ping"}
    reading |= {"groups", "resolve", "knows", "classes", "version", "all_certificates", "watched"}
    reading |= {"backlog", "is_closed", "job", "open_intent", "replay", "can_clean", "can_heal"}
    reading |= {"certificate_count", "platforms_of", "orphans", "has_successor", "revoked"}
    # What comes only when something fails, or when many certificates are revoked at once.
    reading |= {"condemn", "leave", "claim_left", "adopt", "decline", "disown"}
    reading |= {"mark_all", "clean_all", "heal"}
    with fake_world(tmp_path, nursery) as (world, _):
        passed = {
            torment.kill.split()[0] for name in SCENARIOS for torment in plan(world, name, ways=0)
        }

    changing = {f"{port}.{name}" for port in PORTS for name in methods(port) if name not in reading}
    assert changing <= passed
