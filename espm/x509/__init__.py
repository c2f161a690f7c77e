"""Keys, CSRs, certificates and CRLs: what espm makes, and what it lets pass.

``keys``
    makes keys in memory and names them by hash
``csr``
    makes CSRs, and refuses those that must not be signed
``certificate``
    reads what the CA issued; makes espm's own server certificate
``crl``
    tells whether a certificate is revoked

PEM is bytes, hashes are SHA-256 in lower-case hex.
"""

from espm.x509.certificate import (
    certificates,
    check_issued,
    colons,
    common_name,
    fingerprint,
    of_name,
    parse_certificate,
    self_signed,
    spki_pin,
)
from espm.x509.crl import Revocations
from espm.x509.csr import check_csr, csr_der_sha256, csr_key_sha256, new_csr, unsignable_csr
from espm.x509.keys import Key, key_pem, key_sha256, new_key

__all__ = [
    "Key",
    "Revocations",
    "certificates",
    "check_csr",
    "check_issued",
    "colons",
    "common_name",
    "csr_der_sha256",
    "csr_key_sha256",
    "fingerprint",
    "key_pem",
    "key_sha256",
    "new_csr",
    "new_key",
    "of_name",
    "parse_certificate",
    "self_signed",
    "spki_pin",
    "unsignable_csr",
]
