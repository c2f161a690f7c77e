"""Who has signed something, also where the library would not look any more.

Puppet up to 2.7 signs certificates and CRLs with SHA-1 (reference facts on old Puppet, 1.4), its
agents their CSRs with MD5, and the library says of both that they are no signatures.  Whoever
could make two things of one SHA-1 would have to get one of them signed by the CA first; and
certificates and CRLs that are read here come from the CA's own files or server.  The signature of
a CSR proves that its sender has the key, and nothing else: two CSRs of one MD5 are both the
sender's, and to make one that fits a signature of somebody else's nobody is able.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from espm.x509.unreadable import UNREADABLE

if TYPE_CHECKING:
    from typing import TypeAlias

    Signed: TypeAlias = x509.Certificate | x509.CertificateRevocationList

_SHA1 = hashes.SHA1()  # noqa: S303 # nosec B303

#: The kinds of signatures that agents make of old, all of them by RSA keys.
_AGENTS = {
    SignatureAlgorithmOID.RSA_WITH_MD5: hashes.MD5(),  # noqa: S303 # nosec B303
    SignatureAlgorithmOID.RSA_WITH_SHA1: _SHA1,
}


def signed_by(signed: Signed, ca: x509.Certificate) -> bool:
    """Return whether *ca* has signed *signed*."""
    with suppress(InvalidSignature, *UNREADABLE):
        if ca.subject != signed.issuer:
            return False
        key = ca.public_key()
        if isinstance(signed.signature_hash_algorithm, hashes.SHA1):
            return _fits(key, signed.signature, _content(signed), _SHA1)
        if isinstance(signed, x509.CertificateRevocationList):
            # Puppet's CAs have RSA or EC keys; for others the type checker would be right.
            return signed.is_signature_valid(key)  # type: ignore[arg-type]
        signed.verify_directly_issued_by(ca)
        return True
    return False


def signed_by_itself(csr: x509.CertificateSigningRequest) -> bool:
    """Return whether a CSR with a signature of old was signed with the key that it is about."""
    digest = _AGENTS.get(csr.signature_algorithm_oid)
    return digest is not None and _fits(
        csr.public_key(), csr.signature, csr.tbs_certrequest_bytes, digest
    )


def _content(signed: Signed) -> bytes:
    if isinstance(signed, x509.CertificateRevocationList):
        return signed.tbs_certlist_bytes
    return signed.tbs_certificate_bytes


def _fits(key: object, signature: bytes, content: bytes, digest: hashes.HashAlgorithm) -> bool:
    """Return whether an RSA *key* made the signature; Puppet of that age has no others."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    with suppress(InvalidSignature):
        key.verify(signature, content, padding.PKCS1v15(), digest)
        return True
    return False
