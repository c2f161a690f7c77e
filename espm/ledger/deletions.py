"""Deletions that are asked for at the same time, begun in one transaction.

Most of what it takes to begin one is what a transaction takes, and each statement; for many nodes
these are no more than for one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from espm.errors import BackendUnavailable, causes
from espm.ledger import certificates, claims, nodes
from espm.ledger.claims import now
from espm.ledger.engine import BUSY_SECONDS, translating
from espm.ledger.lists import listed
from espm.ledger.schema import among, intents, still_open
from espm.ledger.schema import nodes as table
from espm.ledger.statements import Statement
from espm.ledger.writer import Writer
from espm.model import IntentKind, NodeState
from espm.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.ledger.claims import Claimant
    from espm.model import Certificate, Intent, Node


log = logging.getLogger(__name__)


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


_OF = listed(table.c.generation, "of")
#: The active nodes :of that nobody else has locked, kept from others until the transaction ends.
ACTIVE = Statement(
    sa.select(table.c.generation, table.c.version)
    .where(_OF, among(table.c.state, [NodeState.ACTIVE]))
    # What another transaction works on is passed by: nobody is to wait for somebody else's node.
    .with_for_update(skip_locked=True)
)
#: Which of the nodes :of have an open intent.
BUSY = Statement(
    sa.select(intents.c.generation).where(listed(intents.c.generation, "of"), still_open)
)
#: The update of the nodes :of, which are locked.
MOVE = Statement(table.update().where(_OF))


class Deleting(Writer):
    """How deletions begin, for the ledger that is made of it."""

    def __init__(self, engine: sa.Engine, claimant: Claimant) -> None:
        super().__init__(engine, claimant)
        self._deleting = Together(self._begin_deletions, patience=BUSY_SECONDS)

    def begin_deletion(self, node: Node, *, request_id: str) -> Begun:
        """See :meth:`espm.ports.Ledger.begin_deletion`."""
        wish = Wish(node, request_id)
        with translating:
            begun = self._deleting.ask(wish)
        if begun is not None:
            return begun
        # Something is in its way, or has to make way.
        with self._claiming() as (connection, claimed):
            nodes.admit(connection, node, IntentKind.DELETE)
            (begun,) = _open(connection, self._claimant, [wish])
            claimed.append(begun.intent)
            return begun

    def _begin_deletions(self, wishes: Sequence[Wish]) -> Sequence[Begun | None]:
        """Begin those in whose way nothing is; None for one that is to be begun by itself."""
        try:
            with self._claiming() as (connection, claimed):
                begun = _begin_all(connection, self._claimant, wishes)
                claimed += [each.intent for each in begun if each is not None]
                return begun
        except BackendUnavailable:
            # It may have been committed.
            raise
        except Exception as error:
            if len(wishes) == 1:
                raise
            log.warning("%d deletions at once: %s", len(wishes), causes(error))
            return [None for _ in wishes]


def _begin_all(
    connection: sa.Connection, claimant: Claimant, wishes: Sequence[Wish]
) -> list[Begun | None]:
    """Begin the deletions in whose way nothing is; of several of one node, the first."""
    first = {wish.node.generation: wish for wish in reversed(wishes)}
    free = _free(connection, [wish.node for wish in first.values()])
    chosen = [wish for generation, wish in first.items() if generation in free]
    if not chosen:
        return [None for _ in wishes]
    moved = {"state": NodeState.DELETING, "updated_at": now()}
    MOVE.changed(connection, {"of": [*free], **moved})
    begun = {each.intent.generation: each for each in _open(connection, claimant, chosen)}
    return [begun.pop(wish.node.generation, None) for wish in wishes]


def _free(connection: sa.Connection, wanted: Sequence[Node]) -> set[int]:
    """Return which of *wanted* are as they are told, and have no open intent."""
    these = {"of": [node.generation for node in wanted]}
    active = {(row[0], row[1]) for row in ACTIVE.rows(connection, these)}
    busy = {row[0] for row in BUSY.rows(connection, these)}
    same = {node.generation for node in wanted if (node.generation, node.version) in active}
    return same - busy


def _open(connection: sa.Connection, claimant: Claimant, wishes: Sequence[Wish]) -> list[Begun]:
    """Add the intents, for nodes that are being deleted now."""
    opened = claims.insert(connection, claimant, wishes, IntentKind.DELETE)
    standing = certificates.outstanding(connection, [each.generation for each in opened])
    return [Begun(each, standing[each.generation]) for each in opened]
