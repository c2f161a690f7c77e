"""The use cases of a node: add, change, read, delete.

Each is one function that knows no HTTP, no SQL and no program.  A node is classified before its
certificate is signed, so that a node which can talk to Puppet always has its catalog; on the way
back its catalog is withheld before its certificate is revoked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from espm import carrying, certificates, checking, endings, intents, limits
from espm.errors import (
    CertnameTaken,
    InvalidCertname,
    NodeBusy,
    NodeUnknown,
    VersionMismatch,
)
from espm.model import HEALING, IntentKind, Node, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.certificates import Delivery, Order
    from espm.model import Certname, Classification, Intent, Job, Platform
    from espm.ports import Ports

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A node as it is in force now, with what the platform should know about it."""

    node: Node
    warnings: tuple[str, ...] = ()
    delivery: Delivery | None = None


def add_node(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    ports: Ports,
    *,
    order: Order | None = None,
    request_id: str,
) -> Accepted:
    """Take on a node: reserve its name, classify it, get its certificate if ordered.

    All or nothing.  Of two calls for one name exactly one succeeds.

    :raises espm.errors.InvalidRequest: name, classification or CSR can't be accepted.
    :raises espm.errors.OutsideLimits: the platform may not.
    :raises espm.errors.Conflict: the name is taken, or its CSR is in the way.
    :raises espm.errors.BackendError: nothing remains, or the open intent says what may.
    """
    limits.permit(platform, certname, classification)
    _refuse_reserved(certname, ports)
    warnings = checking.check(platform, classification, ports)
    if order is not None:
        certificates.check_order(order, certname, platform, ports)
    _settle_former_life(platform, certname, ports)
    _refuse_classified(certname, ports)
    certificates.refuse_certified(certname, ports)
    if order is None:
        added, delivery = _add(platform, certname, classification, ports, request_id), None
    else:
        request = certificates.prepare(certname, order, platform, ports)
        added, delivery = _launch(platform, certname, classification, request, ports, request_id)
    log.info("added %s generation %d", certname, added.generation)
    return Accepted(added, warnings, delivery)


def _add(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    ports: Ports,
    request_id: str,
) -> Node:
    """Add a node without a certificate."""
    reserve = ports.ledger.reserve
    node, intent = reserve(certname, platform.name, classification, request_id=request_id)
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        ports.classifier.classify(node)
        return ports.ledger.activate(intent)


def _launch(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    request: certificates.Request,
    ports: Ports,
    request_id: str,
) -> tuple[Node, Delivery]:
    """Add a node with the certificate that is made of *request*.

    The CA takes the CSR before the node is classified, so that nobody else's node of that name
    ever gets this one's classification.
    """
    bundle, reserve = ports.ca.bundle(), ports.ledger.reserve
    node, intent = reserve(
        certname, platform.name, classification, request_id=request_id, key=request.key
    )
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        certificates.hand_in(certname, intent, request, ports)
        ports.classifier.classify(node)
        issued = certificates.sign(certname, intent, request, platform, ports)
        added, certificate = ports.ledger.fulfil(intent, issued)
    return added, certificates.Delivery(certificate, bundle, request.private_key)


def change_node(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    ports: Ports,
    *,
    if_match: Sequence[str] = (),
    request_id: str,
) -> Accepted:
    """Replace the classification of a node; in force at its next run.  Idempotent.

    :param if_match: entity tags of which one must be the node's; none means any.
    :raises espm.errors.NodeUnknown: the platform has no such node.
    :raises espm.errors.VersionMismatch: the node has another entity tag.
    :raises espm.errors.NodeBusy: it is being changed or deleted.
    """
    node = ports.ledger.node(platform.name, certname)
    _match(node, if_match)
    limits.permit(platform, certname, classification)
    warnings = checking.check(platform, classification, ports)
    carrying.settle_left(node, [IntentKind.CHANGE], ports)
    node = ports.ledger.node(platform.name, certname)
    _match(node, if_match)
    change, exact = IntentKind.CHANGE, bool(if_match)
    intent = intents.begin(node, change, ports, request_id=request_id, exact=exact)
    wanted = replace(node, classification=classification, version=node.version + 1)
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        ports.classifier.classify(wanted)
        changed = ports.ledger.change(intent, classification, wanted.version)
    log.info("changed %s to version %d", certname, changed.version)
    return Accepted(changed, warnings)


def find_node(platform: Platform, certname: Certname, ports: Ports) -> Node:
    """Return a node of the platform.

    :raises espm.errors.NodeUnknown: it has none of that name, whoever else may.
    """
    return ports.ledger.node(platform.name, certname)


