"""Leaving nothing valid behind: how a certificate that must not be is taken out of the world.

Whatever orders certificates can be killed anywhere.  The public key is in the ledger before the
CA hears of it, so ours can always be told from a stranger's, and nothing that is not ours by key
is ever revoked or cleaned::

    ours at the CA?  -> revoke -> seen in the CRL -> clean -> revoked
    not there?       -> our CSR withdrawn -> void
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from espm import x509
from espm.errors import RevocationUnproven
from espm.model import Certificate, CertificateState, KeyMaker

if TYPE_CHECKING:
    from espm.model import Certname, Issued, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)


def settle_all(node: Node, ports: Ports) -> None:
    """Leave nothing of the node's certificates valid at the CA.  Idempotent.

    :raises espm.errors.RevocationUnproven: the CRL does not show one that was revoked.
    """
    for certificate in ports.ledger.certificates(node):
        _settle(node.certname, certificate, ports)


def keep_or_settle(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    """Keep a certificate whose key the node holds; settle one whose key went with our answer."""
    if certificate.key_maker is KeyMaker.ESPM:
        _settle(certname, certificate, ports)
    elif certificate.state is CertificateState.ORDERED:
        held = _ours(certname, certificate, ports)
        if held is None:
            _void(certname, certificate, ports)
        else:
            ports.ledger.record(certificate, held)


def _settle(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    held = _ours(certname, certificate, ports)
    if certificate.state is CertificateState.ORDERED:
        if held is None:
            _void(certname, certificate, ports)
            return
        certificate = ports.ledger.record(certificate, held)
    certificate = ports.ledger.mark(certificate, CertificateState.REVOKING)
    if held is not None:
        ports.ca.revoke(certname)
    _prove(certname, certificate, ports)
    if held is not None:
        ports.ca.clean(certname)
    ports.ledger.mark(certificate, CertificateState.REVOKED)


def _ours(certname: Certname, certificate: Certificate, ports: Ports) -> Issued | None:
    """Return what the CA holds for the name, if it is for the key of *certificate*."""
    pem = ports.ca.certificate(certname)
    held = None if pem is None else x509.parse_certificate(pem)
    return held if held is not None and held.key_sha256 == certificate.key_sha256 else None


def _void(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    # An agent's own CSR stays where it is: the platform may still want it signed.
    if certificate.key_maker is not KeyMaker.AGENT:
        waiting = ports.ca.request(certname)
        if waiting is not None and x509.csr_key_sha256(waiting) == certificate.key_sha256:
            ports.ca.withdraw(certname)
    ports.ledger.mark(certificate, CertificateState.VOID)


def _prove(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    issued = certificate.issued
    if issued is None or not _in_crl(issued, ports):
        msg = (
            f"the CRL does not show the certificate of {certname} as revoked; it stays on "
            "espm's list until it does"
        )
        raise RevocationUnproven(msg)
    log.info("revoked %s serial %x, seen in the CRL", certname, issued.serial)


def _in_crl(issued: Issued, ports: Ports) -> bool:
    return x509.revoked(ports.ca.crl(), issued.pem.encode(), ports.ca.bundle())
