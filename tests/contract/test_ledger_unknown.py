"""What is claimed by a commit whose answer was lost is nobody's to work on, and soon everybody's.

A database that breaks off while it commits may have done so.  Whoever called was told that
nothing happened, so nobody would carry on what stands in the ledger all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from espm.model import IntentKind, NodeState
from tests.contract.lives import active, begin, broken_off, reserve

if TYPE_CHECKING:
    from espm.ledger import SqlLedger


def test_a_node_that_may_be_reserved_is_carried_on(ledger: SqlLedger) -> None:
    """Its ADD is due at once, not when the lease of its claim is over."""
    with broken_off(ledger):
        reserve(ledger, "web.example.com")

    [(node, intent)] = ledger.claim_due()
    assert (node.certname, node.state) == ("web.example.com", NodeState.ADDING)
    assert (intent.kind, intent.attempts) == (IntentKind.ADD, 1)


@pytest.mark.parametrize("kind", [kind for kind in IntentKind if kind is not IntentKind.ADD])
def test_an_operation_that_may_have_begun_is_carried_on(
    ledger: SqlLedger, kind: IntentKind
) -> None:
    """It is due at once, and its node is not busy for the time of a lease."""
    node = active(ledger, "web.example.com")
    with broken_off(ledger):
        begin(ledger, node, kind)

    assert [intent.kind for _, intent in ledger.claim_due()] == [kind]


def test_claims_that_may_have_been_made_are_given_up(ledger: SqlLedger) -> None:
    """What is due or left can be claimed again, by whichever way it was claimed."""
    node = active(ledger, "web.example.com")
    ledger.leave(begin(ledger, node, IntentKind.REVOKE), "the CA is down")
    with broken_off(ledger):
        ledger.claim_due()
    with broken_off(ledger):
        ledger.claim_left(node)

    [(_, intent)] = ledger.claim_due()
    assert intent.kind is IntentKind.REVOKE


def test_what_was_rolled_back_is_not_there(ledger: SqlLedger) -> None:
    """Where nothing was committed nothing is carried on."""
    with broken_off(ledger, done=False):
        reserve(ledger, "web.example.com")

    assert not ledger.claim_due()
