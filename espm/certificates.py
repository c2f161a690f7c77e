"""The use cases of a node's certificate: issue, read, revoke.

How one is ordered is in :mod:`espm.ordering`; what an interruption leaves behind is taken back by
:mod:`espm.endings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import carrying, intents, ordering
from espm.errors import CertificateUnknown
from espm.model import IntentKind

if TYPE_CHECKING:
    from espm.model import Certificate, Certname, Job, Node, Platform
    from espm.ordering import Order
    from espm.ports import Ports

#: What a new certificate has to see settled first.
_CERTIFYING = (IntentKind.ISSUE, IntentKind.REVOKE)


def issue(
    platform: Platform, certname: Certname, order: Order, ports: Ports, *, request_id: str
) -> ordering.Delivery:
    """Get a certificate for a node that has none.

    Not idempotent: the second call is refused with CertificateExists.  When the answer is lost,
    a certificate for a node's own key can be read with :func:`find`; one for a key of ours is
    revoked, for the key is gone.

    :raises espm.errors.NodeUnknown: the platform has no such node.
    :raises espm.errors.Conflict: see its subclasses.
    :raises espm.errors.BackendError: nothing valid remains, or the open intent says what may.
    """
    own = ordering.check_order(order, certname, platform, ports)
    node = ports.ledger.node(platform.name, certname)
    carrying.settle_left(node, _CERTIFYING, ports)
    allowed = {"extensions": list(platform.limits.extensions)}
    intent = intents.begin(node, IntentKind.ISSUE, ports, request_id=request_id, payload=allowed)
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        ordering.refuse_certified(certname, ports)
        request = ordering.prepare(certname, order, own, platform, ports)
        bundle = ports.ca.bundle()
        ordered = ports.ledger.order(intent, *request.key)
        ordering.hand_in(certname, intent, request, ports)
        issued = ordering.sign(certname, intent, request, platform, ports)
        certificate = ports.ledger.record(ordered, issued)
        ports.ledger.close(intent)
    return ordering.Delivery(certificate, bundle, request.private_key)


def find(platform: Platform, certname: Certname, ports: Ports) -> Certificate:
    """Return the node's latest certificate, whatever its state.

    :raises espm.errors.NodeUnknown: the platform has no such node.
    :raises espm.errors.CertificateUnknown: the node never had one.
    """
    return _latest(ports.ledger.node(platform.name, certname), ports)


def revoke(
    platform: Platform,
    certname: Certname,
    ports: Ports,
    *,
    request_id: str,
    patience: float = carrying.PATIENCE,
) -> Job | None:
    """Revoke the node's certificate.  Idempotent.

    :param patience: seconds to wait for the end.
    :returns: None once the CRL shows it; else the job that goes on.
    :raises espm.errors.NodeUnknown: the platform has no such node.
    :raises espm.errors.CertificateUnknown: the node never had a certificate.
    :raises espm.errors.NodeBusy: a certificate is being issued.
    """
    node = ports.ledger.node(platform.name, certname)
    intent = carrying.nudge(node, [IntentKind.REVOKE], ports)
    if intent is None:
        carrying.settle_left(node, [IntentKind.ISSUE], ports)
        _latest(node, ports)
        if not ports.ledger.certificates(node):
            return None
        intent = intents.begin(node, IntentKind.REVOKE, ports, request_id=request_id)
        ports.carrier.carry(node, intent, ports)
    if ports.carrier.wait(intent, patience, ports):
        return None
    return ports.ledger.job(platform.name, intent.ident)


def _latest(node: Node, ports: Ports) -> Certificate:
    certificate = ports.ledger.certificate(node)
    if certificate is None or certificate.issued is None:
        msg = f"the node {node.certname} has no certificate"
        raise CertificateUnknown(msg)
    return certificate
