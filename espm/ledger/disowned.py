"""What our call had signed for a key that nobody has ordered: noted, so that its end is seen to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from espm.errors import NodeBusy
from espm.ledger import audit, certificate_lists, certificates, claims, nodes
from espm.model import IntentKind, KeyMaker, NodeState

if TYPE_CHECKING:
    import sqlalchemy as sa

    from espm.ledger.claims import Claimant
    from espm.model import Certificate, Intent, Issued, Node

#: Who asks for what nobody asked for.
REQUEST = "undo"


def disown(
    connection: sa.Connection, claimant: Claimant, intent: Intent, issued: Issued
) -> Certificate | None:
    """See :meth:`espm.ports.Ledger.disown`."""
    node = nodes.lock(connection, intent.generation)
    wanted = certificate_lists.orders(node.certname, issued.key_sha256)
    if connection.execute(wanted.limit(1)).first() is not None:
        return None
    noted, new = certificates.add_revoking(connection, node.generation, issued, KeyMaker.NODE)
    if new:
        audit.note_signed(connection, node, claims.request_of(connection, intent), issued)
    if node.state is NodeState.ACTIVE and claims.is_closed(connection, intent):
        _see_to_it(connection, claimant, node)
    return noted


def _see_to_it(connection: sa.Connection, claimant: Claimant, node: Node) -> None:
    """Have somebody revoke what stands of a node in force, now that whoever should is done."""
    with suppress(NodeBusy):
        nodes.admit(connection, node, IntentKind.REVOKE)
        (begun,) = claims.insert(connection, claimant, [(node, REQUEST)], IntentKind.REVOKE)
        claims.leave(connection, claimant, claims.Parting(begun, "", claims.now()))
