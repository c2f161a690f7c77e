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
from espm.ledger.lists import listed
from espm.ledger.schema import among, ended, intents, live, nodes, still_open
from espm.ledger.statements import Statement
from espm.model import IntentKind, Node, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Certname, Classification

#: Which open intents are in the way of a new one, and of what state the node must be.
_EXCLUDED_BY = {
    IntentKind.CHANGE: (IntentKind.CHANGE,),
    IntentKind.ISSUE: (IntentKind.ISSUE, IntentKind.REVOKE),
    IntentKind.REVOKE: (IntentKind.ISSUE, IntentKind.REVOKE),
}

# Made once: building a statement takes longer than running it.
#: The live node of the platform :of by the name :name.
OWNED = Statement(
    sa.select(nodes).where(
        nodes.c.platform == sa.bindparam("of"), nodes.c.certname == sa.bindparam("name"), live
    )
)
#: Generation and platform of the nodes :of, whether they live or not.
PLATFORMS = sa.select(nodes.c.generation, nodes.c.platform).where(listed(nodes.c.generation, "of"))
_THIS = nodes.c.generation == sa.bindparam("of")
_LOCK = Statement(sa.select(nodes).where(_THIS).with_for_update())
# From each state; what is set is said by the parameters that have the names of columns.
_MOVE = {
    state: Statement(nodes.update().where(_THIS, among(nodes.c.state, [state])).returning(nodes))
    for state in NodeState
}
_ACTIVATE = Statement(nodes.update().where(_THIS, among(nodes.c.state, [NodeState.ADDING])))
#: The update of those of the nodes :of that are being deleted.
BURY = Statement(
    nodes.update()
    .where(listed(nodes.c.generation, "of"), among(nodes.c.state, [NodeState.DELETING]))
    .returning(nodes.c.generation)
)
_INSERT = Statement(nodes.insert().returning(nodes.c.generation))
#: Whose the name :name is.
HOLDER = Statement(
    sa.select(nodes.c.platform, nodes.c.state).where(nodes.c.certname == sa.bindparam("name"), live)
)
#: The kinds of the open intents of the node :of.
OPEN = sa.select(intents.c.kind).where(intents.c.generation == sa.bindparam("of"), still_open)
# A revocation under way is in no deletion's way: both do the same to the certificate, and each of
# its steps may be repeated.
_NOT_TO_DELETE = OPEN.where(
    intents.c.owner.is_not(None),
    intents.c.lease_until > sa.bindparam("now"),
    intents.c.kind != IntentKind.REVOKE,
).limit(1)
_NOT_TO = {
    kind: OPEN.where(intents.c.kind.in_(kinds)).limit(1) for kind, kinds in _EXCLUDED_BY.items()
}


def insert(
    connection: sa.Connection, certname: Certname, platform: str, classification: Classification
) -> Node:
    """Begin a life in state adding.

    :raises espm.errors.CertnameTaken: a live node of that name exists; :func:`check_free` says
        more, in another transaction, for this one is over.
    """
    moment = now()
    state, version = NodeState.ADDING, 1
    values = {
        "certname": certname,
        "platform": platform,
        "state": state,
        "version": version,
        "classification": rows.dump_classification(classification),
        "created_at": moment,
        "updated_at": moment,
    }
    try:
        ((generation,),) = _INSERT.rows(connection, values)
    except IntegrityError as exc:
        if not is_duplicate(exc):
            raise
        raise _taken(certname) from exc
    return Node(generation, certname, platform, state, version, classification, moment, moment)


def check_free(connection: sa.Connection, certname: Certname, platform: str) -> None:
    """Return when there is no live node of that name.

    :raises espm.errors.NodeBusy: the same platform's is being deleted.
    :raises espm.errors.CertnameTaken: there is another.
    """
    holder = HOLDER.first(connection, {"name": certname})
    if holder is None:
        return
    if tuple(holder) == (platform, NodeState.DELETING):
        msg = f"{certname} is being deleted; try again when that is done"
        raise NodeBusy(msg)
    raise _taken(certname)


def _taken(certname: Certname) -> CertnameTaken:
    return CertnameTaken(f"the name {certname} is taken; choose another")


def find(connection: sa.Connection, platform: str, certname: Certname) -> Node:
    """Return the platform's live node of that name.

    :raises espm.errors.NodeUnknown: it has none.
    """
    wanted = {"of": platform, "name": certname}
    row = OWNED.first(connection, wanted)
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


def everyone(after: str, limit: int) -> sa.Select[Any]:
    """Return the query for a page of all platforms' live nodes, by name."""
    query = sa.select(nodes).where(nodes.c.certname > after, live)
    return query.order_by(nodes.c.certname).limit(limit)


def fetch(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Node]:
    """Return the nodes that *query* finds, which selects their columns and no others."""
    return [rows.node_of(row) for row in connection.execute(query)]


def lock(connection: sa.Connection, generation: int) -> Node:
    """Return the node of *generation*, kept from others until the transaction ends."""
    (row,) = _LOCK.rows(connection, {"of": generation})
    return rows.node_of(row)


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
    changed = {"state": becomes, "updated_at": now(), **values}
    row = _MOVE[was].first(connection, {"of": generation, **changed})
    if row is None:
        raise _not_in(was)
    return rows.node_of(row)


def activate(connection: sa.Connection, node: Node) -> Node:
    """Move *node* from adding to active.

    Until it is active nobody else changes it, so it need not be read again.

    :raises espm.errors.NodeBusy: it is not in state adding.
    """
    active, moment = NodeState.ACTIVE, now()
    changed = {"of": node.generation, "state": active, "updated_at": moment}
    if _ACTIVATE.changed(connection, changed) != 1:
        raise _not_in(NodeState.ADDING)
    # Not by replace(), which looks for each field by its name.
    name, platform, version = node.certname, node.platform, node.version
    said, created = node.classification, node.created
    return Node(node.generation, name, platform, active, version, said, created, moment)


def _not_in(state: NodeState) -> NodeBusy:
    return NodeBusy(f"the node is not in state {state} any more")


def bury(connection: sa.Connection, generations: Sequence[int], end: NodeState) -> set[int]:
    """End the lives of those nodes that are being deleted, and return which these are."""
    if not generations:
        return set()
    moment = now()
    changed = {"state": end, "updated_at": moment, "ended_at": moment}
    return {row[0] for row in BURY.rows(connection, {"of": generations, **changed})}


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
        _refuse_if(connection, current, _NOT_TO[kind])


def _admit_delete(connection: sa.Connection, node: Node) -> None:
    if connection.execute(OPEN, {"of": node.generation}).first() is not None:
        _refuse_if(connection, node, _NOT_TO_DELETE, now=now())
        claims.supersede(connection, node.generation)
    if node.state is not NodeState.DELETING:
        move(connection, node.generation, node.state, NodeState.DELETING)


def _refuse_if(
    connection: sa.Connection, node: Node, blocking: sa.Select[Any], **given: Any
) -> None:
    kind = connection.execute(blocking, {"of": node.generation, **given}).scalar()
    if kind is not None:
        msg = f"another operation on {node.certname} is under way: {kind}"
        raise NodeBusy(msg)
