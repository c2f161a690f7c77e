"""Of all that the ledger ever says to its database, nothing reads a whole table that grows."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from espm.errors import EspmError
from espm.ledger import SqlLedger, engine, open_ledger
from espm.ledger.few import Few
from espm.model import CertificateState, IntentKind, Kept, KeyMaker, NodeState, ReplayKey
from tests.contract.lives import KEY, PLAIN, WEB, begin, hear_all, issued, reserve
from tests.contract.test_ledger_indexes import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from espm.model import Certificate, Node

_GROWING = {"nodes", "certificates", "intents", "replays", "audit"}

# Only what is open is in these: they are short, however long the history is.
_SHORT = {"uq_intents_open", "ix_intents_lease"}

_NAMED = (
    "SELECT certificates.ident, certificates.generation, certificates.key_sha256, "
    "certificates.key_maker, certificates.state, certificates.serial, certificates.fingerprint, "
    "certificates.pem, certificates.not_before, certificates.not_after, certificates.ended_at, "
    "nodes.certname FROM certificates JOIN nodes ON nodes.generation = certificates.generation"
)

#: What may read all of something, as it begins, and why.
_MAY = {
    "SELECT count(certificates.ident)": "espm doctor says of how many it will look at",
    f"{_NAMED} WHERE certificates.state IN ('ordered', 'valid', 'revoking') "
    "AND nodes.ended_at IS NOT": (
        "what stands of lives that are over: once in ten seconds, 0.16 s for a million live nodes"
    ),
    "INSERT INTO nodes": "SQLite has a look for rows that wait for it, which it never has to take",
    "INSERT INTO certificates": "the same",
}


class Noted:
    """A ledger, and the names of the methods that were called."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self._ledger, name)


def _methods() -> set[str]:
    return {name for name in dir(SqlLedger) if not name.startswith("_")} - {"disconnect"}


def _live(ledger: Any) -> None:
    """Call everything that a ledger can do, in the course of a few lives."""
    key = ReplayKey("cloud", "/v1/nodes", "k")
    node, intent = reserve(ledger.noting(key, "d"))
    ordered = ledger.order(intent, KEY, KeyMaker.ESPM)
    valid = ledger.record(ordered, issued())
    node = ledger.activate(intent)
    ledger.replay(key)
    ledger.keep(key, Kept({}, ""))
    with suppress(EspmError):
        reserve(ledger)
    _change(ledger, node)
    _revoke(ledger, node, valid)
    _end(ledger, node, valid)
    _take_back(ledger)
    _at_once(ledger)


def _change(ledger: Any, node: Node) -> None:
    intent = begin(ledger, node, IntentKind.CHANGE)
    ledger.open_intent(node, tuple(IntentKind))
    ledger.leave(intent, "so")
    [(_, claimed)] = ledger.claim_left(node, [IntentKind.CHANGE])
    ledger.change(claimed, PLAIN, node.version + 1)
    ledger.is_closed(claimed)


def _revoke(ledger: Any, node: Node, valid: Certificate) -> None:
    node = ledger.node("cloud", WEB)
    intent = begin(ledger, node, IntentKind.REVOKE)
    ledger.job("cloud", intent.ident)
    for certificate in (valid, ledger.adopt(valid, replace(issued(), serial=7))):
        ledger.mark(certificate, CertificateState.REVOKING)
        ledger.mark(certificate, CertificateState.REVOKED)
    ledger.close(intent)
    second = begin(ledger, node, IntentKind.ISSUE)
    ledger.mark(ledger.order(second, KEY, KeyMaker.NODE), CertificateState.VOID)
    ledger.close(second)


def _end(ledger: Any, node: Node, valid: Certificate) -> None:
    _ask(ledger, node, valid)
    ledger.bury(begin(ledger, ledger.node("cloud", WEB), IntentKind.DELETE))
    ledger.was_deleted("cloud", WEB)
    ledger.watched(60)
    list(ledger.revoked(60).named)
    ledger.ping()


def _ask(ledger: Any, node: Node, valid: Certificate) -> None:
    for state in (None, NodeState.ACTIVE):
        for after in (None, WEB):
            ledger.page("cloud", state=state, after=after, limit=10)
    list(ledger.nodes())
    list(ledger.all_certificates())
    ledger.certificate_count()
    ledger.platforms_of([valid])
    ledger.certificate(node)
    ledger.certificates(node)
    ledger.certificates_of([node.generation])
    ledger.has_successor(WEB, valid)
    ledger.backlog()


