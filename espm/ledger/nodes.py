"""Lives of nodes in the ledger: found, begun and moved from state to state by compare-and-swap.

Whatever changes a node or its intents locks the node's row first, in PostgreSQL, so that two
transactions never wait for each other; SQLite has one writer at a time anyhow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from espm.errors import CertnameTaken, NodeBusy, NodeUnknown, VersionMismatch
from espm.ledger import claims, rows
from espm.ledger.claims import now
from espm.ledger.engine import is_duplicate
from espm.ledger.schema import among, ended, intents, live, nodes, still_open
from espm.model import IntentKind, NodeState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from espm.model import Certname, Classification, Node

#: Which open intents are in the way of a new one, and of what state the node must be.
_EXCLUDED_BY = {
    IntentKind.CHANGE: (IntentKind.CHANGE,),
    IntentKind.ISSUE: (IntentKind.ISSUE, IntentKind.REVOKE),
    IntentKind.REVOKE: (IntentKind.ISSUE, IntentKind.REVOKE),
}

# Made once: building a statement takes longer than running it.
#: The live node of the platform :of by the name :name.
OWNED = sa.select(nodes).where(
    nodes.c.platform == sa.bindparam("of"), nodes.c.certname == sa.bindparam("name"), live
)


def insert(
    connection: sa.Connection, certname: Certname, platform: str, classification: Classification
) -> Node:
    """Begin a life in state adding.

    :raises espm.errors.CertnameTaken: a live node of that name exists.
    :raises espm.errors.NodeBusy: the same platform's node of that name is being deleted.
    """
    _check_free(connection, certname, platform)
    moment = now()
    added = nodes.insert().values(
        certname=certname,
        platform=platform,
        state=NodeState.ADDING,
        version=1,
        classification=rows.dump_classification(classification),
        created_at=moment,
        updated_at=moment,
    )
    try:
        return rows.node(connection.execute(added.returning(nodes)).mappings().one())
    except IntegrityError as exc:
        if not is_duplicate(exc):
            raise
        raise _taken(certname) from exc


def _check_free(connection: sa.Connection, certname: Certname, platform: str) -> None:
    holder = connection.execute(live_by_name(certname)).mappings().first()
    if holder is None:
        return
    if holder["platform"] == platform and holder["state"] == NodeState.DELETING:
        msg = f"{certname} is being deleted; try again when that is done"
        raise NodeBusy(msg)
    raise _taken(certname)


def live_by_name(certname: Certname) -> sa.Select[Any]:
    """Return the query for whose the name is."""
    query = sa.select(nodes.c.platform, nodes.c.state)
    return query.where(nodes.c.certname == certname, live)


def _taken(certname: Certname) -> CertnameTaken:
    return CertnameTaken(f"the name {certname} is taken; choose another")


def find(connection: sa.Connection, platform: str, certname: Certname) -> Node:
    """Return the platform's live node of that name.

    :raises espm.errors.NodeUnknown: it has none.
    """
    wanted = {"of": platform, "name": certname}
    row = connection.execute(OWNED, wanted).first()
    if row is None:
        msg = "the platform has no node of that name"
        raise NodeUnknown(msg)
    return rows.node_of(row)


def last_ended(platform: str, certname: Certname) -> sa.Select[Any]:
    """Return the query for how the platform's last finished life of that name ended."""
    query = sa.select(nodes.c.state).where(
        nodes.c.platform == platform, nodes.c.certname == certname, ended
    )
    return query.order_by(nodes.c.generation.desc()).limit(1)


def page(
    platform: str, state: NodeState | None, after: Certname | None, limit: int
) -> sa.Select[Any]:
    """Return the query for a page of the platform's live nodes, by name."""
    query = sa.select(nodes).where(nodes.c.platform == platform, live)
    if state is not None:
        query = query.where(nodes.c.state == state)
    if after is not None:
        query = query.where(nodes.c.certname > after)
    return query.order_by(nodes.c.certname).limit(limit)


def platforms(generations: Collection[int]) -> sa.Select[Any]:
    """Return the query for generation and platform of nodes, whether they live or not."""
    query = sa.select(nodes.c.generation, nodes.c.platform)
    return query.where(nodes.c.generation.in_(generations))


def everyone(after: str, limit: int) -> sa.Select[Any]:
    """Return the query for a page of all platforms' live nodes, by name."""
    query = sa.select(nodes).where(nodes.c.certname > after, live)
    return query.order_by(nodes.c.certname).limit(limit)


def fetch(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Node]:
    """Return the nodes that *query* finds, which selects their columns and no others."""
    return [rows.node_of(row) for row in connection.execute(query)]


def lock(connection: sa.Connection, generation: int) -> Node:
    """Return the node of *generation*, kept from others until the transaction ends."""
    query = sa.select(nodes).where(nodes.c.generation == generation).with_for_update()
    return rows.node(connection.execute(query).mappings().one())


def check_older(node: Node, version: int) -> None:
    """Return when *version* is newer than the node's.

    :raises espm.errors.VersionMismatch: it is not.
    """
    if version <= node.version:
        msg = f"{node.certname} has changed meanwhile; read it again"
        raise VersionMismatch(msg)


def move(
    connection: sa.Connection, generation: int, was: NodeState, becomes: NodeState, **values: Any
) -> Node:
    """Move a node from state *was* to *becomes*, setting *values* too.

    :raises espm.errors.NodeBusy: it is not in state *was*.
    """
    moving = nodes.update().where(nodes.c.generation == generation, among(nodes.c.state, [was]))
    moving = moving.values(state=becomes, updated_at=now(), **values)
    row = connection.execute(moving.returning(nodes)).mappings().first()
    if row is None:
        msg = f"the node is not in state {was} any more"
        raise NodeBusy(msg)
    return rows.node(row)


def admit(connection: sa.Connection, node: Node, kind: IntentKind) -> None:
    """Make way for an intent of *kind* on *node*, or say what is in the way.

    :raises espm.errors.NodeBusy: an open intent or the node's state is in the way.
    :raises espm.errors.VersionMismatch: the node is at another generation or version.
    """
    current = lock(connection, node.generation)
    dead = current.state in {NodeState.DELETED, NodeState.UNDONE}
    if dead or current.version != node.version:
        msg = f"{node.certname} has changed meanwhile; read it again"
        raise VersionMismatch(msg)
    if kind is IntentKind.DELETE:
        _admit_delete(connection, current)
    elif current.state is not NodeState.ACTIVE:
        msg = f"{node.certname} is {current.state}"
        raise NodeBusy(msg)
    else:
        _refuse_if(connection, current, intents.c.kind.in_(_EXCLUDED_BY[kind]))


def _admit_delete(connection: sa.Connection, node: Node) -> None:
    # A revocation under way is in nobody's way: both do the same to the certificate, and each
    # of its steps may be repeated.
    revoking = intents.c.kind == IntentKind.REVOKE
    _refuse_if(connection, node, sa.and_(claims.claimed(), sa.not_(revoking)))
    claims.supersede(connection, node.generation)
    if node.state is not NodeState.DELETING:
        move(connection, node.generation, node.state, NodeState.DELETING)


def _refuse_if(connection: sa.Connection, node: Node, blocks: sa.ColumnElement[bool]) -> None:
    query = sa.select(intents.c.kind).where(intents.c.generation == node.generation, still_open)
    kind = connection.execute(query.where(blocks).limit(1)).scalar()
    if kind is not None:
        msg = f"another operation on {node.certname} is under way: {kind}"
        raise NodeBusy(msg)