def list_nodes(
    platform: Platform,
    ports: Ports,
    *,
    state: NodeState | None = None,
    after: Certname | None = None,
    limit: int = 100,
) -> Sequence[Node]:
    """Return up to *limit* nodes of the platform, by name, behind *after*."""
    return ports.ledger.page(platform.name, state=state, after=after, limit=limit)


def delete_node(
    platform: Platform,
    certname: Certname,
    ports: Ports,
    *,
    if_match: Sequence[str] = (),
    request_id: str,
    patience: float = carrying.PATIENCE,
) -> Job | None:
    """Retire a node: withhold its catalogs, revoke its certificate, forget it.

    Idempotent, also when the node is gone by an earlier call of the same platform.

    :param patience: seconds to wait for the end.
    :returns: None once the CRL shows the certificate; else the job that goes on, the catalogs
        withheld.
    :raises espm.errors.NodeUnknown: the platform never had such a node, or it was never added.
    :raises espm.errors.VersionMismatch: the node has another entity tag.
    :raises espm.errors.NodeBusy: another operation on it is under way.
    :raises espm.errors.BackendError: ENC or ledger are away; what was begun is carried on.
    """
    node = _not_yet_deleted(platform, certname, ports)
    if node is None:
        return None
    _match(node, if_match)
    exact = bool(if_match)
    try:
        intent = _begin_deletion(node, ports, request_id=request_id, exact=exact)
    except NodeBusy:
        # Another deletion may have been quicker.
        node = _not_yet_deleted(platform, certname, ports)
        if node is None:
            return None
        if node.state is not NodeState.DELETING:
            raise
        intent = _go_on(node, ports)
    if intent is None or ports.carrier.wait(intent, patience, ports):
        return None
    return ports.ledger.job(platform.name, intent.ident)


#: What ends the life of a node.
_DELETIONS = (IntentKind.DELETE, IntentKind.ADD)


def _begin_deletion(node: Node, ports: Ports, *, request_id: str, exact: bool) -> Intent | None:
    """Begin to delete a node, or go on with it; return the intent if that outlasts this call."""
    if node.state is NodeState.DELETING:
        return _go_on(node, ports)
    delete = IntentKind.DELETE
    intent = intents.begin(node, delete, ports, request_id=request_id, exact=exact)
    with intents.or_leave(intent, ports):
        if not endings.withhold(node, ports):
            endings.end(node, intent, ports)
            return None
    ports.carrier.carry(node, replace(intent, withheld=True), ports)
    return intent


def _go_on(node: Node, ports: Ports) -> Intent | None:
    """Go on with a deletion; whoever began it may not have come to withhold the catalogs."""
    endings.withhold(node, ports)
    return carrying.nudge(node, _DELETIONS, ports)


def _not_yet_deleted(platform: Platform, certname: Certname, ports: Ports) -> Node | None:
    """Return the platform's live node of that name, None if the platform has deleted it.

    :raises espm.errors.NodeUnknown: the platform never had one, or it was never added.
    """
    try:
        return ports.ledger.node(platform.name, certname)
    except NodeUnknown:
        if ports.ledger.was_deleted(platform.name, certname):
            return None
        raise


def _settle_former_life(platform: Platform, certname: Certname, ports: Ports) -> None:
    """Carry on what was left of the platform's own node of that name, so that the name is free.

    :raises espm.errors.NodeBusy: it is not yet; try again later.
    :raises espm.errors.CertnameTaken: that node is active.
    """
    try:
        node = ports.ledger.node(platform.name, certname)
    except NodeUnknown:
        return
    if node.state is NodeState.ACTIVE:
        # Said without a transaction, for one that writes keeps all others waiting.
        raise _taken(certname)
    carrying.settle_left(node, _DELETIONS, ports)


def _refuse_reserved(certname: Certname, ports: Ports) -> None:
    if certname in ports.reserved or certname.startswith(HEALING):
        msg = f"'{certname}' is the name of a Puppet server or of espm and never a node's"
        raise InvalidCertname(msg)


def _refuse_classified(certname: Certname, ports: Ports) -> None:
    """Ask the ENC before the name is reserved: what is reserved is forgotten there if need be.

    An ENC may keep no mark of who told it of a node, so it must not have had one before.
    """
    if ports.classifier.knows(certname):
        raise _taken(certname)


def _taken(certname: Certname) -> CertnameTaken:
    return CertnameTaken(f"the name {certname} is taken; choose another")


def _match(node: Node, if_match: Sequence[str]) -> None:
    if if_match and "*" not in if_match and node.etag not in if_match:
        msg = f"the node is at {node.etag} now; read it again and decide anew"
        raise VersionMismatch(msg)
