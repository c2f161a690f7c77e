"""A certificate on its way from the CA: what is ordered, handed in, signed and looked at.

::

    prepare ──> ordered (key noted) ──> hand_in ──> sign ──> key compared ──> recorded
                                          │                    └──> another: disowned, revoked
                                          │ the CA has a CSR or a certificate of that name
                                          └──> void: nothing of ours is there

Handing the CSR in also tells whether the name is free, so nothing but that is asked beforehand.
What an interruption leaves behind is taken back by :mod:`espm.endings`.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from espm import x509
from espm.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    Conflict,
    CsrMismatch,
    CsrPending,
    CsrUnknown,
    EspmError,
)
from espm.model import KeyMaker, OrderedKey, SignedCertificate
from espm.ports import Generating

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.model import Certificate, Certname, Intent, Issued, Platform
    from espm.ports import Ports

T = TypeVar("T")

log = logging.getLogger(__name__)


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
class Request:
    """A CSR on its way to the CA.

    :ivar pem: None when the CA has it already; *waits* is the SHA-256 of its DER then.
    :ivar key: its public key, for the ledger.
    :ivar replaces: whether another CSR of that name that waits is to be removed.
    """

    pem: bytes | None
    key: OrderedKey
    private_key: bytes | None = None
    replaces: bool = False
    waits: str = ""


def check_order(
    order: Order, certname: Certname, platform: Platform, ports: Ports
) -> OrderedKey | None:
    """Return the key of the order's own CSR, if it brings one, once that may be signed.

    :raises espm.errors.InvalidCsr: it may not; says why.
    """
    if order.csr is None:
        return None
    return OrderedKey(_check_csr(order.csr, certname, platform, ports), KeyMaker.NODE)


def refuse_certified(certname: Certname, ports: Ports) -> None:
    """Return when the CA holds no certificate of that name, valid or revoked.

    A CA may be configured to sign a name twice, so that it would not refuse the CSR.

    :raises espm.errors.CertnameTaken: it does.
    """
    if ports.ca.certificate(certname) is not None:
        msg = f"the name {certname} is taken: Puppet's CA holds a certificate of it"
        raise CertnameTaken(msg)


def prepare(
    certname: Certname, order: Order, own: OrderedKey | None, platform: Platform, ports: Ports
) -> Request:
    """Return the CSR that *order* leads to, checked; nothing is changed by that.

    :param own: what :func:`check_order` returned.
    :raises espm.errors.InvalidCsr: it may not be signed.
    :raises espm.errors.Conflict: the CSR that is to be signed does not wait at the CA.
    :raises espm.errors.BackendRefused: auth.conf does not allow espm to have it signed.
    """
    request = _request(certname, order, own, platform, ports)
    ports.ca.check_rights(certname)
    return request


def hand_in(certname: Certname, intent: Intent, request: Request, ports: Ports) -> None:
    """Give the CSR, whose key is in the ledger under *intent*, to the CA.

    One that the CA has already may have been exchanged before the name was ours, so it is looked
    at once more.  Whoever calls it takes back what it did when it raises.

    :raises espm.errors.CsrPending: another waits, and is not to be replaced.
    :raises espm.errors.CsrMismatch: another waits than the one to be signed.
    :raises espm.errors.CertnameTaken: the CA holds a certificate of that name.
    """
    if _generating(request, ports) is None:
        _offer(lambda: _hand_in(certname, request, ports), certname, intent, request, ports)


def _hand_in(certname: Certname, request: Request, ports: Ports) -> None:
    if request.pem is not None:
        ports.ca.submit(certname, request.pem)
        return
    # That it was signed meanwhile is no error: it is found when it is to be signed.
    with suppress(CsrUnknown):
        _waiting(certname, request.waits, ports)


def sign(
    certname: Certname, intent: Intent, request: Request, platform: Platform, ports: Ports
) -> Issued:
    """Have what was handed in signed, and refuse what is not what was asked for.

    A CSR that waits at the CA is in nobody's safe: what was checked may not be what was signed.

    :raises espm.errors.CsrPending: another has taken its place, and was not signed.
    :raises espm.errors.BackendUnavailable: another was signed by our call.
    :raises espm.errors.BackendRefused: another was signed, and it is not known by whom.
    """
    pem, by_us = _signed(certname, intent, request, ports)
    issued = x509.parse_certificate(pem)
    if issued.key_sha256 != request.key.sha256:
        raise _another(certname, intent, issued, ports, by_us=by_us)
    x509.check_issued(pem, certname, platform.limits.extensions)
    return issued


def _signed(
    certname: Certname, intent: Intent, request: Request, ports: Ports
) -> SignedCertificate:
    """Return the certificate that the CA makes for *request*."""
    generate = _generating(request, ports)
    if generate is not None:
        return _offer(lambda: generate(certname), certname, intent, request, ports)

    def sign_it() -> SignedCertificate:
        return ports.ca.sign(certname, request.pem)

    def sign_anew() -> SignedCertificate:
        _offer(lambda: _hand_in(certname, request, ports), certname, intent, request, ports)
        return sign_it()

    return _clearing(sign_it, sign_anew, certname, request, ports)


def _another(
    certname: Certname, intent: Intent, issued: Issued, ports: Ports, *, by_us: bool
) -> BackendError:
    """Return the error that a certificate of another key means, having seen to its end.

    What our call had signed is ours to revoke, though the key is not.  What others signed is not,
    and where that can't be told it is left to the administrator; the taking back logs it.
    """
    if not by_us:
        msg = "the CA signed a CSR that is not the one handed in; see the log of espm"
        return BackendRefused(msg)
    try:
        noted = ports.ledger.disown(intent, issued)
    except EspmError:
        log.error("the CA signed another key for %s, serial %X; not noted", certname, issued.serial)  # noqa: TRY400 - one line
        raise
    if noted is None:
        return BackendUnavailable("the CSR of another request was signed; try again")
    log.error("another CSR was signed for %s, serial %X; revoking it", certname, issued.serial)
    msg = "a CSR of somebody else was signed instead, and is being revoked; try again"
    return BackendUnavailable(msg)


def _generating(request: Request, ports: Ports) -> Callable[[Certname], SignedCertificate] | None:
    """Return how the CA's own command makes the certificate, if that is how it is made."""
    ca, key = ports.ca, request.private_key
    if key is None or not isinstance(ca, Generating):
        return None
    return lambda certname: ca.generate(certname, key)


