"""The whole ledger against the CRL: which certificates must not be accepted, and which still are.

One pass, a few hundred rows at a time: of a certificate that is as it should be nothing is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from espm import progress
from espm.check.own import SOON
from espm.errors import RevocationUnproven
from espm.model import CertificateState
from espm.proving import revocations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Certificate, Certname, Issued
    from espm.ports import Ports
    from espm.settling import Named
    from espm.x509 import Revocations

#: Nothing is to be done about these any more, as far as the ledger knows.
_OVER = frozenset({CertificateState.REVOKED, CertificateState.VOID})


@dataclass
class Replayed:
    """What the ledger has, held against the CRL.

    :ivar strays: certificates that still stand although the life of their node is over.
    :ivar looked_at: how many certificates there are.
    :ivar ended: of how many the ledger says that nobody may accept them.
    :ivar lost: which of these the CRL does not show.
    :ivar foreign: which of these are of a CA that is not this one.
    :ivar ending: certificates in use that run out soon, or have.
    :ivar holders: the generations of the nodes that have one.
    """

    strays: Sequence[Named] = ()
    looked_at: int = 0
    ended: int = 0
    lost: list[Named] = field(default_factory=list)
    foreign: list[Named] = field(default_factory=list)
    ending: list[tuple[Certname, Issued]] = field(default_factory=list)
    holders: set[int] = field(default_factory=set)


def replay(ports: Ports) -> Replayed:
    """Return how it is with every certificate of the ledger; changes nothing.

    While the daemon revokes, the ledger is ahead of the CRL that was read before it; so what
    seems lost is looked for in a CRL that is read afterwards.

    :raises espm.errors.BackendError: the CRL can't be had.
    """
    crl = revocations(ports)
    found = Replayed(strays(ports))
    gone = {certificate.ident for _, certificate in found.strays}
    soon = datetime.now(UTC) + SOON
    suspects = []
    total = ports.ledger.certificate_count()
    for named in progress.shown(ports.ledger.all_certificates(), total, "certificate"):
        found.looked_at += 1
        certificate = named[1]
        if certificate.state is CertificateState.REVOKED or certificate.ident in gone:
            found.ended += certificate.issued is not None
            suspects += [] if _is_over(certificate, crl) else [named]
        elif certificate.state not in _OVER:
            _note_standing(found, named, soon)
    found.lost, found.foreign = sort_out(suspects, ports)
    return found


def strays(ports: Ports) -> list[Named]:
    """Return the certificates that still stand although the life of their node is over."""
    return [named for named in ports.ledger.watched(0) if named[1].state not in _OVER]


def sort_out(suspects: Sequence[Named], ports: Ports) -> tuple[list[Named], list[Named]]:
    """Return which of *suspects* the CRL, as it is now, lacks: of this CA, and of another one.

    :raises espm.errors.BackendError: the CRL can't be had.
    """
    found: tuple[list[Named], list[Named]] = ([], [])
    crl = revocations(ports) if suspects else None
    for named in progress.shown(suspects, len(suspects), "suspect"):
        issued = named[1].issued
        if crl and issued and not _is_over(named[1], crl):
            found[crl.foreign(issued)].append(named)
    return found


def _note_standing(found: Replayed, named: Named, soon: datetime) -> None:
    certname, certificate = named
    found.holders.add(certificate.generation)
    issued = certificate.issued
    if issued and certificate.state is CertificateState.VALID and issued.not_after < soon:
        found.ending.append((certname, issued))


def _is_over(certificate: Certificate, crl: Revocations) -> bool:
    """Return whether nobody accepts it, as far as the CRL tells."""
    if certificate.issued is None:
        return True
    try:
        return crl.end(certificate.issued)
    except RevocationUnproven:
        return False
