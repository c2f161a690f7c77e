"""Keys, CSRs, certificates and CRLs as old Puppet makes them (reference facts on it, 1.4).

Two things differ from the real ones.  Keys have 1024 or 2048 bits where Puppet takes 4096, for
speed.  Signatures use SHA-256 in all versions, for cryptography makes none with SHA-1, which 2.7
takes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from tests.legacy.puppet_extensions import is_custom
from tests.legacy.puppet_versions import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

PEM = serialization.Encoding.PEM
_FIVE_YEARS = timedelta(days=5 * 365)
_SHA256 = hashes.SHA256()


def make_key(bits: int) -> rsa.RSAPrivateKey:
    """Make a private key."""
    return rsa.generate_private_key(65537, bits)


def key_pem(key: rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    """Write a private key, as Ruby's OpenSSL does."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Write the public half of a key."""
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_key(path: Path, password: bytes | None = None) -> rsa.RSAPrivateKey:
    """Read a private key.

    :raises Refused: it is none.
    """
    content = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(
            content,
            password if b"ENCRYPTED" in content else None,
            unsafe_skip_rsa_key_validation=True,
        )
    except (ValueError, TypeError) as exc:
        msg = "Neither PUB key nor PRIV key:: nested asn1 error"
        raise Refused(msg) from exc
    return cast("rsa.RSAPrivateKey", key)


def _read(path: Path, load: Callable[[bytes], T], kind: str) -> T:
    try:
        return load(path.read_bytes())
    except ValueError as exc:
        msg = f"PEM_read_bio_{kind}: no start line"
        raise Refused(msg) from exc


def read_csr(path: Path) -> x509.CertificateSigningRequest:
    """Read a CSR.

    :raises Refused: it is none.
    """
    return _read(path, x509.load_pem_x509_csr, "X509_REQ")


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate.

    :raises Refused: it is none.
    """
    return _read(path, x509.load_pem_x509_certificate, "X509")


def read_crl(path: Path) -> x509.CertificateRevocationList:
    """Read a CRL.

    :raises Refused: it is none; so it is also while another command writes it.
    """
    return _read(path, x509.load_pem_x509_crl, "X509_CRL")


def subject(name: str) -> x509.Name:
    """Return the subject of a name, however long or odd it is."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)])


def common_name(name: x509.Name) -> str:
    """Return the CN of a subject."""
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def make_csr(key: rsa.RSAPrivateKey, name: str, alt_names: list[str]) -> bytes:
    """Make a CSR as ``generate`` does."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(name))
    if alt_names:
        sans = x509.SubjectAlternativeName([x509.DNSName(each) for each in alt_names])
        builder = builder.add_extension(sans, critical=False)
    return builder.sign(key, _SHA256).public_bytes(PEM)


def _certificate(
    public: Any, names: tuple[x509.Name, x509.Name], serial: int, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder(subject_name=names[0], issuer_name=names[1])
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def make_ca(key: rsa.RSAPrivateKey, name: str, serial: int) -> x509.Certificate:
    """Make the CA's own certificate."""
    names = (subject(name), subject(name))
    usage = _usage(ca=True)
    return (
        _certificate(key.public_key(), names, serial, _FIVE_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, _SHA256)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def issue(
    csr: x509.CertificateSigningRequest,
    authority: tuple[x509.Certificate, rsa.RSAPrivateKey],
    serial: int,
    lifetime: timedelta = _FIVE_YEARS,
) -> x509.Certificate:
    """Make the certificate of a CSR, with its SAN and its trusted facts."""
    builder = _certificate(csr.public_key(), (csr.subject, authority[0].subject), serial, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)  # noqa: FBT003 -- the library's name for it is the same word
    builder = builder.add_extension(_usage(ca=False), critical=True)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    for extension in csr.extensions:
        if extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME or is_custom(extension):
            builder = builder.add_extension(extension.value, critical=False)
    return builder.sign(authority[1], _SHA256)
