"""No question to the ledger reads a whole table, however long its history is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from espm.ledger import (
    certificate_lists,
    certificates,
    claims,
    deletions,
    jobs,
    leftovers,
    nodes,
    replays,
)
from espm.ledger.schema import Instant
from espm.ledger.statements import Statement
from espm.model import (
    Certificate,
    CertificateState,
    IntentKind,
    Kept,
    KeyMaker,
    Node,
    NodeState,
    ReplayKey,
)
from tests.contract.lives import WEB, active

if TYPE_CHECKING:
    from espm.ledger import SqlLedger

_KINDS = tuple(IntentKind)
_MADE = (KeyMaker.ESPM, CertificateState.VOID, None)
_KEY = ReplayKey("cloud", "/v1/nodes", "k-1")

Making = Callable[[Node], "sa.Executable | tuple[sa.Executable | Statement, dict[str, Any]]"]

QUERIES: dict[str, tuple[Making, str]] = {
    "node": (lambda _n: (nodes.OWNED, {"of": "cloud", "name": WEB}), "ix_nodes_live"),
    "taken": (lambda _n: (nodes.HOLDER, {"name": WEB}), "uq_nodes_live"),
    "page": (lambda _n: nodes.page("cloud", None, WEB, 10), "ix_nodes_live"),
    "first page": (lambda _n: nodes.page("cloud", None, None, 10), "ix_nodes_live"),
    "state": (lambda _n: nodes.page("cloud", NodeState.ACTIVE, WEB, 10), "ix_nodes_live"),
    "nodes": (lambda _n: nodes.everyone("", 10), "uq_nodes_live"),
    "was_deleted": (lambda _n: nodes.last_ended("cloud", WEB), "ix_nodes_ended"),
    "next due": (lambda _n: (leftovers.NEXT, leftovers.moment()), "ix_intents_lease"),
    "closed": (
        lambda _n: (claims.CLOSED, {"of": "i7"}),
        "uq_intents_ident|sqlite_autoindex_intents",
    ),
    "claim_due": (lambda _n: leftovers.due(10), "ix_intents_lease"),
    "claim_left": (lambda n: leftovers.left(n, [IntentKind.CHANGE]), "uq_intents_open"),
    "open_intent": (lambda n: jobs.open_by_node(n.generation, _KINDS), "uq_intents_open"),
    "job": (lambda _n: jobs.BY_IDENT.params(of="i7"), "uq_intents_ident|sqlite_autoindex_intents"),
    "backlog": (lambda _n: jobs.open_by_kind(), "(uq|ix)_intents_"),
    "watched": (lambda _n: certificate_lists.ended_since(claims.now()), "ix_certificates_ended"),
    "strays": (lambda _n: certificate_lists.strays(), "ix_certificates_standing"),
    "successor": (
        lambda n: certificate_lists.others(WEB, Certificate(1, n.generation, "k", *_MADE)),
        "ix_certificates_key",
    ),
    "all certificates": (
        lambda _n: certificate_lists.everyone(5, 10),
        "pk_certificates|PRIMARY KEY",
    ),
    "platforms": (lambda n: (nodes.PLATFORMS, {"of": [n.generation]}), "pk_nodes|PRIMARY KEY"),
    "certificate": (lambda n: certificate_lists.latest(n.generation), "ix_certificates_generation"),
    "replay": (lambda _n: replays.find(_KEY, claims.now()), "uq_replays_key"),
    "keep": (lambda _n: replays.keep(_KEY, Kept({}, "")), "uq_replays_key"),
    "sweep": (lambda _n: replays.sweep(claims.now()), "ix_replays_created"),
    "open": (lambda n: nodes.OPEN.params(of=n.generation), "uq_intents_open"),
    "settle": (lambda _n: (replays.MADE, {"of": "i1", "is": True}), "uq_replays_intent"),
    "close": (
        lambda _n: (
            claims.FINISH,
            {"all": ["i7", "i8"], "by": "me", "tries": 0, "at": None, "end": None},
        ),
        "uq_intents_ident|sqlite_autoindex_intents",
    ),
    "active of many": (
        lambda n: (deletions.ACTIVE, {"of": [n.generation, 1]}),
        "pk_nodes|PRIMARY KEY",
    ),
    "open of many": (lambda n: (deletions.BUSY, {"of": [n.generation, 1]}), "uq_intents_open"),
    "delete many": (
        lambda n: (deletions.MOVE, {"of": [n.generation, 1], "state": "deleting"}),
        "pk_nodes|PRIMARY KEY",
    ),
    "certificates": (
        lambda n: (certificates.OUTSTANDING, {"of": [n.generation, 1]}),
        "(uq|ix)_certificates_",
    ),
    "bury": (
        lambda n: (nodes.BURY, {"of": [n.generation, 1], "state": "deleted"}),
        "pk_nodes|PRIMARY KEY",
    ),
    "mark all": (
        lambda _n: (
            certificates.moving_all((CertificateState.VALID,)),
            {"of": [1, 2], "state": "revoking"},
        ),
        "pk_certificates|PRIMARY KEY",
    ),
    "close one": (
        lambda _n: (
            claims.CLOSE,
            {"of": "i7", "by": "me", "tries": 0, "at": None, "end": None},
        ),
        "uq_intents_ident|sqlite_autoindex_intents",
    ),
    "fill": (
        lambda n: (certificates.FILL, {"of": n.generation, "state": "void"}),
        "(uq|ix)_certificates_",
    ),
    "decline": (
        lambda n: (certificates.MOVE_ORDERED, {"of": n.generation, "state": "void"}),
        "uq_intents_open",
    ),
}

# Three lives of each of a thousand names, the first two over: two in three rows are history.
_FILL = """
INSERT INTO nodes
  (certname, platform, state, version, classification, created_at, updated_at, ended_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
SELECT 'n' || (i % 1000), 'p' || (i % 3), CASE WHEN i <= 1000 THEN 'undone'
  WHEN i <= 2000 THEN 'deleted' ELSE 'active' END, 1,
  '{"environment": null, "groups": [], "classes": {}, "parameters": {}}', :now, :now,
  CASE WHEN i <= 2000 THEN :now END FROM n
"""
_FILL_CERTIFICATES = """
INSERT INTO certificates (generation, key_sha256, key_maker, state)
SELECT generation, 'k' || generation, 'espm',
  CASE WHEN state = 'active' THEN 'ordered' ELSE 'void' END
FROM nodes
"""
_FILL_INTENTS = """
INSERT INTO intents
  (ident, generation, kind, payload, attempts, lease_until, request_id, created_at,
   closed_at, outcome)
SELECT 'i' || generation, generation, 'change', '{}', 0, :now, 'r', :now,
  CASE WHEN generation % 50 > 0 THEN created_at END,
  CASE WHEN generation % 50 > 0 THEN 'done' END
FROM nodes
"""
_FILL_REPLAYS = """
INSERT INTO replays (platform, path, key, digest, intent, created_at)
SELECT 'cloud', '/v1/nodes', ident, 'd', ident, created_at FROM intents WHERE ident LIKE 'i%'
"""


def fill(ledger: SqlLedger) -> None:
    """Give the ledger a history, and PostgreSQL its statistics of it; SQLite makes none itself."""
    with ledger._engine.begin() as connection:
        for statement in (_FILL, _FILL_CERTIFICATES, _FILL_INTENTS, _FILL_REPLAYS):
            connection.execute(
                sa.text(statement).bindparams(
                    *[sa.bindparam("now", claims.now(), Instant())] if ":now" in statement else []
                )
            )
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE"))


def plan(
    connection: sa.Connection, query: sa.Executable | Statement, values: dict[str, Any]
) -> str:
    """Return how the database answers *query*, sent as SQLAlchemy compiles it."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        sent.append((statement, parameters))

    sa.event.listen(connection, "before_cursor_execute", note)
    connection.execute(query.source if isinstance(query, Statement) else query, values)
    sa.event.remove(connection, "before_cursor_execute", note)
    explain = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    [(statement, parameters)] = sent
    steps = connection.exec_driver_sql(f"{explain} {statement}", parameters)
    return "\n".join(str(step[-1]) for step in steps)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_has_its_index(ledger: SqlLedger, name: str) -> None:
    """The database uses the index that was made for the query, and scans no table."""
    make, index = QUERIES[name]
    node = active(ledger)
    fill(ledger)

    with ledger._engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # Three thousand rows are few for it.
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        made = make(node)
        found = plan(connection, *(made if isinstance(made, tuple) else (made, {})))

    assert re.search(index, found), found
    assert not re.search(r"Seq Scan|SCAN \w+$", found, re.MULTILINE), found
