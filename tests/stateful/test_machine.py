"""Whatever happens in any order, what was told stays true.

A failure shrinks to the few steps that matter.  ``make torture`` looks for longer, and elsewhere
each time.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Espm
from tests.stateful.world import World
from tests.torture.results import FULL, Result, share

pytestmark = pytest.mark.slow


def bounds() -> settings:
    """Return for how long, and where, it is tried."""
    return settings(
        max_examples=share(25, 1500),
        stateful_step_count=share(30, 50),
        derandomize=not FULL,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.torture
@pytest.mark.timeout(4 * 3600)
def test_what_was_told_stays_true_whatever_happens() -> None:
    """Nobody is told what is not so, and nothing is left over at the end."""
    World.made, lost = 0, 1
    try:
        run_state_machine_as_test(Espm, settings=bounds())
        lost = 0
    finally:
        Result("anything in any order, step by step", "fake CA", World.made, lost).keep()
