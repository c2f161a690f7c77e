"""Deletions that are asked for at the same time, begun in one transaction.

Most of what it takes to begin one is what a transaction takes, and each statement; for many nodes
these are no more than for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from espm.ledger import certificates, claims
from espm.ledger.claims import now
from espm.ledger.lists import listed
from espm.ledger.schema import among, intents, nodes, still_open
from espm.model import IntentKind, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.ledger.claims import Claimant
    from espm.model import Certificate, Intent, Node


class Wish(NamedTuple):
    """A node that is to go, and the id of the request that says so."""

    node: Node
    request_id: str


class Begun(NamedTuple):
    """A deletion that has begun.

    :ivar standing: the certificates of the node that are ordered, valid or being revoked.
    """

    intent: Intent
    standing: Sequence[Certificate]


_OF = listed(nodes.c.generation, "of")
#: The active nodes :of, kept from others until the transaction ends.
ACTIVE = sa.select(nodes.c.generation, nodes.c.version).where(
    _OF, among(nodes.c.state, [NodeState.ACTIVE])
)
# In one order, so that two transactions never wait for each other.
ACTIVE = ACTIVE.order_by(nodes.c.generation).with_for_update()
#: Which of the nodes :of have an open intent.
BUSY = sa.select(intents.c.generation).where(listed(intents.c.generation, "of"), still_open)
#: The update of the nodes :of, which are locked.
MOVE = nodes.update().where(_OF)


def begin_all(
    connection: sa.Connection, claimant: Claimant, wishes: Sequence[Wish]
) -> list[Begun | None]:
    """Begin the deletions in whose way nothing is; None for each of the others.

    Of several wishes about one node the first counts.
    """
    first = {wish.node.generation: wish for wish in reversed(wishes)}
    free = _free(connection, [wish.node for wish in first.values()])
    chosen = [wish for generation, wish in first.items() if generation in free]
    begun = _begin(connection, claimant, chosen) if chosen else {}
    return [begun.pop(wish.node.generation, None) for wish in wishes]


def _free(connection: sa.Connection, wanted: Sequence[Node]) -> set[int]:
    """Return which of *wanted* are as they are told, and have no open intent."""
    these = {"of": [node.generation for node in wanted]}
    active = {(row[0], row[1]) for row in connection.execute(ACTIVE, these)}
    busy = set(connection.execute(BUSY, these).scalars())
    same = {node.generation for node in wanted if (node.generation, node.version) in active}
    return same - busy


def _begin(
    connection: sa.Connection, claimant: Claimant, chosen: Sequence[Wish]
) -> dict[int, Begun]:
    these = [wish.node.generation for wish in chosen]
    values = {"state": NodeState.DELETING, "updated_at": now()}
    connection.execute(MOVE, {"of": these, **values})
    begun = claims.insert_all(connection, claimant, chosen, IntentKind.DELETE)
    standing = certificates.outstanding(connection, these)
    return {each.generation: Begun(each, standing[each.generation]) for each in begun}
