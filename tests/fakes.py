"""Doubles of what is Puppet's, which the contract suites hold to the same contract as the real."""

from __future__ import annotations

import functools
import threading
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from espm.errors import BackendSilent, CertnameTaken, CsrPending, CsrUnknown, EspmError
from espm.model import SignedCertificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from espm.model import Certname, Issued

P = ParamSpec("P")
R = TypeVar("R")


def _faulty(method: Callable[P, R]) -> Callable[P, R]:
    """Let a test make *method* fail, before or after its effect, and see that it was called."""

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        ca: Any = args[0]
        name = method.__name__
        with ca.lock:
            ca.calls.append((name, *map(_shown, args[1:2])))
            if name in ca.fail_before:
                raise ca.fail_before[name]
            if ca.away or name in ca.late:
                ca.hear(name, functools.partial(method, *args, **kwargs))
            result = method(*args, **kwargs)
            if name in ca.fail_after:
                raise ca.fail_after[name]
            return result

    return wrapper


def _shown(argument: Any) -> str:
    """Return a certname as it is, and several joined by commas."""
    return argument if isinstance(argument, str) else ",".join(argument)


class FakeCa:
    """A CA in memory with real certificates; see :class:`espm.ports.CertificateAuthority`.

    :ivar autosign: whether a CSR is signed as soon as it is handed in.
    :ivar loses_revocations: whether the CRL lacks what is revoked from now on.
    :ivar clean_loses: likewise, what is revoked by cleaning many names at once.
    :ivar heals: whether many names are cleaned at once, and lost revocations can be healed.
    :ivar fail_before: by name of a method, the error it raises instead of doing anything.
    :ivar fail_after: likewise, the error it raises once it has done everything.
    :ivar overtaking: by certname, the CSR that takes the place of the one that waits, before that
        is signed: it was on its way already when the other was handed in.
    :ivar away: whether nothing is answered, and nothing done.
    :ivar late: names of methods that are not answered in time, and done by :meth:`catch_up`.
    :ivar signed: every certificate it ever signed.
    :ivar calls: name and certname of each call so far.
    :ivar ever: name and serial of every certificate so far, also of those that were cleaned.
    """

    old_digests: frozenset[str] = frozenset()

    def __init__(self, name: str = "Puppet CA: fake") -> None:
        self.autosign = False
        self.loses_revocations = False
        self.clean_loses = False
        self.heals = False
        self.fail_before: dict[str, Exception] = {}
        self.fail_after: dict[str, Exception] = {}
        self.overtaking: dict[str, bytes] = {}
        self.away = False
        self.late: set[str] = set()
        self.signed: list[bytes] = []
        self.calls: list[tuple[str, ...]] = []
        self.ever: list[tuple[str, int]] = []
        self._heard: list[Callable[[], object]] = []
        self.lock = threading.RLock()
        self.requests: dict[str, bytes] = {}
        self.issued: dict[str, bytes] = {}
        self.revoked: set[int] = set()
        self._serial = 1
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._bundle = self._issue(self._name, self._key.public_key(), ca=True)

    @_faulty
    def version(self) -> str:
        """Return the version this double is made after."""
        return "7.9.5"

    @_faulty
    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate of *certname*, if any."""
        return self.issued.get(certname)

    @_faulty
    def request(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname*, if any."""
        return self.requests.get(certname)

    @_faulty
    def check_rights(self, certname: Certname) -> None:
        """Return: a double lets everybody sign."""

    def about_to_sign(self, certname: Certname) -> AbstractContextManager[None]:
        """Note it only, for it never fails."""
        self.calls.append(("about_to_sign", certname))
        return nullcontext()

    @_faulty
    def submit(self, certname: Certname, csr: bytes) -> None:
        """Keep *csr*, and sign it when autosigning."""
        if certname in self.requests:
            raise CsrPending(certname)
        if certname in self.issued:
            raise CertnameTaken(certname)
        self.requests[certname] = csr
        if self.autosign:
            self._sign(certname)

    @_faulty
    def sign(self, certname: Certname, _csr: bytes | None = None) -> SignedCertificate:
        """Sign the CSR of *certname*, or the one that overtakes it."""
        by_us = certname in self.requests
        if by_us:
            self.requests[certname] = self.overtaking.pop(certname, self.requests[certname])
            self._sign(certname)
        if certname not in self.issued:
            raise CsrUnknown(certname)
        return SignedCertificate(self.issued[certname], by_us)

    @_faulty
    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname*; a certificate might be taken along."""
        if certname in self.issued:
            raise CertnameTaken(certname)
        self.requests.pop(certname, None)

    @_faulty
    def revoke(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates of *certnames*, where there are some."""
        for certname in certnames:
            if certname in self.issued:
                self._revoke(self.issued[certname])

    @_faulty
    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname*."""
        self.requests.pop(certname, None)
        self.issued.pop(certname, None)

    @_faulty
    def can_clean(self) -> bool:
        """Return whether a test wants it."""
        return self.heals

    @_faulty
    def clean_all(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates of *certnames*, or lose that, and remove them."""
        for certname in certnames:
            if certname in self.issued:
                self._revoke(self.issued.pop(certname), lost=self.clean_loses)

    @_faulty
    def can_heal(self) -> bool:
        """Return whether a test wants it."""
        return self.heals

    @_faulty
    def heal(self, certname: Certname, issued: Issued) -> None:
        """Revoke a certificate by its serial."""
        self.revoked.add(issued.serial)

    def _revoke(self, pem: bytes, *, lost: bool = False) -> None:
        if not (lost or self.loses_revocations):
            self.revoked.add(x509.load_pem_x509_certificate(pem).serial_number)

    def hear(self, name: str, call: Callable[[], object]) -> NoReturn:
        """Do not answer a call; if it is a late one, remember to do it."""
        if not self.away:
            self._heard.append(call)
        msg = f"the CA does not answer: {name}"
        raise BackendSilent(msg)

    @property
    def is_behind(self) -> bool:
        """Whether :meth:`catch_up` would do anything."""
        return bool(self._heard)

    def catch_up(self) -> int:
        """Do what was told and not answered; return how many calls that were."""
        with self.lock:
            heard, self._heard = self._heard, []
            for call in heard:
                with suppress(EspmError):
                    call()
            return len(heard)

    def renew(self, certname: str) -> bytes:
        """Sign the key of *certname* anew, as its agent can ask for; return the certificate."""
        with self.lock:
            old = x509.load_pem_x509_certificate(self.issued[certname])
            self.issued[certname] = self._issue(old.subject, old.public_key(), ca=False)
            return self.issued[certname]

    def sign_instead(self, certname: str, csr: bytes) -> bytes:
        """Have somebody remove what there is of *certname*, unrevoked, and sign another CSR."""
        with self.lock:
            self.requests[certname] = csr
            self._sign(certname)
            return self.issued[certname]

    @_faulty
    def crl(self) -> bytes:
        """Return the CRL."""
        now = datetime.now(UTC)
        listed = [
            x509.RevokedCertificateBuilder(serial, now).build() for serial in sorted(self.revoked)
        ]
        # Given all at once: the builder's own way to add one copies those that it has.
        builder = x509.CertificateRevocationListBuilder(
            self._name, now - timedelta(minutes=1), now + timedelta(days=1), [], listed
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @_faulty
    def bundle(self) -> bytes:
        """Return the CA's certificate."""
        return self._bundle

    def _sign(self, certname: str) -> None:
        csr = x509.load_pem_x509_csr(self.requests.pop(certname))
        self.ever.append((certname, self._serial))
        self.issued[certname] = self._issue(csr.subject, csr.public_key(), ca=False)

    def _issue(
        self, subject: x509.Name, key: Any, *, ca: bool, role: x509.ExtensionType | None = None
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key, self._serial)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if role is not None:
            builder = builder.add_extension(role, critical=False)
        self._serial += 1
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.signed.append(pem)
        return pem


def fail_for(ca: FakeCa, name: Certname, error: EspmError) -> None:
    """Let *ca* raise *error* when it is asked for the certificate of *name*."""
    real = ca.certificate

    def broken(certname: Certname) -> bytes | None:
        if certname == name:
            raise error
        return real(certname)

    ca.certificate = broken  # type: ignore[method-assign]
