"""Deletions that come at the same time: begun in one transaction, and each by itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.errors import BackendUnavailable, NodeBusy, VersionMismatch
from espm.ledger import open_chain, open_ledger
from espm.ledger.deletions import Begun
from espm.model import IntentKind, KeyMaker, NodeState, OrderedKey
from tests.api.wire import wait_until
from tests.contract.lives import (
    KEY,
    PLAIN,
    WEB,
    active,
    begin,
    breaking_off,
    hear,
    issued,
    race,
    reserve,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.ledger import SqlLedger
    from espm.model import Certificate, Node

pytestmark = pytest.mark.slow


def deletions(ledger: SqlLedger, *nodes: Node) -> list[Callable[[], Begun]]:
    """Return what begins the deletions of *nodes*, by requests of their own."""
    return [
        partial(ledger.begin_deletion, node, request_id=f"r-{number}")
        for number, node in enumerate(nodes)
    ]


def at_once(ledger: SqlLedger, *steps: Callable[[], Begun]) -> list[object]:
    """Return what each of *steps* returns or raises when all come before the first is begun."""
    results: list[object] = []
    together = ledger._deleting
    together._led = True  # As if one were at work.
    waiting = threading.Thread(target=lambda: results.extend(race(*steps)))
    waiting.start()
    assert wait_until(lambda: len(together._queue) == len(steps), 10)
    together._hand_on()
    waiting.join()
    return results


def states(ledger: SqlLedger, *nodes: Node) -> dict[str, NodeState]:
    """Return the states of *nodes* now, by name."""
    return {node.certname: ledger.node("cloud", node.certname).state for node in nodes}


def with_certificate(ledger: SqlLedger, name: str) -> tuple[Node, Certificate]:
    """Return an active node with a valid certificate."""
    node, intent = reserve(ledger, name, key=OrderedKey(KEY, KeyMaker.ESPM))
    return ledger.fulfil(node, intent, issued())


def test_it_comes_with_the_certificates_to_be_settled(ledger: SqlLedger) -> None:
    """Those of the node, and nobody else's."""
    node, certificate = with_certificate(ledger, WEB)
    with_certificate(ledger, "other.example.com")

    intent, standing = ledger.begin_deletion(node, request_id="r")

    assert (intent.kind, intent.generation) == (IntentKind.DELETE, node.generation)
    assert list(standing) == [certificate]
    assert ledger.node("cloud", WEB).state is NodeState.DELETING


def test_so_does_one_that_supersedes_another(ledger: SqlLedger) -> None:
    """The slower way there tells no less."""
    node, certificate = with_certificate(ledger, WEB)
    ledger.leave(begin(ledger, node, IntentKind.CHANGE), "later")

    intent, standing = ledger.begin_deletion(node, request_id="r")

    assert list(standing) == [certificate]
    assert ledger.open_intent(node, list(IntentKind)) == intent


def test_many_at_the_same_time_take_the_statements_of_one(ledger: SqlLedger, url: str) -> None:
    """Each is begun, and told in the audit log with its own request."""
    nodes = [active(ledger, f"n{number}") for number in range(30)]
    with hear(ledger) as said:
        ledger.begin_deletion(nodes[0], request_id="r-first")
        one = len(said)
        said.clear()

        results = at_once(ledger, *deletions(ledger, *nodes[1:]))

        assert len(said) == one
    assert [result[0].generation for result in results if isinstance(result, tuple)] == [
        node.generation for node in nodes[1:]
    ]
    assert {node.state for node in ledger.nodes()} == {NodeState.DELETING}
    with open_chain(url) as log:
        begun = {row["certname"]: row["request_id"] for row in log.rows()}
    assert [begun[f"n{number}"] for number in range(1, 30)] == [f"r-{n}" for n in range(29)]