def _take_back(ledger: Any) -> None:
    _, intent = reserve(ledger, "other.example.com")
    ledger.leave(intent, "so")
    ledger.orphan()
    [mine] = [each for _, each in ledger.claim_due(1000) if each.ident == intent.ident]
    ledger.condemn(mine)
    ledger.bury(mine)


def _at_once(ledger: Any) -> None:
    node, intent = reserve(ledger, "third.example.com")
    ledger.order(intent, KEY, KeyMaker.NODE)
    node, certificate = ledger.fulfil(node, intent, replace(issued(), serial=9))
    for state in (CertificateState.REVOKING, CertificateState.REVOKED):
        ledger.mark_all([certificate], state)
    second = begin(ledger, node, IntentKind.ISSUE)
    ledger.order(second, KEY, KeyMaker.NODE)
    ledger.mark(
        ledger.disown(second, replace(issued(key="b2" * 32), serial=10)), CertificateState.REVOKED
    )
    ledger.decline(second)
    ledger.close(second)


def _plans(connection: sa.Connection, statement: str, parameters: Any) -> Iterator[str]:
    """Yield what the database would read whole for *statement*."""
    if connection.dialect.name == "sqlite":
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        for step in steps:
            found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step[-1])
            if found and found[1] in _GROWING and found[2] not in _SHORT:
                yield found[0]
        return
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    yield from _scans(explained.scalar_one()[0]["Plan"])


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    kind, index = plan["Node Type"], plan.get("Index Name")
    whole = "Index" in kind and "Index Cond" not in plan and index not in _SHORT
    if plan.get("Relation Name") in _GROWING and (kind == "Seq Scan" or whole):
        yield f"{kind} {plan['Relation Name']} {index or ''}"
    for inner in plan.get("Plans", ()):
        yield from _scans(inner)


def _said(ledger: SqlLedger, work: Callable[[], None]) -> dict[str, Any]:
    """Return the statements that *work* said to the database, with parameters of each."""
    said: dict[str, Any] = {}
    with hear_all(ledger) as heard:
        work()
    for statement, parameters in heard:
        said.setdefault(" ".join(statement.split()), (statement, _first(parameters)))
    return said


def _first(parameters: Any) -> Any:
    """Return the parameters of one execution, as SQLAlchemy takes them."""
    if not isinstance(parameters, list):
        return parameters
    many = parameters and isinstance(parameters[0], (list, tuple, dict))
    return _first(parameters[0]) if many else tuple(parameters)


def test_nothing_reads_a_table_that_grows_from_end_to_end(ledger: SqlLedger) -> None:
    """All statements of all methods are searches by an index, but for a few that are explained."""
    fill(ledger)
    noted = Noted(ledger)

    said = _said(ledger, lambda: _live(noted))

    assert noted.called >= _methods()
    found = {}
    with ledger._engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Three thousand rows are few for it.
            for way in ("seqscan", "hashjoin", "mergejoin", "bitmapscan"):
                connection.execute(sa.text(f"SET enable_{way} = off"))
        for short, (statement, parameters) in said.items():
            if re.match(r"SELECT|INSERT|UPDATE|DELETE", statement):
                found[short] = [*_plans(connection, statement, parameters)]
    assert len(found) > 40
    scans = {short: plan for short, plan in found.items() if plan}
    assert {short: scans[short] for short in scans if not short.startswith(tuple(_MAY))} == {}


def test_nobody_waits_for_a_second_connection_while_holding_one(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has few of them, so threads that did would wait for each other."""
    held = threading.local()

    def take(few: Few, seconds: float) -> sa.Connection:
        assert not getattr(held, "one", False), "it has one already"
        held.one = True
        return Few.take(few, seconds)

    def give_back(few: Few, connection: sa.Connection) -> None:
        held.one = False
        Few.give_back(few, connection)

    counted = type("Counted", (Few,), {"take": take, "give_back": give_back})
    monkeypatch.setattr(engine, "Few", counted)
    with open_ledger(sqlite_url, instance="tests") as ledger:
        noted = Noted(ledger)
        _live(noted)
        assert noted.called >= _methods()

        # What yields has none while its reader goes on.
        assert [ledger.certificates(node) for node in ledger.nodes()] == [[]]
        for yielded in (ledger.all_certificates(), ledger.revoked(60).named):
            owners = {name for _, each in yielded for name in ledger.platforms_of([each]).values()}
            assert owners == {"cloud"}
