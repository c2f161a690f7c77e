"""Whether certificates are revoked, as the CRL that agents and servers are given tells it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from espm.errors import BackendRefused, RevocationUnproven
from espm.x509.certificate import certificates
from espm.x509.signatures import signed_by
from espm.x509.unreadable import UNREADABLE, readable

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from espm.model import Issued

# One that broke off is found as well, and cannot be read then.
_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----[^-]*(?:-----END X509 CRL-----)?")

_READABLE = readable(BackendRefused, "the CA gave a CRL that cannot be read")

#: Nobody's clock is further behind than this, so a certificate that ran out longer ago is dead.
CLOCKS = timedelta(days=1)


class Revocations:
    """The CRLs of a CA, read once and asked often.

    :param pem: one or more CRLs.
    :param bundle: the CA certificates; when given, a CRL that none of them signed is ignored.
    :param serials: what will be asked for, where that is known: a CRL may list very many others,
        and they are not kept then.
    :raises espm.errors.BackendRefused: a certificate or a CRL cannot be read.
    :ivar entries: how many there are in the CRLs.
    :ivar next_update: until when the CRLs are good, the first that ends; None if none says it.
    """

    def __init__(
        self,
        pem: bytes,
        bundle: bytes | None = None,
        *,
        serials: AbstractSet[int] | None = None,
    ) -> None:
        crls = _crls(pem)
        self._cas = [] if bundle is None else certificates(bundle)
        if bundle is not None:
            crls = [crl for crl in crls if any(signed_by(crl, ca) for ca in self._cas)]
        # One look-up in the CRL goes through all of it; a set is made once and asked for nothing.
        self._known = [(crl.issuer, _key_of(crl), _listed(crl, serials)) for crl in crls]
        self._asked = serials
        self.entries = sum(len(crl) for crl in crls)
        ends = [crl.next_update_utc for crl in crls if crl.next_update_utc]
        self.next_update = min(ends, default=None)

    def show(self, issued: Issued) -> bool:
        """Return whether the CRL of the issuer of the certificate lists it.

        :raises espm.errors.RevocationUnproven: there is no CRL of that issuer, or it is none of
            those that were to be asked for.
        """
        (certificate,) = certificates(issued.pem.encode())[:1]
        if self._asked is not None and certificate.serial_number not in self._asked:
            msg = f"serial {certificate.serial_number:X} was not looked for in the CRL"
            raise RevocationUnproven(msg)
        issuer, key = certificate.issuer, _key_of(certificate)
        lists = [
            serials
            for name, signer, serials in self._known
            # A CA that was made anew has the old name; the serials of its CRL are others'.
            if name == issuer and (not key or not signer or key == signer)
        ]
        if not lists:
            msg = (
                "the CA gives no CRL of the issuer of the certificate, so nothing proves it revoked"
            )
            raise RevocationUnproven(msg)
        return any(certificate.serial_number in serials for serials in lists)

    def end(self, issued: Issued) -> bool:
        """Return whether nobody accepts the certificate any more: listed, or long run out.

        Puppet Server from 8.4 on drops certificates that have run out from its CRL.

        :raises espm.errors.RevocationUnproven: it has not run out, and there is no CRL of its
            issuer.
        """
        return datetime.now(UTC) - CLOCKS > issued.not_after or self.show(issued)

    def foreign(self, issued: Issued) -> bool:
        """Return whether no CA of the bundle signed the certificate.

        Then nobody who trusts the bundle accepts it, and its serial is another's at these CAs.
        Without a bundle it is not known of any.
        """
        (certificate,) = certificates(issued.pem.encode())[:1]
        return bool(self._cas) and not any(signed_by(certificate, ca) for ca in self._cas)


def _crls(pem: bytes) -> list[x509.CertificateRevocationList]:
    """Return the CRLs in *pem*; each has an issuer that can be read."""
    with _READABLE:
        crls = map(x509.load_pem_x509_crl, _BLOCK.findall(pem))
        return [crl for crl in crls if isinstance(crl.issuer, x509.Name)]


def _listed(crl: x509.CertificateRevocationList, asked: AbstractSet[int] | None) -> set[int]:
    """Return the serials that *crl* lists, or which of those that are *asked* for."""
    with _READABLE:
        if asked is None:
            return {revoked.serial_number for revoked in crl}
        return {serial for revoked in crl if (serial := revoked.serial_number) in asked}


def _key_of(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes | None:
    """Return the identifier of the key that signed *signed*, where it says it."""
    try:
        found = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    return found.value.key_identifier
