"""How what was begun is carried on to its end, many at a time; each step safe to repeat.

An ADD and a CHANGE are taken back, for nobody was told that they worked; a REVOKE and a DELETE
are finished; an ISSUE is finished where the node holds the key, else taken back.  Each has two
halves, for in between the certificates of all of them are settled together::

    prepare ──> settle (withdraw, revoke, prove, clean) ──> conclude ──> closed
        │ error               │ error                           │ error
        └─────────────────────┴─────────────────────────────────┴──> left, to be tried again
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from espm import intents, settling
from espm.errors import causes
from espm.failfast import FailFast
from espm.model import Certificate, Intent, IntentKind, Node, NodeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from espm.ports import Ports

log = logging.getLogger(__name__)

#: What ends the life of a node.
DELETIONS = (IntentKind.DELETE, IntentKind.ADD)


class Prepared(NamedTuple):
    """An intent whose certificates are to be settled.

    :ivar intent: under which it is concluded.
    """

    node: Node
    intent: Intent
    certificates: Sequence[Certificate]


@dataclass(frozen=True, slots=True)
class Ending:
    """How one kind of intent is carried on.

    :ivar conclude: None where the life of the node ends with it.
    """

    prepare: Callable[[Node, Intent, Ports], Prepared]
    conclude: Callable[[Node, Intent, Ports], object] | None = None


def finish_all(claimed: Iterable[tuple[Node, Intent]], ports: Ports) -> list[Exception]:
    """Carry each of *claimed* on to its end; return the error of each that had to be left.

    A CA that falls silent is asked no further: the rest is left at once.
    """
    ports = replace(ports, ca=FailFast(ports.ca))
    errors: list[Exception] = []
    ready = _prepare_all(list(claimed), errors, ports)
    wanted = [(node.certname, each) for node, _, standing in ready for each in standing]
    failures = settling.settle(wanted, ports)
    over: list[tuple[Node, Intent]] = []
    for node, intent, standing in ready:
        with intents.leaving(intent, errors, ports):
            for failure in filter(None, (failures.get(each.ident) for each in standing)):
                raise failure
            conclude = ENDINGS[intent.kind].conclude
            if conclude is None:
                over.append((node, intent))
            else:
                conclude(node, intent, ports)
    _end_all(over, errors, ports)
    return errors


def _prepare_all(
    claimed: Sequence[tuple[Node, Intent]], errors: list[Exception], ports: Ports
) -> list[Prepared]:
    """Prepare each that can be; where the catalogs are withheld, only certificates are wanted."""
    found: Mapping[int, Sequence[Certificate]] = {}
    try:
        withheld = [node.generation for node, intent in claimed if intent.withheld]
        found = ports.ledger.certificates_of(withheld)
    except Exception as error:  # noqa: BLE001 - each by itself tells a bug from the rest
        log.warning("the certificates of %d nodes at once: %s", len(claimed), causes(error))
    ready = []
    for node, intent in claimed:
        with intents.leaving(intent, errors, ports):
            if node.generation in found:
                ready.append(Prepared(node, intent, found[node.generation]))
            elif intent.withheld:
                ready.append(Prepared(node, intent, ports.ledger.certificates(node)))
            else:
                ready.append(ENDINGS[intent.kind].prepare(node, intent, ports))
    return ready


def _end_all(over: Sequence[tuple[Node, Intent]], errors: list[Exception], ports: Ports) -> None:
    """End the lives of nodes, all at once or else each that can be."""
    if len(over) > 1:
        try:
            _end(over, ports)
        except Exception as error:  # noqa: BLE001 - each by itself tells a bug from the rest
            log.warning("%d nodes at once: %s", len(over), causes(error))
        else:
            return
    for node, intent in over:
        with intents.leaving(intent, errors, ports):
            end(node, intent, ports)


def end(node: Node, intent: Intent, ports: Ports) -> None:
    """End the life of a node that has nothing valid any more: forget it, close the intent."""
    _end([(node, intent)], ports)


def _end(over: Sequence[tuple[Node, Intent]], ports: Ports) -> None:
    ports.classifier.forget(*(node for node, _ in over))
    ports.ledger.bury(*(intent for _, intent in over))


def withhold(node: Node, standing: Sequence[Certificate], ports: Ports) -> None:
    """Withhold the catalogs of a node that is to go.

    Without a certificate nobody can ask for its catalog, so there is nothing to withhold; and a
    name that turned out to be somebody else's is not withheld from them.

    :param standing: its certificates that are ordered, valid or being revoked.
    """
    if standing:
        ports.classifier.withhold(node)


def _prepare_delete(node: Node, intent: Intent, ports: Ports) -> Prepared:
    standing = ports.ledger.certificates(node)
    withhold(node, standing, ports)
    return Prepared(node, intent, standing)


def _prepare_add(node: Node, intent: Intent, ports: Ports) -> Prepared:
    """Condemn the node; where the ledger has it active all the same, its answer was lost.

    Somebody else may have taken the ADD over and ended it; the name can have another node then.
    """
    current = ports.ledger.node(node.platform, node.certname)
    if current.state is NodeState.ACTIVE and current.generation == node.generation:
        intent = _undo(current, IntentKind.DELETE, intent, ports)
    else:
        current = ports.ledger.condemn(intent)
    return _prepare_delete(current, intent, ports)


def _undo(node: Node, kind: IntentKind, done: Intent, ports: Ports) -> Intent:
    """Begin to take back what was *done* in the ledger, though nobody was told so."""
    for _, left in ports.ledger.claim_left(node, [kind]):
        return left
    return ports.ledger.begin(node, kind, request_id="undo", undoes=done)


def _prepare_issue(node: Node, intent: Intent, ports: Ports) -> Prepared:
    """Keep what the node can use; while the intent is open, its certificates are of its order.

    Where the ledger has it closed all the same, its answer was lost; what can't be kept needs an
    intent of its own then, or nobody would carry it on.
    """
    allowed = intent.payload["extensions"]
    standing = [
        each
        for each in ports.ledger.certificates(node)
        if not settling.keep(node.certname, each, allowed, ports)
    ]
    if standing and ports.ledger.is_closed(intent):
        current = ports.ledger.node(node.platform, node.certname)
        intent = _undo(current, IntentKind.REVOKE, intent, ports)
    return Prepared(node, intent, standing)


def _prepare_revoke(node: Node, intent: Intent, ports: Ports) -> Prepared:
    return Prepared(node, intent, ports.ledger.certificates(node))


def _prepare_change(node: Node, intent: Intent, _: Ports) -> Prepared:
    return Prepared(node, intent, ())


def _conclude_change(node: Node, intent: Intent, ports: Ports) -> None:
    """Take back a CHANGE.

    The old classification gets a version beyond the one that may be in force already.  Where
    the ledger has the new one all the same, its answer was lost, and the change stands.
    """
    if ports.ledger.node(node.platform, node.certname).version != node.version:
        ports.ledger.close(intent)
        return
    restored = replace(node, version=node.version + 2)
    ports.classifier.classify(restored)
    ports.ledger.change(intent, node.classification, restored.version)


def _close(node: Node, intent: Intent, ports: Ports) -> None:
    ports.ledger.close(intent)
    log.info("carried on: %s of %s", intent.kind, node.certname)


ENDINGS = {
    IntentKind.ADD: Ending(_prepare_add),
    IntentKind.CHANGE: Ending(_prepare_change, _conclude_change),
    IntentKind.ISSUE: Ending(_prepare_issue, _close),
    IntentKind.REVOKE: Ending(_prepare_revoke, _close),
    IntentKind.DELETE: Ending(_prepare_delete),
}
