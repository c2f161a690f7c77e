"""The CRL of old Puppet: read, changed and written without any lock (reference facts, 1.6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

_FIVE_YEARS = timedelta(days=5 * 365)


def empty(issuer: x509.Name, key: rsa.RSAPrivateKey) -> bytes:
    """Return a CRL without an entry, the first of its CA."""
    return _signed(_builder(issuer, 0), key)


def extended(crl: x509.CertificateRevocationList, serial: int, key: rsa.RSAPrivateKey) -> bytes:
    """Return *crl* with one more entry, also when it has one of that serial already."""
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    builder = _builder(crl.issuer, number + 1)
    for entry in crl:
        builder = builder.add_revoked_certificate(entry)
    return _signed(builder.add_revoked_certificate(_entry(serial)), key)


def _entry(serial: int) -> x509.RevokedCertificate:
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(datetime.now(UTC))
        .add_extension(reason, critical=False)
        .build()
    )


def _builder(issuer: x509.Name, number: int) -> x509.CertificateRevocationListBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(now)
        .next_update(now + _FIVE_YEARS)
        .add_extension(x509.CRLNumber(number), critical=False)
    )


def _signed(builder: x509.CertificateRevocationListBuilder, key: rsa.RSAPrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
