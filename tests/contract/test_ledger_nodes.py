"""What every ledger must do with nodes, told through its port alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from espm.errors import (
    CertnameTaken,
    NodeBusy,
    NodeUnknown,
)
from espm.ledger import nodes
from espm.model import (
    Certname,
    Classification,
    IntentKind,
    NodeState,
)
from tests.contract.lives import WEB, active, begin, delete, reserve

if TYPE_CHECKING:
    from espm.ports import Ledger


def test_a_reserved_node_is_found_as_it_was_given(ledger: Ledger) -> None:
    """A classification comes back whole: order, Unicode, NUL and lone surrogates included."""
    given = Classification(
        environment="production",
        groups=("web", "base"),
        classes={"motd": {"text": "zoë \0 \ud800", "n": 1.5}, "apache": {}},
        parameters={"z": None, "a": [True, {"deep": "ünï"}]},
    )

    node, intent = ledger.reserve(WEB, "cloud", given, request_id="r-1")

    assert given == ledger.node("cloud", WEB).classification
    assert list(ledger.node("cloud", WEB).classification.classes) == ["motd", "apache"]
    assert node == ledger.node("cloud", WEB)
    assert (node.state, node.version) == (NodeState.ADDING, 1)
    assert (IntentKind.ADD, node.generation) == (intent.kind, intent.generation)


def test_timestamps_are_aware_and_in_utc(ledger: Ledger) -> None:
    """Times come back as UTC on every database."""
    before = datetime.now(UTC)
    node = active(ledger)

    assert node.created.tzinfo == UTC
    assert before <= node.created <= node.updated <= datetime.now(UTC)


def test_a_live_name_is_taken_for_everybody(ledger: Ledger) -> None:
    """A second life needs the end of the first, whichever platform asks."""
    active(ledger)

    for platform in ("cloud", "other"):
        with pytest.raises(CertnameTaken):
            reserve(ledger, platform=platform)


def test_a_dying_name_is_busy_for_its_platform_and_taken_for_others(ledger: Ledger) -> None:
    """Only the platform that deletes it may know that the name will be free soon."""
    begin(ledger, active(ledger), IntentKind.DELETE)

    with pytest.raises(NodeBusy):
        reserve(ledger)
    with pytest.raises(CertnameTaken):
        reserve(ledger, platform="other")


def test_a_name_that_is_let_go_of_while_it_is_asked_for_is_free(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose it is is asked in a second look, by when it may be nobody's."""
    dying = begin(ledger, active(ledger), IntentKind.DELETE)
    check_free = nodes.check_free

    def late(*given: Any) -> None:
        ledger.bury(dying)
        check_free(*given)

    monkeypatch.setattr(nodes, "check_free", late)

    assert reserve(ledger)[0].state is NodeState.ADDING


def test_a_name_is_free_again_after_its_life(ledger: Ledger) -> None:
    """A new life of a name has a greater generation."""
    first = active(ledger)
    delete(ledger, first)

    second, _ = reserve(ledger, platform="other")

    assert second.generation > first.generation


def test_platforms_do_not_see_each_others_nodes(ledger: Ledger) -> None:
    """A foreign node is as unknown as one that never was."""
    active(ledger)

    with pytest.raises(NodeUnknown):
        ledger.node("other", WEB)
    assert list(ledger.page("other", state=None, after=None, limit=10)) == []


def test_was_deleted_tells_how_the_last_life_ended(ledger: Ledger) -> None:
    """Deleted counts, undone does not, and it is told to the owner only."""
    assert not ledger.was_deleted("cloud", WEB)
    delete(ledger, active(ledger))
    assert ledger.was_deleted("cloud", WEB)
    assert not ledger.was_deleted("other", WEB)

    _, intent = reserve(ledger)
    ledger.condemn(intent)
    ledger.bury(intent)

    assert not ledger.was_deleted("cloud", WEB)


def test_pages_follow_names_bytewise(ledger: Ledger) -> None:
    """A cursor goes through all names once, by bytes whatever the database's locale."""
    names = ["b-1.example", "b.example", "b1.example", "b_1.example", "0.example", "a.example"]
    for name in names:
        active(ledger, name)

    seen: list[Certname] = []
    while page := ledger.page("cloud", state=None, after=seen[-1] if seen else None, limit=4):
        seen += [node.certname for node in page]

    assert sorted(names) == seen
    assert sorted(names) == [node.certname for node in ledger.nodes()]


def test_pages_can_be_filtered_by_state(ledger: Ledger) -> None:
    """Only live nodes in the state asked for are listed."""
    for name in ("a", "b", "c"):
        active(ledger, name)
    reserve(ledger, "d")
    begin(ledger, ledger.node("cloud", Certname("b")), IntentKind.DELETE)
    delete(ledger, ledger.node("cloud", Certname("c")))

    def names(state: NodeState) -> list[str]:
        return [n.certname for n in ledger.page("cloud", state=state, after=None, limit=9)]

    assert names(NodeState.ACTIVE) == ["a"]
    assert names(NodeState.DELETING) == ["b"]
    assert names(NodeState.ADDING) == ["d"]
    assert names(NodeState.DELETED) == []


def test_it_can_be_pinged(ledger: Ledger) -> None:
    """A ledger that can be written says so by silence, as often as it is asked."""
    ledger.ping()
    ledger.ping()

    assert list(ledger.nodes()) == []
