"""Handing an intent over: what a request does when the rest is not its own to do.

Revocations are one thread's work (:mod:`espm.revoker`), so whoever needs one hands its intent
over, and waits for a while if it wants to know.  What needs no CA is done on the spot.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from espm import endings
from espm.errors import NodeBusy
from espm.model import IntentKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from espm.model import Intent, Node
    from espm.ports import Ports

#: Seconds that a request waits for what has to be over before it can answer or go on.
PATIENCE = 10.0


class AtOnce:
    """The carrier that works in its caller's thread: for tests, and for commands."""

    def carry(self, node: Node, intent: Intent, ports: Ports) -> None:
        """Carry *intent* on now; see :meth:`espm.ports.Carrier.carry`."""
        endings.finish_all([(node, intent)], ports)

    def wait(self, intent: Intent, _seconds: float, ports: Ports) -> bool:
        """Return whether *intent* is closed; nobody else works on it."""
        return ports.ledger.is_closed(intent)


def take_back(node: Node, intent: Intent, ports: Ports) -> None:
    """Take back an ADD, a CHANGE or an ISSUE that failed in its middle.

    Returns when that is done, or when it takes long; then it is carried on without us.
    """
    if not ports.ledger.certificates(node):
        endings.finish_all([(node, intent)], ports)
        return
    if intent.kind is IntentKind.ADD:
        # Condemned and withheld at once, however long the CA may take.
        node, intent, _ = endings.ENDINGS[intent.kind].prepare(node, intent, ports)
        intent = replace(intent, withheld=True)
    ports.carrier.carry(node, intent, ports)
    ports.carrier.wait(intent, PATIENCE, ports)


def settle_left(node: Node, kinds: Collection[IntentKind], ports: Ports) -> None:
    """Carry on what is left of *node*, so that a new operation finds it settled.

    :raises espm.errors.NodeBusy: it is not settled yet; try again later.
    """
    left = ports.ledger.claim_left(node, kinds)
    for current, intent in left:
        if intent.kind is IntentKind.CHANGE:
            endings.finish_all([(current, intent)], ports)
        else:
            ports.carrier.carry(current, intent, ports)
    for _, intent in left:
        if not ports.carrier.wait(intent, PATIENCE, ports):
            msg = f"an earlier operation on {node.certname} is not over yet: {intent.kind}"
            raise NodeBusy(msg)


def nudge(node: Node, kinds: Collection[IntentKind], ports: Ports) -> Intent | None:
    """Return the open intent of *kinds* of *node*, carried on now if it had been left."""
    for current, intent in ports.ledger.claim_left(node, kinds):
        ports.carrier.carry(current, intent, ports)
    return ports.ledger.open_intent(node, kinds)
