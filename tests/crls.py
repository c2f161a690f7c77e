"""CRLs, asked by tests."""

from __future__ import annotations

from espm import x509


def is_revoked(crl: bytes, certificate: bytes, bundle: bytes | None = None) -> bool:
    """Return whether *crl* lists the certificate; see :class:`espm.x509.Revocations`."""
    return x509.Revocations(crl, bundle).show(x509.parse_certificate(certificate))