def _offer(
    call: Callable[[], T], certname: Certname, intent: Intent, request: Request, ports: Ports
) -> T:
    """Make the *call* that lets the CA know of our key; make the order void when it says no.

    It says so because of what others have there, so nothing of ours is to be looked for.
    """
    try:
        return _clearing(call, call, certname, request, ports)
    except Conflict:
        ports.ledger.decline(intent)
        raise


def _clearing(
    call: Callable[[], T],
    again: Callable[[], T],
    certname: Certname,
    request: Request,
    ports: Ports,
) -> T:
    """Make the *call*; where another CSR may be removed that is in its way, call *again* then."""
    try:
        return call()
    except CsrPending as error:
        if not request.replaces:
            raise _in_the_way(certname) from error
        ports.ca.withdraw(certname)
        return again()


def _request(
    certname: Certname, order: Order, own: OrderedKey | None, platform: Platform, ports: Ports
) -> Request:
    if order.sign_pending is not None:
        return _pending(certname, order.sign_pending, platform, ports)
    if own is not None:
        return Request(order.csr, own, replaces=order.replace_pending)
    private = x509.new_key(ports.key_type)
    return Request(
        x509.new_csr(certname, private),
        OrderedKey(x509.key_sha256(private.public_key()), KeyMaker.ESPM),
        x509.key_pem(private),
        replaces=order.replace_pending,
    )


def _pending(certname: Certname, sha256: str, platform: Platform, ports: Ports) -> Request:
    key_sha256 = _check_csr(_waiting(certname, sha256, ports), certname, platform, ports)
    return Request(None, OrderedKey(key_sha256, KeyMaker.NODE), waits=sha256)


def _waiting(certname: Certname, sha256: str, ports: Ports) -> bytes:
    """Return the CSR that waits at the CA, if it is the one with that SHA-256."""
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
    return csr


def _check_csr(csr: bytes, certname: Certname, platform: Platform, ports: Ports) -> str:
    """Return the SHA-256 of the key of a CSR that may be signed by this CA."""
    return x509.check_csr(csr, certname, platform.limits.extensions, ports.ca.old_digests)


def _in_the_way(certname: Certname) -> CsrPending:
    return CsrPending(
        f"a CSR for {certname} waits at the CA; sign it with 'sign_pending', or say "
        '"replace_pending": true to remove it'
    )
