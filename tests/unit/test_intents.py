"""The durable intents: carried on each by itself, undone or left when a step fails."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from espm import intents
from espm.errors import BackendUnavailable
from espm.model import Intent, IntentKind

NODES = [SimpleNamespace(certname=f"n{number}.example.com") for number in range(3)]
NOW = datetime.now(UTC)
INTENTS = [Intent(str(number), 1, IntentKind.DELETE, NOW) for number in range(3)]


class _Ledger:
    """Notes what is left, unless it is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.left: list[tuple[str, str]] = []

    def leave(self, intent: Intent, reason: str, *, delay: float) -> None:
        """Note it."""
        assert 0 < delay <= intents.LONGEST
        if self.away:
            msg = "the ledger is away"
            raise BackendUnavailable(msg)
        self.left.append((intent.ident, reason))


def _ports(*, away: bool = False) -> Any:
    return SimpleNamespace(ledger=_Ledger(away=away))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackendUnavailable("the CA is away"), "the CA is away"),
        (ZeroDivisionError("secret"), "internal error; see the log of espm"),
    ],
)
def test_one_that_fails_does_not_stop_the_others(error: Exception, reason: str) -> None:
    """It is left with its reason, a bug's without its words, and the rest is carried on."""
    ports, done, errors = _ports(), [], list[Exception]()
    for intent in INTENTS:
        with intents.leaving(intent, errors, ports):
            if intent.ident == "1":
                raise error
            done.append(intent.ident)

    assert errors == [error]
    assert done == ["0", "2"]
    assert ports.ledger.left == [("1", reason)]


def test_each_attempt_waits_longer_up_to_a_minute() -> None:
    """The intervals double, half of each is left to chance, and they stay below the bound."""
    waits = [[intents.backoff(attempts) for _ in range(200)] for attempts in (0, 1, 3, 6, 9999)]

    for drawn, longest in zip(waits, (1, 2, 8, 60, 60), strict=True):
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert max(drawn) - min(drawn) > longest / 4


def test_a_step_that_fails_is_undone() -> None:
    """Nothing is left, and the error of the step is what is raised."""
    ports, undone = _ports(), []
    with (
        pytest.raises(BackendUnavailable, match="step"),
        intents.or_else(lambda: undone.append(1), INTENTS[0], ports),
    ):
        raise BackendUnavailable("step")  # noqa: EM101 -- a test

    assert (undone, ports.ledger.left) == ([1], [])


def test_what_cannot_be_undone_is_left() -> None:
    """With the reason of the step, not of the undoing; the first error is what is raised."""
    ports = _ports()
    with (
        pytest.raises(BackendUnavailable, match="step"),
        intents.or_else(lambda: 1 / 0, INTENTS[0], ports),
    ):
        raise BackendUnavailable("step")  # noqa: EM101 -- a test

    assert ports.ledger.left == [("0", "step")]


def test_without_the_ledger_the_error_is_still_the_steps(caplog: pytest.LogCaptureFixture) -> None:
    """That it could not be left is logged; its claim runs out by itself."""
    with (
        pytest.raises(BackendUnavailable, match="step"),
        intents.or_leave(INTENTS[0], _ports(away=True)),
    ):
        raise BackendUnavailable("step")  # noqa: EM101 -- a test

    assert "could not note that it was left: delete" in caplog.text


def test_what_goes_well_leaves_nothing() -> None:
    """Neither undone nor left."""
    ports, undone = _ports(), []
    with intents.or_else(lambda: undone.append(1), INTENTS[0], ports):
        pass
    with intents.or_leave(INTENTS[0], ports):
        pass

    assert (undone, ports.ledger.left) == ([], [])
