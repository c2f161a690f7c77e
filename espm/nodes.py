"""The use cases of a node: add, change, read, delete.

Each is one function that knows no HTTP, no SQL and no program.  A node is classified before its
certificate is signed, so that a node which can talk to Puppet always has its catalog; on the way
back its catalog is withheld before its certificate is revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from espm import adding, carrying, checking, endings, intents, limits, ordering
from espm.errors import (
    NodeBusy,
    NodeUnknown,
    VersionMismatch,
)
from espm.model import IntentKind, Job, JobState, Node, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Certname, Classification, Platform
    from espm.ordering import Delivery, Order
    from espm.ports import Ports


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
    adding.refuse_reserved(certname, ports)
    warnings = checking.check(platform, classification, ports)
    own = None if order is None else ordering.check_order(order, certname, platform, ports)
    adding.check_free(platform, certname, ports)
    if order is None:
        added, delivery = adding.add(platform, certname, classification, ports, request_id), None
    else:
        wanted = ordering.prepare(certname, order, own, platform, ports)
        added, delivery = adding.launch(
            platform, certname, classification, wanted, ports, request_id
        )
    return Accepted(added, warnings, delivery)


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
        job = _begin_deletion(node, ports, request_id=request_id, exact=exact)
    except NodeBusy:
        # Another deletion may have been quicker.
        node = _not_yet_deleted(platform, certname, ports)
        if node is None:
            return None
        if node.state is not NodeState.DELETING:
            raise
        job = _go_on(node, ports)
    if job is None or ports.carrier.wait(job.intent, patience, ports):
        return None
    return ports.ledger.job(platform.name, job.intent.ident) if patience else job


def _begin_deletion(node: Node, ports: Ports, *, request_id: str, exact: bool) -> Job | None:
    """Begin to delete a node, or go on with it; return the job if that outlasts this call."""
    if node.state is NodeState.DELETING:
        return _go_on(node, ports)
    intent, standing = intents.begin_deletion(node, ports, request_id=request_id, exact=exact)
    with intents.or_leave(intent, ports):
        endings.withhold(node, standing, ports)
        if not standing:
            endings.end(node, intent, ports)
            return None
    ports.carrier.carry(node, replace(intent, withheld=True), ports)
    running, deleting = JobState.RUNNING, NodeState.DELETING
    return Job(intent, node.certname, running, deleting, tuple(standing))


def _go_on(node: Node, ports: Ports) -> Job | None:
    """Go on with a deletion; whoever began it may not have come to withhold the catalogs."""
    endings.withhold(node, ports.ledger.certificates(node), ports)
    intent = carrying.nudge(node, endings.DELETIONS, ports)
    return None if intent is None else ports.ledger.job(node.platform, intent.ident)


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


def _match(node: Node, if_match: Sequence[str]) -> None:
    if if_match and "*" not in if_match and node.etag not in if_match:
        msg = f"the node is at {node.etag} now; read it again and decide anew"
        raise VersionMismatch(msg)
