"""Intents as others see them: a platform's job, and the backlog of the whole ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from espm.errors import JobUnknown
from espm.ledger import certificates, rows
from espm.ledger.claims import now
from espm.ledger.leftovers import unclaimed
from espm.ledger.schema import intents, nodes, still_open
from espm.model import Backlog, IntentKind, Job, JobState, NodeState

if TYPE_CHECKING:
    from collections.abc import Collection

    from espm.model import Intent, Node

#: The intent :of and its node.
BY_IDENT = sa.select(intents, nodes).join_from(intents, nodes)
BY_IDENT = BY_IDENT.where(intents.c.ident == sa.bindparam("of"))


def find(connection: sa.Connection, platform: str, ident: str) -> Job:
    """Return the platform's job of that name.

    :raises espm.errors.JobUnknown: it has none.
    """
    row = connection.execute(BY_IDENT, {"of": ident}).mappings().first()
    if row is None or row[nodes.c.platform] != platform:
        msg = "the platform has no job of that name"
        raise JobUnknown(msg)
    return _job(connection, row)


def open_of(connection: sa.Connection, node: Node, kinds: Collection[IntentKind]) -> Intent | None:
    """Return the oldest open intent of *kinds* of the node."""
    row = connection.execute(open_by_node(node.generation, kinds)).mappings().first()
    return None if row is None else rows.intent(row)


def open_by_node(generation: int, kinds: Collection[IntentKind]) -> sa.Select[Any]:
    """Return the query for a node's open intents of *kinds*, oldest first."""
    query = sa.select(intents).where(intents.c.generation == generation, still_open)
    return query.where(intents.c.kind.in_(kinds)).order_by(intents.c.number)


def backlog(connection: sa.Connection) -> Backlog:
    """Return what is open."""
    kinds = {str(kind): int(number) for kind, number in connection.execute(open_by_kind())}
    waits = sa.and_(still_open, intents.c.owner.is_(None))
    number = connection.execute(sa.select(sa.func.count()).where(waits)).scalar_one()
    query = sa.select(intents.c.created_at, intents.c.last_error).where(waits)
    # By number, the database would look through all there ever were for the first that is open.
    first = query.order_by(intents.c.created_at, intents.c.ident).limit(1)
    oldest = connection.execute(first).first()
    begun, error = tuple(oldest) if oldest else (None, None)
    return Backlog(kinds, number, begun, error)


def open_by_kind() -> sa.Select[Any]:
    """Return the query that counts open intents by kind."""
    return sa.select(intents.c.kind, sa.func.count()).where(still_open).group_by(intents.c.kind)


def _job(connection: sa.Connection, row: sa.RowMapping) -> Job:
    node, state = rows.node(row), _state(row)
    of = node.generation
    found = [] if state.is_over else certificates.outstanding(connection, [of])[of]
    return Job(
        intent=rows.intent(row),
        certname=node.certname,
        state=state,
        node_state=NodeState(node.state),
        certificates=tuple(found),
        due=max(row[intents.c.lease_until], now()) if state is JobState.WAITING else None,
        closed=row[intents.c.closed_at],
    )


def _state(row: sa.RowMapping) -> JobState:
    if row[intents.c.outcome] is not None:
        return JobState(row[intents.c.outcome])
    left = unclaimed(row[intents.c.owner], row[intents.c.lease_until])
    return JobState.WAITING if left else JobState.RUNNING
