"""Whether a certificate is revoked, as the CRL that agents and servers are given tells it."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from espm.errors import BackendRefused, RevocationUnproven
from espm.x509.certificate import certificates

_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\r?\n?", re.DOTALL)


def revoked(crl_pem: bytes, certificate_pem: bytes, bundle: bytes | None = None) -> bool:
    """Return whether *crl_pem* lists the certificate.

    :param crl_pem: one or more CRLs; the one of the certificate's issuer counts.
    :param bundle: the CA certificates; when given, a CRL that none of them signed is ignored.
    :raises espm.errors.RevocationUnproven: there is no CRL of that issuer.
    :raises espm.errors.BackendRefused: a certificate or a CRL cannot be read.
    """
    (certificate,) = certificates(certificate_pem)[:1]
    cas = None if bundle is None else certificates(bundle)
    crls = [
        crl
        for crl in _crls(crl_pem)
        if crl.issuer == certificate.issuer and (cas is None or _vouched(crl, cas))
    ]
    if not crls:
        msg = "the CA gives no CRL of the issuer of the certificate, so nothing proves it revoked"
        raise RevocationUnproven(msg)
    serial = certificate.serial_number
    return any(crl.get_revoked_certificate_by_serial_number(serial) for crl in crls)


def _crls(pem: bytes) -> list[x509.CertificateRevocationList]:
    try:
        return [x509.load_pem_x509_crl(block) for block in _BLOCK.findall(pem)]
    except ValueError as exc:
        msg = "the CA gave a CRL that cannot be read"
        raise BackendRefused(msg) from exc


def _vouched(crl: x509.CertificateRevocationList, cas: list[x509.Certificate]) -> bool:
    """Return whether one of *cas* signed *crl*."""
    for ca in cas:
        try:
            # Puppet's CAs have RSA or EC keys; for others the type checker would be right.
            if ca.subject == crl.issuer and crl.is_signature_valid(ca.public_key()):  # type: ignore[arg-type]
                return True
        except (TypeError, ValueError, UnsupportedAlgorithm):
            continue
    return False
