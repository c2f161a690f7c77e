"""The use cases of a node's certificate: issue, read, revoke.

What an interruption leaves behind is taken back by :mod:`espm.endings`::

    order (key noted) -> submit -> sign -> key compared -> record
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm import carrying, intents, x509
from espm.errors import (
    BackendRefused,
    CertificateUnknown,
    CertnameTaken,
    CsrMismatch,
    CsrPending,
    CsrUnknown,
)
from espm.model import Certificate, IntentKind, KeyMaker
from espm.ports import ForOldAgents, Generating

if TYPE_CHECKING:
    from espm.model import Certname, Intent, Job, Node, Platform
    from espm.ports import Ports

log = logging.getLogger(__name__)

#: What a new certificate has to see settled first.
_CERTIFYING = (IntentKind.ISSUE, IntentKind.REVOKE)


@dataclass(frozen=True, slots=True)
class Order:
    """What the platform wants: a key and certificate of our making, or a CSR signed.

    :ivar csr: the CSR to sign (PEM); None lets espm make key and CSR.
    :ivar sign_pending: SHA-256 (lower-case hex) of the DER of the CSR that waits at the CA.
    :ivar replace_pending: remove another CSR of that name that waits first.
    """

    csr: bytes | None = None
    sign_pending: str | None = None
    replace_pending: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the platform gets; the private key exists nowhere else."""

    certificate: Certificate
    bundle: bytes
    private_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """A CSR on its way to the CA; *pem* is None when the CA has it already."""

    pem: bytes | None
    key_sha256: str
    key_maker: KeyMaker
    private_key: bytes | None = None


def check_order(order: Order, certname: Certname, platform: Platform, ports: Ports) -> None:
    """Return when the order's own CSR, if it brings one, may be signed.

    :raises espm.errors.InvalidCsr: it may not; says why.
    """
    if order.csr is not None:
        _check_csr(order.csr, certname, platform, ports)


def issue(
    platform: Platform, certname: Certname, order: Order, ports: Ports, *, request_id: str
) -> Delivery:
    """Get a certificate for a node that has none.

    Not idempotent: the second call is refused with CertificateExists.  When the answer is lost,
    a certificate for a node's own key can be read with :func:`find`; one for a key of ours is
    revoked, for the key is gone.

    :raises espm.errors.NodeUnknown: the platform has no such node.
    :raises espm.errors.Conflict: see its subclasses.
    :raises espm.errors.BackendError: nothing valid remains, or the open intent says what may.
    """
    check_order(order, certname, platform, ports)
    node = ports.ledger.node(platform.name, certname)
    carrying.settle_left(node, _CERTIFYING, ports)
    allowed = {"extensions": list(platform.limits.extensions)}
    intent = intents.begin(node, IntentKind.ISSUE, ports, request_id=request_id, payload=allowed)
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        delivery = obtain(node, intent, order, platform, ports)
        ports.ledger.close(intent)
    return delivery


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


def obtain(node: Node, intent: Intent, order: Order, platform: Platform, ports: Ports) -> Delivery:
    """Order, sign and record the certificate of *node* under the open *intent*.

    Whoever calls it takes back what it did when it raises.
    """
    if ports.ca.certificate(node.certname) is not None:
        msg = f"the CA holds a certificate for {node.certname} that espm did not order"
        raise CertnameTaken(msg)
    request = _request(node.certname, order, platform, ports)
    bundle = ports.ca.bundle()
    ports.ca.check_rights(node.certname)
    ordered = ports.ledger.order(intent, request.key_sha256, request.key_maker)
    pem = _signed(node.certname, request, ports)
    certificate = _record(ordered, pem, node.certname, platform, ports)
    return Delivery(certificate, bundle, request.private_key)


def _signed(certname: Certname, request: _Request, ports: Ports) -> bytes:
    """Return the certificate that the CA makes for *request*."""
    if request.private_key is not None and isinstance(ports.ca, Generating):
        return ports.ca.generate(certname, request.private_key)
    if request.pem is not None:
        ports.ca.submit(certname, request.pem)
    return ports.ca.sign(certname)


def _record(
    ordered: Certificate, pem: bytes, certname: Certname, platform: Platform, ports: Ports
) -> Certificate:
    """Note what the CA signed, and refuse it if it is not what was asked for.

    A CSR that waits at the CA is in nobody's safe: what was checked may not be what was signed.
    """
    issued = x509.parse_certificate(pem)
    if issued.key_sha256 != ordered.key_sha256:
        log.error("the CA signed another key for %s, serial %x", certname, issued.serial)
        msg = "the CA signed a CSR that is not the one handed in; see the log of espm"
        raise BackendRefused(msg)
    x509.check_issued(pem, certname, platform.limits.extensions)
    log.info("issued %s serial %x", certname, issued.serial)
    return ports.ledger.record(ordered, issued)


def _latest(node: Node, ports: Ports) -> Certificate:
    certificate = ports.ledger.certificate(node)
    if certificate is None or certificate.issued is None:
        msg = f"the node {node.certname} has no certificate"
        raise CertificateUnknown(msg)
    return certificate


def _request(certname: Certname, order: Order, platform: Platform, ports: Ports) -> _Request:
    if order.sign_pending is not None:
        return _pending(certname, order.sign_pending, platform, ports)
    if ports.ca.request(certname) is not None:
        _make_room(certname, ports, replace=order.replace_pending)
    if order.csr is not None:
        key_sha256 = _check_csr(order.csr, certname, platform, ports)
        return _Request(order.csr, key_sha256, KeyMaker.NODE)
    key = x509.new_key(ports.key_type)
    return _Request(
        x509.new_csr(certname, key),
        x509.key_sha256(key.public_key()),
        KeyMaker.ESPM,
        x509.key_pem(key),
    )


def _pending(certname: Certname, sha256: str, platform: Platform, ports: Ports) -> _Request:
    csr = ports.ca.request(certname)
    if csr is None:
        msg = f"no CSR for {certname} waits at the CA; the agent has to submit it first"
        raise CsrUnknown(msg)
    if x509.csr_der_sha256(csr) != sha256:
        msg = (
            f"the CSR for {certname} that waits at the CA is not the one named; compare the "
            "fingerprint on the instance itself"
        )
        raise CsrMismatch(msg)
    key_sha256 = _check_csr(csr, certname, platform, ports)
    return _Request(None, key_sha256, KeyMaker.NODE)


def _check_csr(csr: bytes, certname: Certname, platform: Platform, ports: Ports) -> str:
    """Return the SHA-256 of the key of a CSR that may be signed by this CA."""
    old = ports.ca.old_digests if isinstance(ports.ca, ForOldAgents) else ()
    return x509.check_csr(csr, certname, platform.limits.extensions, old)


def _make_room(certname: Certname, ports: Ports, *, replace: bool) -> None:
    if not replace:
        msg = (
            f"a CSR for {certname} waits at the CA; sign it with 'sign_pending', or say "
            '"replace_pending": true to remove it'
        )
        raise CsrPending(msg)
    ports.ca.withdraw(certname)