def test_what_is_in_the_way_of_one_stops_no_other(ledger: SqlLedger) -> None:
    """Busy, changed, left and free nodes, all of them at once."""
    busy, changed, left, free = (active(ledger, name) for name in ("a", "b", "c", "d"))
    begin(ledger, busy, IntentKind.CHANGE)
    ledger.change(begin(ledger, changed, IntentKind.CHANGE), PLAIN, 2)
    ledger.leave(begin(ledger, left, IntentKind.CHANGE), "later")

    results = at_once(ledger, *deletions(ledger, busy, changed, left, free))

    assert [type(result) for result in results[:2]] == [NodeBusy, VersionMismatch]
    assert [type(result) for result in results[2:]] == [Begun] * 2
    active_, deleting = NodeState.ACTIVE, NodeState.DELETING
    states = {node.certname: node.state for node in ledger.nodes()}
    assert states == {"a": active_, "b": active_, "c": deleting, "d": deleting}


def test_of_several_of_one_node_one_begins(ledger: SqlLedger) -> None:
    """Also where they are in the same transaction."""
    node, other = active(ledger), active(ledger, "other.example.com")

    results = at_once(ledger, *deletions(ledger, node, node, other, node))

    assert sum(isinstance(result, NodeBusy) for result in results) == 2
    assert isinstance(results[2], tuple)


def test_where_the_database_breaks_off_none_has_begun(sqlite_url: str) -> None:
    """Each hears of it, and the claims of all are given up, should they stand."""
    with open_ledger(sqlite_url) as ledger:
        nodes = [active(ledger, f"n{number}") for number in range(3)]

        with breaking_off(ledger, done=False):
            results = at_once(ledger, *deletions(ledger, *nodes))

        assert [type(result) for result in results] == [BackendUnavailable] * 3
        assert len(ledger._owed.all()) == 3
        assert {node.state for node in ledger.nodes()} == {NodeState.ACTIVE}
        assert all(isinstance(result, tuple) for result in race(*deletions(ledger, *nodes)))


@pytest.mark.postgresql
def test_a_node_that_somebody_holds_keeps_no_other_waiting(postgres_url: str) -> None:
    """Only its own deletion waits, and is begun when it is let go."""
    other = sa.create_engine(postgres_url)
    with open_ledger(postgres_url) as ledger, ThreadPoolExecutor(1) as pool:
        nodes = [active(ledger, f"held{number}.example.com") for number in range(4)]
        with other.begin() as holding:
            row = "SELECT 1 FROM nodes WHERE generation = :it FOR UPDATE"
            holding.execute(sa.text(row), {"it": nodes[0].generation})
            all_of_them = pool.submit(at_once, ledger, *deletions(ledger, *nodes))
            others = {node.certname: NodeState.DELETING for node in nodes[1:]}
            expected = {nodes[0].certname: NodeState.ACTIVE, **others}
            assert wait_until(lambda: states(ledger, *nodes) == expected, 10)
            assert not all_of_them.done()
        results = all_of_them.result(timeout=10)
        assert [type(result) for result in results] == [Begun] * 4
    other.dispose()


def test_what_fails_for_one_stops_no_other(
    ledger: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """Where they can't be begun together, each is begun by itself."""
    bad, _ = with_certificate(ledger, "bad.example.com")
    good = [active(ledger, f"good{number}.example.com") for number in range(3)]
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE certificates SET serial = 'no number'"))

    with caplog.at_level("WARNING", "espm"):
        results = at_once(ledger, *deletions(ledger, good[0], bad, *good[1:]))

    assert [type(result) for result in results] == [
        Begun,
        ValueError,
        Begun,
        Begun,
    ]
    assert "4 deletions at once: " in caplog.text


def test_a_ledger_that_is_busy_for_long_is_said_to_be(ledger: SqlLedger) -> None:
    """Who waits behind another's transaction is told to come again; nothing is begun."""
    node = active(ledger)
    ledger._deleting._patience = 0.01
    ledger._deleting._led = True  # As if one were at work.

    with pytest.raises(BackendUnavailable, match="try again later"):
        ledger.begin_deletion(node, request_id="r")

    assert ledger.node("cloud", WEB) == node
