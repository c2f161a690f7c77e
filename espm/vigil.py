"""A second look at what was settled a short while ago.

Two things happen behind a proof.  Another tool that revokes by Puppet Server's ``clean`` may write
a CRL back that it read before ours was in it (reference facts on the CA, 0.1).  And a CA that hung
may do late what it was told before espm gave up: sign a CSR whose order is void by then.  So what
was revoked or found void is looked at again for a while, and put right.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from espm import metrics, settling
from espm.errors import BackendError, RevocationUnproven, causes
from espm.failfast import FailFast
from espm.model import CertificateState
from espm.proving import heal, noting, revocations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from espm.model import Certname, Issued, Revoked
    from espm.ports import Ports
    from espm.proving import Failures
    from espm.settling import Named
    from espm.x509 import Revocations

log = logging.getLogger(__name__)

#: Seconds between two looks.
EVERY = 10.0

#: For how many seconds something is looked at again; longer than a CA call takes at most.
WATCHED = 180.0

#: How many orders that were found void one look is for; a second at a CA that takes 5 ms a call.
MOST = 100


class Vigil:
    """Looks again, every now and then; for one thread, the one that revokes."""

    def __init__(self) -> None:
        self._next = time.monotonic()
        self._lost: frozenset[int] = frozenset()

    def look(self, ports: Ports) -> None:
        """Look at what is watched, if it is time; never raises what the CA or the ledger does."""
        if time.monotonic() < self._next:
            return
        try:
            asking = replace(ports, ca=FailFast(ports.ca))
            self._lost = look_again(WATCHED, asking, known=self._lost)
        except BackendError as error:
            log.warning("could not look again at what was revoked: %s", causes(error))
        finally:
            self._next = time.monotonic() + EVERY


def look_again(seconds: float, ports: Ports, *, known: Collection[int] = ()) -> frozenset[int]:
    """Put right what is not any more, or not yet, as the ledger says it is.

    :param seconds: for how long what is over is looked at again.
    :param known: serials that were lost at the last look, and are not to be counted once more.
    :returns: the serials that are lost, and could not be healed.
    :raises espm.errors.BackendError: the ledger can't be asked, or the CRL can't be had.
    """
    void: list[Named] = []
    strays: list[Named] = []
    for named in ports.ledger.watched(seconds):
        (void if named[1].state is CertificateState.VOID else strays).append(named)
    strays += _turned_up(_share(void), ports)
    for error in settling.settle(strays, ports).values():
        log.error("a certificate that is nobody's is not revoked yet: %s", causes(error))
    lost = restore(ports.ledger.revoked(seconds), ports, known=known)
    return frozenset(issued.serial for _, issued in lost)


def _share(void: list[Named]) -> list[Named]:
    """Return as many of *void* as one look is for; of more, others at the next one.

    Two calls for each keep those waiting who want to revoke.
    """
    if len(void) <= MOST:
        return void
    turn = int(time.monotonic() / EVERY) * MOST % len(void)
    return (void * 2)[turn : turn + MOST]


def _turned_up(void: Iterable[Named], ports: Ports) -> list[Named]:
    """Return what the CA has signed for *void* after all; one that can't be seen stops no other."""
    found: list[Named] = []
    failures: Failures = {}
    for certname, certificate in void:
        with noting(failures, [certificate]):
            found += settling.turned_up(certname, certificate, ports)
    if failures:
        first = causes(next(iter(failures.values())))
        log.warning(
            "%d orders that came to nothing could not be looked at again: %s", len(failures), first
        )
    return found


def restore(
    revoked: Revoked, ports: Ports, *, known: Collection[int] = ()
) -> list[tuple[Certname, Issued]]:
    """Heal those of *revoked* that the CRL has lost; return which are lost still.

    Thousands may be revoked in a short time, so of those that are as they should be nothing but
    the serial numbers is kept.

    :param known: serials of which it was counted before that they are lost.
    :raises espm.errors.BackendError: the CRL can't be had.
    """
    if not revoked.serials:
        return []
    named = (
        (certname, certificate.issued)
        for certname, certificate in revoked.named
        if certificate.issued is not None
    )
    # Read behind the ledger: what that says to be revoked was in the CRL before.
    lost = missing(named, revocations(ports, revoked.serials))
    if lost:
        metrics.LOST.inc(sum(issued.serial not in known for _, issued in lost))
        log.error(
            "the CRL has lost %d revocations that it had shown; see 'espm doctor revocations'",
            len(lost),
        )
        if heal(lost, ports):
            lost = missing(lost, revocations(ports, {issued.serial for _, issued in lost}))
    return lost


def missing(
    revoked: Iterable[tuple[Certname, Issued]], crl: Revocations
) -> list[tuple[Certname, Issued]]:
    """Return those of *revoked* that *crl* does not show, though they have not run out.

    One that no CA of today's signed is not among them: a CA that was made anew counts serials
    from the start, and to heal would revoke somebody else's certificate.
    """
    found = []
    for certname, issued in revoked:
        with suppress(RevocationUnproven):
            if not crl.end(issued):
                found.append((certname, issued))
    return found
