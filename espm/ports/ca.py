"""What we need of Puppet's CA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from espm.model import Certname, Issued, SignedCertificate


class CertificateAuthority(Protocol):
    """The Puppet CA, whichever way we reach it.

    Every method raises :exc:`~espm.errors.BackendUnavailable` when the CA does not answer in
    time or not sensibly, and :exc:`~espm.errors.BackendRefused` when it says no; other errors
    are named where they occur.  PEM is bytes.

    :ivar old_digests: what agents sign CSRs with that are too old for SHA-2: ``md5``, ``sha1``.
    """

    old_digests: frozenset[str]

    def version(self) -> str:
        """Return the version of the server that runs the CA, for example ``7.9.5``."""

    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, valid or revoked, if any."""

    def request(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname* that waits at the CA, if any."""

    def check_rights(self, certname: Certname) -> None:
        """Return when we may sign *certname*, as far as that can be known beforehand.

        What can't be signed can't be withdrawn either, so this comes before :meth:`submit`.

        :raises espm.errors.BackendRefused: we may not.
        """

    def about_to_sign(self, certname: Certname) -> AbstractContextManager[None]:
        """Let the CA get ready for :meth:`sign`, which this thread calls in the block.

        Nothing is signed without that call, and nothing raised because of this one.
        """

    def submit(self, certname: Certname, csr: bytes) -> None:
        """Hand in *csr* as an agent would.

        :raises espm.errors.CsrPending: a CSR of that name waits already.
        :raises espm.errors.CertnameTaken: the CA holds a certificate of that name.
        """

    def sign(self, certname: Certname, csr: bytes | None = None, /) -> SignedCertificate:
        """Have the CSR that waits signed and return the certificate.

        Fine when the CA has signed it meanwhile (autosign).  A CA may let another CSR, which came
        at the same moment, take the place of the one that was handed in, and sign that: the key
        tells.

        :param csr: what was handed in, where that was our doing.
        :raises espm.errors.CsrPending: another was seen in its place in time, and not signed.
        :raises espm.errors.CsrUnknown: no CSR waits and no certificate exists.
        """

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits.  Idempotent.

        :raises espm.errors.CertnameTaken: the CA holds a certificate of that name, which the
            removal might take along unrevoked.
        """

    def revoke(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates the CA holds for *certnames*; the files stay.

        Idempotent; fine where there is none.  Says nothing about the CRL: look there.
        """

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free.

        Idempotent.  Call it only after the revocation was seen in the CRL.
        """

    def crl(self) -> bytes:
        """Return the CRLs (concatenated PEM) that nodes and servers are given."""

    def bundle(self) -> bytes:
        """Return the CA certificates (concatenated PEM) that a node must trust."""

    # A server may write its CRL without a lock (reference facts on the CA, 0.1), so never two of
    # the next calls at a time, nor one of them beside revoke().

    def can_clean(self) -> bool:
        """Return whether :meth:`clean_all` is there, allowed, and what it loses can be healed."""

    def clean_all(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates of *certnames* and remove them, all at once.

        Idempotent; fine where there is none.  May lose revocations: look into the CRL, and
        :meth:`heal` what is missing.
        """

    def can_heal(self) -> bool:
        """Return whether :meth:`heal` has what it needs."""

    def heal(self, certname: Certname, issued: Issued) -> None:
        """Revoke a certificate of *certname* that the CA may not hold any more, and no other.

        Idempotent.  Says nothing about the CRL: look there.
        """


@runtime_checkable
class Generating(Protocol):
    """A CA whose own command makes the certificates for keys that espm has made."""

    def generate(self, certname: Certname, key: bytes) -> SignedCertificate:
        """Have a certificate made for the private *key* (PEM) and return it.

        What an interruption leaves, a CSR or a certificate of that key, is found as after
        :meth:`CertificateAuthority.submit`.

        :raises espm.errors.CsrPending: a CSR of that name waits already.
        :raises espm.errors.CertnameTaken: the CA holds a certificate of that name.
        """
