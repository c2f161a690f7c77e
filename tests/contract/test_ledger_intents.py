"""What every ledger must do with operations, told through its port alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from espm.errors import (
    CertnameTaken,
    NodeBusy,
    NodeUnknown,
    VersionMismatch,
)
from espm.model import (
    CertificateState,
    Classification,
    IntentKind,
    KeyMaker,
    NodeState,
)
from tests.contract.lives import KEY, PLAIN, WEB, active, begin, delete, race, reserve

if TYPE_CHECKING:
    from espm.ports import Ledger


@pytest.mark.parametrize("round_", range(20))
def test_of_two_reservations_one_wins(ledger: Ledger, round_: int) -> None:
    """Two POSTs of one name at once: exactly one gets it."""
    name = f"n{round_}"
    results = race(*[lambda who=who: reserve(ledger, name, who) for who in ("cloud", "other")])

    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, CertnameTaken) for result in results) == 1


@pytest.mark.parametrize("kind", [IntentKind.CHANGE, IntentKind.REVOKE, IntentKind.DELETE])
def test_of_many_operations_at_once_one_begins(ledger: Ledger, kind: IntentKind) -> None:
    """Eight threads begin the same operation: one may."""
    node = active(ledger)

    results = race(*[lambda: begin(ledger, node, kind)] * 8)

    assert sum(isinstance(result, NodeBusy) for result in results) == 7


@pytest.mark.parametrize("left", [False, True], ids=["claimed", "left"])
@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (IntentKind.CHANGE, IntentKind.CHANGE, False),
        (IntentKind.CHANGE, IntentKind.ISSUE, True),
        (IntentKind.CHANGE, IntentKind.REVOKE, True),
        (IntentKind.ISSUE, IntentKind.ISSUE, False),
        (IntentKind.ISSUE, IntentKind.REVOKE, False),
        (IntentKind.REVOKE, IntentKind.ISSUE, False),
        (IntentKind.REVOKE, IntentKind.CHANGE, True),
        (IntentKind.DELETE, IntentKind.CHANGE, False),
        (IntentKind.DELETE, IntentKind.ISSUE, False),
    ],
)
def test_operations_that_exclude_each_other(
    ledger: Ledger, first: IntentKind, second: IntentKind, *, fits: bool, left: bool
) -> None:
    """Changes exclude changes, certificates certificates, a deletion everything; also if left."""
    node = active(ledger)
    intent = begin(ledger, node, first)
    if left:
        ledger.leave(intent, "later")

    if fits:
        assert second is begin(ledger, node, second).kind
    else:
        with pytest.raises(NodeBusy):
            begin(ledger, node, second)


@pytest.mark.parametrize("kind", [IntentKind.CHANGE, IntentKind.ISSUE, IntentKind.DELETE])
def test_a_deletion_waits_for_claimed_operations(ledger: Ledger, kind: IntentKind) -> None:
    """Nobody is deleted under the hands of another thread."""
    node = active(ledger)
    begin(ledger, node, kind)

    with pytest.raises(NodeBusy):
        begin(ledger, node, IntentKind.DELETE)


@pytest.mark.parametrize("kind", [IntentKind.CHANGE, IntentKind.ISSUE, IntentKind.DELETE])
def test_a_deletion_supersedes_what_is_left(ledger: Ledger, kind: IntentKind) -> None:
    """What was left needs no carrying on when the node goes."""
    node = active(ledger)
    ledger.leave(begin(ledger, node, kind), "the CA is down")

    deletion = begin(ledger, node, IntentKind.DELETE)

    assert NodeState.DELETING is ledger.node("cloud", WEB).state
    ledger.leave(deletion, "the CA is still down")
    assert [deletion.ident] == [intent.ident for _, intent in ledger.claim_due()]


def test_a_node_that_stayed_in_adding_can_be_deleted(ledger: Ledger) -> None:
    """A left ADD does not block the name for ever."""
    node, intent = reserve(ledger)
    with pytest.raises(NodeBusy):
        begin(ledger, node, IntentKind.DELETE)
    ledger.leave(intent, "the CA is down")

    delete(ledger, node)

    assert ledger.was_deleted("cloud", WEB)


def test_an_operation_needs_the_node_as_it_was_read(ledger: Ledger) -> None:
    """Another version or the end of its life in between is a mismatch."""
    node = active(ledger)
    changed = ledger.change(begin(ledger, node, IntentKind.CHANGE), PLAIN, 2)

    with pytest.raises(VersionMismatch):
        begin(ledger, node, IntentKind.DELETE)
    delete(ledger, changed)
    reserve(ledger)
    with pytest.raises(VersionMismatch):
        begin(ledger, changed, IntentKind.DELETE)


def test_a_change_sets_classification_and_version(ledger: Ledger) -> None:
    """A change is seen as a whole when it is done, and its intent is closed."""
    node = active(ledger)
    wanted = Classification(environment="test", parameters={"a": 1})

    changed = ledger.change(begin(ledger, node, IntentKind.CHANGE), wanted, 3)

    assert changed == ledger.node("cloud", WEB)
    assert (wanted, 3, NodeState.ACTIVE) == (changed.classification, changed.version, changed.state)
    assert IntentKind.CHANGE is begin(ledger, changed, IntentKind.CHANGE).kind


def test_a_version_never_goes_back(ledger: Ledger) -> None:
    """A late writer cannot put an old version over a new one, and its claim stays."""
    intent = begin(ledger, active(ledger), IntentKind.CHANGE)

    with pytest.raises(VersionMismatch):
        ledger.change(intent, PLAIN, 1)
    assert ledger.change(intent, PLAIN, 2).version == 2


def test_a_failed_add_ends_as_undone(ledger: Ledger) -> None:
    """Adding, condemned, buried: each step may be repeated."""
    node, intent = reserve(ledger)
    for _ in range(2):
        assert NodeState.DELETING is ledger.condemn(intent).state
    for _ in range(2):
        ledger.bury(intent)

    with pytest.raises(NodeUnknown):
        ledger.node("cloud", WEB)
    assert list(ledger.claim_due()) == []
    assert reserve(ledger)[0].generation > node.generation


def test_only_a_dying_node_is_buried(ledger: Ledger) -> None:
    """A node whose catalogs are not withheld yet stays in the ledger."""
    _, intent = reserve(ledger)

    with pytest.raises(NodeBusy):
        ledger.bury(intent)
    assert NodeState.ACTIVE is ledger.activate(intent).state


def test_a_condemned_node_is_never_activated(ledger: Ledger) -> None:
    """The way back is not turned round, and the intent stays open."""
    _, intent = reserve(ledger)
    ledger.condemn(intent)

    with pytest.raises(NodeBusy):
        ledger.activate(intent)
    ledger.bury(intent)
    with pytest.raises(NodeUnknown):
        ledger.node("cloud", WEB)


def test_what_is_left_is_claimed_once_and_oldest_first(ledger: Ledger) -> None:
    """Recovery gets each intent with its node, its payload, its attempts and its last error."""
    for name in ("c", "a", "b"):
        node = active(ledger, name)
        intent = ledger.begin(node, IntentKind.CHANGE, {"to": name}, request_id="r")
        ledger.leave(intent, f"{name} failed \0 \udcff")

    found = list(ledger.claim_due())

    assert [node.certname for node, _ in found] == ["c", "a", "b"]
    assert [intent.payload for _, intent in found] == [{"to": "c"}, {"to": "a"}, {"to": "b"}]
    assert [intent.attempts for _, intent in found] == [1, 1, 1]
    assert found[0][1].last_error == "c failed \\x00 \\udcff"
    assert list(ledger.claim_due()) == []


def test_what_is_left_can_be_claimed_for_one_node_and_some_kinds(ledger: Ledger) -> None:
    """An operation settles what concerns it and nothing else."""
    one, two = active(ledger, "one"), active(ledger, "two")
    for node, kind in [(one, IntentKind.CHANGE), (one, IntentKind.ISSUE), (two, IntentKind.CHANGE)]:
        ledger.leave(begin(ledger, node, kind), "later")

    found = ledger.claim_left(one, [IntentKind.CHANGE, IntentKind.REVOKE])

    assert [(one.certname, IntentKind.CHANGE)] == [(n.certname, i.kind) for n, i in found]
    assert len(ledger.claim_due()) == 2


def test_many_who_claim_at_once_share_what_is_left(ledger: Ledger) -> None:
    """No intent is claimed by two."""
    for index in range(8):
        ledger.leave(begin(ledger, active(ledger, f"n{index}"), IntentKind.CHANGE), "later")

    results = race(*[ledger.claim_due] * 4)

    claimed = [intent.ident for found in results for _, intent in found]  # type: ignore[attr-defined]
    assert 8 == len(set(claimed)) == len(claimed)


def test_closing_is_idempotent(ledger: Ledger) -> None:
    """A closed intent is never found again."""
    intent = begin(ledger, active(ledger), IntentKind.REVOKE)

    ledger.close(intent)
    ledger.close(intent)
    ledger.leave(intent, "too late")

    assert list(ledger.claim_due()) == []


def test_who_gave_up_a_claim_cannot_use_it_any_more(ledger: Ledger) -> None:
    """Another thread may have the intent meanwhile; the former has no say, even if it lives."""
    node = active(ledger)
    former = begin(ledger, node, IntentKind.ISSUE)
    ledger.leave(former, "later")
    [(_, claimed)] = ledger.claim_due()

    with pytest.raises(NodeBusy):
        ledger.order(former, KEY, KeyMaker.ESPM)
    with pytest.raises(NodeBusy):
        ledger.close(former)
    ledger.leave(former, "not mine to leave")
    assert CertificateState.ORDERED is ledger.order(claimed, KEY, KeyMaker.ESPM).state
