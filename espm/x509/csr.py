"""Certificate signing requests: ours, and those of strangers that must not be signed as they are.

Puppet Server authorizes by subject alternative names and by extensions, and facts that decide
catalogs are taken from extensions: a CSR may ask for its certname and for what the platform's
section of the configuration allows, nothing else.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtensionOID, NameOID

from espm.errors import InvalidCsr
from espm.x509 import oids
from espm.x509.keys import Key, key_sha256, new_key
from espm.x509.signatures import signed_by_itself
from espm.x509.unreadable import readable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

#: The longest CSR we look at, in bytes; one with an RSA key of 8192 bits has under 4 KiB.
LONGEST = 64 * 1024

_PEM = re.compile(
    rb"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\r?\n"
    rb"[A-Za-z0-9+/=\r\n]+"
    rb"-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_READABLE = readable(InvalidCsr, "the CSR cannot be read: it is not a well-formed PKCS#10 request")
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def new_csr(certname: str, key: Key) -> bytes:
    """Return a CSR (PEM) for *certname* that asks for nothing else, signed with *key*."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, certname)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return csr.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def unsignable_csr(certname: str) -> bytes:
    """Return a CSR (PEM) that no CA signs, for its signature is wrong; the key is gone."""
    csr = x509.load_pem_x509_csr(new_csr(certname, new_key()))
    wrong = bytearray(csr.public_bytes(Encoding.DER))
    wrong[-1] ^= 1  # the last bit of an integer of the signature
    return x509.load_der_x509_csr(bytes(wrong)).public_bytes(Encoding.PEM)


def csr_der_sha256(pem: bytes) -> str:
    """Return the SHA-256 of a CSR's DER, by which an instance can name the CSR it made.

    :raises espm.errors.InvalidCsr: *pem* is not one CSR.
    """
    return sha256(_load(pem).public_bytes(Encoding.DER)).hexdigest()


def csr_key_sha256(pem: bytes) -> str | None:
    """Return the SHA-256 of a CSR's public key, or None when it is no CSR of a key we know.

    Never raises: anybody may leave a CSR at the CA, and such a one is simply not ours.
    """
    try:
        with _READABLE:
            return key_sha256(_load(pem).public_key())
    except InvalidCsr:
        return None


def check_csr(
    pem: bytes, certname: str, extensions: Sequence[str], old_digests: Collection[str] = ()
) -> str:
    """Return the SHA-256 of the public key of a CSR that may be signed.

    :param extensions: globs over the extensions that it may ask for, by dotted number or by
        Puppet's name (``pp_instance_id``).
    :param old_digests: which of ``md5`` and ``sha1`` it may be signed with, too.
    :raises espm.errors.InvalidCsr: it may not be signed; says why.
    """
    csr = _load(pem)
    with _READABLE:
        key = csr.public_key()
        _check_key(key)
        _check_signature(csr, old_digests)
        _check_subject(csr, certname)
        _check_attributes(csr)
        _check_extensions(csr, certname, extensions)
        return key_sha256(key)


def _load(pem: bytes) -> x509.CertificateSigningRequest:
    if len(pem) > LONGEST:
        msg = f"the CSR is longer than {LONGEST} bytes"
        raise InvalidCsr(msg)
    if not _PEM.fullmatch(pem):
        msg = (
            "the CSR must be PEM, one '-----BEGIN CERTIFICATE REQUEST-----' block and nothing else"
        )
        raise InvalidCsr(msg)
    with _READABLE:
        return x509.load_pem_x509_csr(pem)


def _check_key(key: CertificatePublicKeyTypes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        # Beyond 8192 bits a single signature takes a server long enough to be a nuisance, and
        # with a small exponent, 1 above all, it proves little.
        if not 2048 <= key.key_size <= 8192 or key.public_numbers().e < 65537:
            msg = "an RSA key must have 2048 to 8192 bits and an exponent of at least 65537"
            raise InvalidCsr(msg)
    elif not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)):
        msg = "the CSR's key must be RSA, or EC on the curve P-256, P-384 or P-521"
        raise InvalidCsr(msg)


def _check_signature(csr: x509.CertificateSigningRequest, old_digests: Collection[str]) -> None:
    digest = csr.signature_hash_algorithm
    name = digest.name if digest else "no digest"
    is_new = name in _DIGESTS
    if not is_new and name not in old_digests:
        msg = f"the CSR must be signed with SHA-256, SHA-384 or SHA-512, not with {name}"
        raise InvalidCsr(msg)
    if not (csr.is_signature_valid if is_new else signed_by_itself(csr)):
        msg = "the CSR's signature does not fit its key"
        raise InvalidCsr(msg)


def _check_subject(csr: x509.CertificateSigningRequest, certname: str) -> None:
    if [(attribute.oid, attribute.value) for attribute in csr.subject] != [
        (NameOID.COMMON_NAME, certname)
    ]:
        msg = f"the CSR's subject must be CN={certname} and nothing else"
        raise InvalidCsr(msg)


def _check_attributes(csr: x509.CertificateSigningRequest) -> None:
    """Refuse what could carry extensions past us; Puppet puts no attribute into certificates."""
    found = [attribute.oid for attribute in csr.attributes]
    if found.count(_EXTENSION_REQUEST) > 1:
        msg = "the CSR has more than one request for extensions"
        raise InvalidCsr(msg)
    for oid in found:
        if not (
            oid
            in (
                _EXTENSION_REQUEST,
                AttributeOID.CHALLENGE_PASSWORD,
                AttributeOID.UNSTRUCTURED_NAME,
            )
            or oid.dotted_string.startswith(oids.PUPPET)
        ):
            msg = f"the CSR has an attribute that is not allowed: {oid.dotted_string}"
            raise InvalidCsr(msg)


def _check_extensions(
    csr: x509.CertificateSigningRequest, certname: str, globs: Sequence[str]
) -> None:
    for extension in csr.extensions:
        oid = extension.oid.dotted_string
        if extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            _check_alternative_names(extension.value, certname)
        elif not oids.allowed(oid, globs):
            msg = (
                f"the CSR asks for the extension {oids.name(oid)}, which the platform's section "
                "of espm's configuration does not allow"
            )
            raise InvalidCsr(msg)


def _check_alternative_names(names: x509.ExtensionType, certname: str) -> None:
    if not isinstance(names, x509.SubjectAlternativeName) or list(names) != [
        x509.DNSName(certname)
    ]:
        msg = f"the CSR may have no subject alternative name but DNS:{certname}"
        raise InvalidCsr(msg)
