"""Ordinary certificates of the private CA, for clients that are not nodes, as espm is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.lab import Lab


def new_request(certname: str) -> tuple[bytes, bytes]:
    """Return a new private key (EC P-256) and a CSR for `certname`, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, certname)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem, csr.public_bytes(Encoding.PEM)


def issue(lab: Lab, certname: str) -> tuple[bytes, bytes]:
    """Have the lab's administrator sign an ordinary certificate; return it and its key, PEM."""
    key, csr = new_request(certname)
    status = f"/puppet-ca/v1/certificate_status/{certname}"
    _expect(lab.request("PUT", f"/puppet-ca/v1/certificate_request/{certname}", csr), 200)
    _expect(lab.request("PUT", status, {"desired_state": "signed"}), 204)
    return _expect(lab.request("GET", f"/puppet-ca/v1/certificate/{certname}"), 200), key


def store(lab: Lab, certname: str, directory: Path) -> tuple[Path, Path]:
    """Issue a certificate into `directory`; return the paths of cert.pem and key.pem."""
    directory.mkdir(mode=0o700, exist_ok=True)
    paths = directory / "cert.pem", directory / "key.pem"
    for path, content in zip(paths, issue(lab, certname), strict=True):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return paths


def _expect(answer: tuple[int, bytes], status: int) -> bytes:
    got, body = answer
    assert got == status, f"HTTP {got}: {body.decode(errors='replace')}"
    return body
