"""Leaving nothing valid behind: how a certificate that must not be is taken out of the world.

Whatever orders certificates can be killed anywhere.  The public key is in the ledger before the
CA hears of it, so ours can always be told from a stranger's, and nothing that is not ours by key
is ever revoked or cleaned::

    our CSR waits?   -> withdrawn, so that nothing can be signed behind our back
    ours at the CA?  -> revoke -> seen in the CRL -> clean -> revoked
    never signed?    -> void
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from espm import x509
from espm.errors import BackendRefused, CertnameTaken, RevocationUnproven
from espm.model import Certificate, CertificateState, KeyMaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Certname, Issued, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)


def settle_all(node: Node, ports: Ports) -> None:
    """Leave nothing of the node's certificates valid at the CA.  Idempotent.

    :raises espm.errors.RevocationUnproven: the CRL does not show one that was revoked.
    """
    for certificate in ports.ledger.certificates(node):
        _settle(node.certname, certificate, ports)


def keep_or_settle(
    certname: Certname, certificate: Certificate, extensions: Sequence[str], ports: Ports
) -> None:
    """Keep a certificate whose key the node holds; settle one whose key went with our answer.

    :param extensions: what the platform may ask for; a certificate with more is settled, too.
    """
    certificate, _ = _look(certname, certificate, ports)
    if certificate.issued is None:
        ports.ledger.mark(certificate, CertificateState.VOID)
    elif certificate.key_maker is KeyMaker.ESPM or not _as_asked(
        certificate.issued, certname, extensions
    ):
        _settle(certname, certificate, ports)


def _as_asked(issued: Issued, certname: Certname, extensions: Sequence[str]) -> bool:
    try:
        x509.check_issued(issued.pem.encode(), certname, extensions)
    except BackendRefused:
        return False
    return True


def _settle(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    certificate, held = _look(certname, certificate, ports)
    known = certificate.issued
    if known is None:
        ports.ledger.mark(certificate, CertificateState.VOID)
        return
    certificate = ports.ledger.mark(certificate, CertificateState.REVOKING)
    if held is not None:
        ports.ca.revoke(certname)
        _prove(certname, held, ports)
    # The CA may hold another certificate of the same key by now, renewed or signed again.
    if held is None or held.serial != known.serial:
        _prove(certname, known, ports)
    # Looked at again, for what somebody signed by hand meanwhile is not ours to clean.
    if held is not None and _ours(certname, certificate, ports) == held:
        ports.ca.clean(certname)
    ports.ledger.mark(certificate, CertificateState.REVOKED)


def _look(
    certname: Certname, certificate: Certificate, ports: Ports
) -> tuple[Certificate, Issued | None]:
    """Return the certificate as the ledger should know it, and what the CA holds of its key.

    Our CSR goes first: once it is away and no certificate is there, nothing of ours can be
    signed any more, not even by a call of ours that the CA was slow to hear.
    """
    if certificate.state is CertificateState.ORDERED:
        _withdraw(certname, certificate, ports)
    held = _ours(certname, certificate, ports)
    if held is not None and certificate.issued is None:
        certificate = ports.ledger.record(certificate, held)
    return certificate, held


def _ours(certname: Certname, certificate: Certificate, ports: Ports) -> Issued | None:
    """Return what the CA holds for the name, if it is for the key of *certificate*.

    One whose key can't even be read is a stranger's.
    """
    pem = ports.ca.certificate(certname)
    held = None
    with suppress(BackendRefused):
        held = None if pem is None else x509.parse_certificate(pem)
    return held if held is not None and held.key_sha256 == certificate.key_sha256 else None


def _withdraw(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    waiting = ports.ca.request(certname)
    if waiting is not None and x509.csr_key_sha256(waiting) == certificate.key_sha256:
        # That it was signed meanwhile is no error: it is found and revoked as a certificate.
        with suppress(CertnameTaken):
            ports.ca.withdraw(certname)


def _prove(certname: Certname, issued: Issued, ports: Ports) -> None:
    if not x509.revoked(ports.ca.crl(), issued.pem.encode(), ports.ca.bundle()):
        msg = (
            f"the CRL does not show the certificate of {certname} with serial {issued.serial:X} "
            "as revoked; it stays on espm's list until it does"
        )
        raise RevocationUnproven(msg)
    log.info("revoked %s serial %x, seen in the CRL", certname, issued.serial)
