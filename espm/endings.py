"""How the life of a node ends, or what was begun with it is taken back; each safe to repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from espm import intents, settling
from espm.errors import NodeUnknown
from espm.model import IntentKind, NodeState

if TYPE_CHECKING:
    from espm.model import Certname, Intent, Node, Platform
    from espm.ports import Ports


def finish_add(node: Node, intent: Intent, ports: Ports) -> None:
    """Take back an ADD that nobody was told of, wherever it stopped.

    Where the ledger has the node active all the same, its answer was lost.
    """
    current = ports.ledger.node(node.platform, node.certname)
    if current.state is NodeState.ACTIVE:
        intent = ports.ledger.begin(current, IntentKind.DELETE, request_id="undo")
        finish_delete(current, intent, ports)
    else:
        finish_delete(ports.ledger.condemn(intent), intent, ports)


def finish_change(node: Node, intent: Intent, ports: Ports) -> None:
    """Take back a CHANGE that nobody was told of.

    The old classification gets a version beyond the one that may be in force already.  Where
    the ledger has the new one all the same, its answer was lost, and the change stands.
    """
    if ports.ledger.node(node.platform, node.certname).version != node.version:
        return
    restored = replace(node, version=node.version + 2)
    ports.classifier.classify(restored)
    ports.ledger.change(intent, node.classification, restored.version)


def finish_delete(node: Node, intent: Intent, ports: Ports) -> None:
    """End the life of a node: nothing valid, nothing classified, nothing pending.

    Without a certificate nobody can ask for its catalog, so there is nothing to withhold; and a
    name that turned out to be somebody else's is not withheld from them.
    """
    if ports.ledger.certificates(node):
        ports.classifier.withhold(node)
        settling.settle_all(node, ports)
    ports.classifier.forget(node)
    ports.ledger.bury(intent)


def finish_former_life(platform: Platform, certname: Certname, ports: Ports) -> None:
    """Carry on what was left of the platform's own node of that name; the name may be free then.

    Whether it worked is for the reservation to find out.
    """
    try:
        node = ports.ledger.node(platform.name, certname)
    except NodeUnknown:
        return
    left = ports.ledger.claim_left(node, tuple(_ENDING))
    intents.carry_on(left, _ENDING, ports)


#: What a change has to see settled first; a deletion supersedes whatever is left.
CHANGING = {IntentKind.CHANGE: finish_change}

#: What ends a life, so that the name can begin another.
_ENDING = {IntentKind.ADD: finish_add, IntentKind.DELETE: finish_delete}

FINISHERS = {**_ENDING, **CHANGING}
