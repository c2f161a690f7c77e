"""Making good what the replay found: revoke what is lost once more, finish what was left.

Only for who has the ledger to itself: two that revoke side by side lose what they revoke.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from espm import progress, proving, settling
from espm.check.finding import Finding, State
from espm.doctor.report import bounded
from espm.errors import BackendError, causes
from espm.failfast import FailFast
from espm.model import CertificateState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from espm.doctor.replay import Replayed
    from espm.ports import Ports
    from espm.settling import Named

BY_HAND = "or heal by hand, as docs/administration.md says under 'Revocations'"
_IMPOSSIBLE = (
    "with [ca] backend = http_api, name the CA's directory of signed certificates in signed_dir, "
    f"where espm's user must be able to write; from Puppet Server 8.2.2 on it needs none; {BY_HAND}"
)


def heal(found: Replayed, ports: Ports) -> Iterator[Finding]:
    """Order revoked what *found* has as lost, settle its strays; yield what went wrong.

    Says nothing about the CRL: look there afterwards.
    """
    ports = replace(ports, ca=FailFast(ports.ca))
    with _heard() as said:
        yield from _settled(found.strays, ports)
        gone = {certificate.ident for _, certificate in found.strays}
        yield from _healed([named for named in found.lost if named[1].ident not in gone], ports)
    yield from bounded("healing", State.WARN, said, "see what Puppet Server's log says")


def _settled(strays: Sequence[Named], ports: Ports) -> Iterator[Finding]:
    failures = settling.settle(strays, ports)
    whats = [
        f"{certname} is not settled: {causes(failures[certificate.ident])}"
        for certname, certificate in strays
        if certificate.ident in failures
    ]
    yield from bounded("healing", State.FAIL, whats, "mend that, and repeat this")


def _healed(lost: Sequence[Named], ports: Ports) -> Iterator[Finding]:
    # The ledger had to be told REVOKED by a proof, so each has been issued.
    issued = [
        (certname, certificate.issued)
        for certname, certificate in lost
        if certificate.issued and certificate.state is CertificateState.REVOKED
    ]
    if not issued:
        return
    try:
        if ports.ca.can_heal():
            proving.heal(progress.shown(issued, len(issued), "revocation"), ports)
        else:
            yield Finding("healing", State.FAIL, "espm can't heal here", _IMPOSSIBLE)
    except BackendError as error:
        what = f"espm could not begin to heal: {causes(error)}"
        yield Finding("healing", State.FAIL, what, "mend that, and repeat this")


class _Ear(logging.Handler):
    """Hears what those who work say of their failures, which else would be lines between ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what failed; that something is being healed is no news here."""
        if record.levelno >= logging.ERROR or record.name.startswith("espm.ca"):
            self.said.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield a list that gets what espm logs during the block, instead of standard error."""
    ear, logger = _Ear(), logging.getLogger("espm")
    logger.addHandler(ear)
    try:
        yield ear.said
    finally:
        logger.removeHandler(ear)
