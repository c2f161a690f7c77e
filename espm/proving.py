"""Revoked means revoked: seen in the CRL that agents and servers get, or it does not count.

Puppet Server's bulk ``clean`` loses revocations that are ordered side by side, and answers 200
all the same (reference facts on the CA, 0.1).  So whatever was ordered is looked up, and what is
missing is healed: ordered once more in a way that needs no file of that name at the CA.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm import metrics
from espm.errors import RevocationUnproven, causes
from espm.x509 import Revocations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from espm.model import Certificate, Certname, Issued
    from espm.ports import Ports

log = logging.getLogger(__name__)

Failures = dict[int, Exception]
"""Why certificates could not be settled, by their ident in the ledger."""


@dataclass(frozen=True, slots=True)
class Case:
    """A certificate that is to go.

    :ivar issued: what was signed.
    :ivar held: whether the CA holds it, so that it can be revoked by name.
    """

    certname: Certname
    certificate: Certificate
    issued: Issued
    held: bool


def revocations(ports: Ports, serials: AbstractSet[int] | None = None) -> Revocations:
    """Return the CRL as it is now, vouched for by the CA.

    :param serials: what it will be asked for, if not for all.
    :raises espm.errors.BackendError: it can't be had or read.
    """
    pem = ports.ca.crl()
    found = Revocations(pem, ports.ca.bundle(), serials=serials)
    metrics.note_crl(len(pem), found.entries, found.next_update)
    return found


def prove(cases: Sequence[Case], ports: Ports, failures: Failures) -> list[Case]:
    """Return those of *cases* that nobody accepts any more; heal the others, and look again.

    :param failures: gets why the rest is not proved.
    """
    proved: list[Case] = []
    missing: list[Case] = []
    if cases:
        with noting(failures, [case.certificate for case in cases]):
            proved, missing = _split(cases, ports, failures)
    with noting(failures, [case.certificate for case in missing]):
        if missing and heal([(case.certname, case.issued) for case in missing], ports):
            more, missing = _split(missing, ports, failures)
            proved += more
    for case in missing:
        failures.setdefault(case.certificate.ident, _unproven(case))
    return proved


def heal(lost: Iterable[tuple[Certname, Issued]], ports: Ports) -> int:
    """Order certificates revoked that the CRL lacks; return for how many that could be done."""
    if not ports.ca.can_heal():
        return 0
    done = 0
    for certname, issued in lost:
        log.warning("healing %s serial %X: the CRL lacks it", certname, issued.serial)
        try:
            ports.ca.heal(certname, issued)
        except Exception as error:  # noqa: BLE001 - the others are to be healed all the same
            log.error("could not heal %s: %s", certname, causes(error))  # noqa: TRY400 - one line
        else:
            metrics.HEALED.inc()
            done += 1
    return done


@contextmanager
def noting(failures: Failures, certificates: Iterable[Certificate]) -> Iterator[None]:
    """Note what the block raises as the failure of each of *certificates*."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a bug stops these only, and whoever asks logs it
        failures.update((certificate.ident, error) for certificate in certificates)


def _split(
    cases: Sequence[Case], ports: Ports, failures: Failures
) -> tuple[list[Case], list[Case]]:
    """Return which of *cases* are proved and which are missing in the CRL."""
    found: tuple[list[Case], list[Case]] = ([], [])
    crl = revocations(ports, {case.issued.serial for case in cases})
    for case in cases:
        with noting(failures, [case.certificate]):
            found[not crl.end(case.issued)].append(case)
    return found


def _unproven(case: Case) -> RevocationUnproven:
    return RevocationUnproven(
        f"the CRL does not show the certificate of {case.certname} with serial "
        f"{case.issued.serial:X} as revoked; it stays on espm's list until it does"
    )
