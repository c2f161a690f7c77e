"""Leaving nothing valid behind: how certificates that must not be are taken out of the world.

Whatever orders certificates can be killed anywhere.  The public key is in the ledger before the
CA hears of it, so ours can always be told from a stranger's, and nothing whose key is not in the
ledger is ever revoked or cleaned.  What our own call had signed for a stranger is there as well
(:meth:`espm.ports.Ledger.disown`)::

    our CSR waits?    -> withdrawn, so that nothing can be signed behind our back
    never signed?     -> void
    ours at the CA?   -> revoke, all of them at once
                      -> seen in the CRL, read once for all;  missing? -> healed, read again
                      -> clean -> revoked

What fails for one certificate does not stop the others.  Only one thread may be in here: Puppet
Server loses revocations that are ordered side by side.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from espm import x509
from espm.errors import (
    BackendError,
    BackendRefused,
    BackendSilent,
    CertnameTaken,
    causes,
)
from espm.model import Certificate, CertificateState, Certname, Issued, KeyMaker
from espm.proving import Case, Failures, noting, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from espm.ports import Ports

log = logging.getLogger(__name__)

Named = tuple[Certname, Certificate]
"""A certificate of the ledger, and the certname of the node whose it is."""


def settle(wanted: Iterable[Named], ports: Ports) -> Failures:
    """Leave none of *wanted* valid at the CA.  Idempotent.

    :returns: what is not settled yet, and why; the rest is void or revoked, and proved.
    """
    failures: Failures = {}
    cases: list[Case] = []
    for certname, certificate in wanted:
        with noting(failures, [certificate]):
            cases += _look(certname, certificate, ports)
    # A certificate that was renewed is found from the row of either.
    cases = list({case.certificate.ident: case for case in cases}.values())
    cases = _marked(cases, CertificateState.REVOKING, ports, failures)
    held = [case for case in cases if case.held]
    with noting(failures, [case.certificate for case in held]):
        if _revoke(held, ports, failures):
            cases = [replace(case, held=False) for case in cases]
    cases = [case for case in cases if case.certificate.ident not in failures]
    proved = [case for case in prove(cases, ports, failures) if _freed(case, ports, failures)]
    _marked(proved, CertificateState.REVOKED, ports, failures)
    return failures


def keep(
    certname: Certname, certificate: Certificate, allowed: Sequence[str], ports: Ports
) -> bool:
    """Return whether a certificate can stay: the node holds the key, and it is as asked for.

    One that was never signed becomes void, and stays as such.

    :param allowed: the extensions that the platform may ask for.
    """
    certificate, _ = _found(certname, certificate, ports)
    if certificate.issued is None:
        ports.ledger.mark(certificate, CertificateState.VOID)
        return True
    if certificate.key_maker is KeyMaker.ESPM or certificate.state is CertificateState.REVOKING:
        return False
    try:
        x509.check_issued(certificate.issued.pem.encode(), certname, allowed)
    except BackendRefused:
        return False
    return True


def turned_up(certname: Certname, void: Certificate, ports: Ports) -> list[Named]:
    """Return what the CA signed after all for the key of an order that was found void.

    A CA that hung may do late what it was told before.  A CSR of ours that waits is withdrawn.
    The node may have handed in the same CSR once more; what that led to stays.
    """
    _withdraw(certname, void, ports)
    held = _ours(certname, void, ports)
    if held is None or ports.ledger.has_successor(certname, void):
        return []
    return [(certname, ports.ledger.adopt(void, held))]


def _look(certname: Certname, certificate: Certificate, ports: Ports) -> list[Case]:
    """Return what is to be revoked of a certificate; more than one where it was renewed."""
    certificate, held = _found(certname, certificate, ports)
    known = certificate.issued
    if known is None:
        ports.ledger.mark(certificate, CertificateState.VOID)
        return []
    renewed = held is not None and held.serial != known.serial
    if renewed and ports.ledger.has_successor(certname, certificate):
        held, renewed = None, False
    cases = [Case(certname, certificate, known, held=held is not None and not renewed)]
    if held is not None and renewed:
        cases.append(Case(certname, ports.ledger.adopt(certificate, held), held, held=True))
    return cases


def _revoke(held: Sequence[Case], ports: Ports, failures: Failures) -> bool:
    """Order the certificates that the CA holds revoked; return whether it removed them, too."""
    names = list(dict.fromkeys(case.certname for case in held))
    # A single name gains nothing by clean, which loses revocations.
    if len(names) > 1 and ports.ca.can_clean() and _succeeds(ports.ca.clean_all, names):
        return True
    if names and not _succeeds(ports.ca.revoke, names):
        for case in held:
            with noting(failures, [case.certificate]):
                ports.ca.revoke([case.certname])
    return False


def _succeeds(order: Callable[[Sequence[Certname]], None], names: Sequence[Certname]) -> bool:
    """Give an order for many names; return whether it was carried out for all of them."""
    try:
        order(names)
    except BackendSilent:
        raise
    except BackendError as error:
        log.warning("%d revocations at once failed: %s", len(names), causes(error))
        return False
    return True


def _freed(case: Case, ports: Ports, failures: Failures) -> bool:
    """Free the name of a certificate that was seen in the CRL; return whether that was done."""
    # Looked at again, for what somebody signed by hand meanwhile is not ours to clean.
    with noting(failures, [case.certificate]):
        if case.held and _ours(case.certname, case.certificate, ports) == case.issued:
            ports.ca.clean(case.certname)
        return True
    return False


def _marked(
    cases: Sequence[Case], state: CertificateState, ports: Ports, failures: Failures
) -> list[Case]:
    """Move certificates on to *state*, all at once or else each that can be; return those."""
    if len(cases) > 1:
        try:
            moved = ports.ledger.mark_all([case.certificate for case in cases], state)
        except Exception as error:  # noqa: BLE001 - each by itself tells a bug from the rest
            log.warning("%d certificates at once: %s", len(cases), causes(error))
        else:
            pairs = zip(cases, moved, strict=True)
            return [replace(case, certificate=certificate) for case, certificate in pairs]
    found: list[Case] = []
    for case in cases:
        with noting(failures, [case.certificate]):
            found.append(replace(case, certificate=ports.ledger.mark(case.certificate, state)))
    return found


def _found(
    certname: Certname, certificate: Certificate, ports: Ports
) -> tuple[Certificate, Issued | None]:
    """Return the certificate as the ledger should know it, and what the CA holds of its key.

    Our CSR goes first: once it is away and no certificate is there, nothing of ours can be
    signed any more, but by a call of ours that the CA has heard and not yet done
    (:mod:`espm.vigil`).
    """
    if certificate.state is CertificateState.ORDERED:
        _withdraw(certname, certificate, ports)
    held = _held(certname, certificate, ports)
    if held is not None and not _is_ours(held, certificate):
        _tell_of_another(certname, certificate, held, ports)
        held = None
    if held is not None and certificate.issued is None:
        certificate = ports.ledger.record(certificate, held)
    return certificate, held


def _ours(certname: Certname, certificate: Certificate, ports: Ports) -> Issued | None:
    """Return what the CA holds for the name, if it is for the key of *certificate*."""
    held = _held(certname, certificate, ports)
    return held if held is not None and _is_ours(held, certificate) else None


def _held(certname: Certname, certificate: Certificate, ports: Ports) -> Issued | None:
    """Return what the CA holds for the name, likely *certificate*, if that can be read."""
    pem, known = ports.ca.certificate(certname), certificate.issued
    if known is not None and pem == known.pem.encode():
        return known
    with suppress(BackendRefused):
        return None if pem is None else x509.parse_certificate(pem)
    return None


def _is_ours(held: Issued, certificate: Certificate) -> bool:
    return held.key_sha256 == certificate.key_sha256


def _tell_of_another(
    certname: Certname, certificate: Certificate, held: Issued, ports: Ports
) -> None:
    """Log that the CA has signed another key than was ordered, unless that is being revoked."""
    if certificate.issued is not None:
        return
    standing = ports.ledger.certificates_of([certificate.generation])[certificate.generation]
    if held.serial not in {each.issued.serial for each in standing if each.issued is not None}:
        log.error("the CA signed another key for %s, serial %X", certname, held.serial)


def _withdraw(certname: Certname, certificate: Certificate, ports: Ports) -> None:
    waiting = ports.ca.request(certname)
    ours = waiting is not None and x509.csr_key_sha256(waiting) == certificate.key_sha256
    # Looked up last, for an order is in the ledger before the CA hears of it.
    if ours and not ports.ledger.has_successor(certname, certificate):
        # That it was signed meanwhile is no error: it is found and revoked as a certificate.
        with suppress(CertnameTaken):
            ports.ca.withdraw(certname)
