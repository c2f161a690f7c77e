"""Who has signed a certificate or a CRL, also where the library would not look any more.

Puppet up to 2.7 signs with SHA-1 (reference facts on old Puppet, 1.4), of which the library says
that it is no signature.  Whoever could make two things of one SHA-1 would have to get one of them
signed by the CA first; and what is read here comes from the CA's own files or server.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from espm.x509.unreadable import UNREADABLE

if TYPE_CHECKING:
    from typing import TypeAlias

    Signed: TypeAlias = x509.Certificate | x509.CertificateRevocationList


def signed_by(signed: Signed, ca: x509.Certificate) -> bool:
    """Return whether *ca* has signed *signed*."""
    with suppress(InvalidSignature, *UNREADABLE):
        if ca.subject != signed.issuer:
            return False
        key = ca.public_key()
        if isinstance(signed.signature_hash_algorithm, hashes.SHA1):
            return _by_sha1(signed, key)
        if isinstance(signed, x509.CertificateRevocationList):
            # Puppet's CAs have RSA or EC keys; for others the type checker would be right.
            return signed.is_signature_valid(key)  # type: ignore[arg-type]
        signed.verify_directly_issued_by(ca)
        return True
    return False


def _by_sha1(signed: Signed, key: object) -> bool:
    """Return whether an RSA *key* signed it; Puppet of that age has no others."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    what = (
        signed.tbs_certlist_bytes
        if isinstance(signed, x509.CertificateRevocationList)
        else signed.tbs_certificate_bytes
    )
    key.verify(signed.signature, what, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 # nosec B303
    return True
