"""A CRL of an old CA, made with the key of the scratch CA."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

if TYPE_CHECKING:
    from tests.live.lab import Lab

#: Serials that Puppet's CA, which counts from 1, does not reach here.
FIRST = 10_000_000


def grow(lab: Lab, entries: int) -> int:
    """Give the lab's CA a CRL of so many entries, with the reason that Puppet gives.

    What the CA itself has revoked stays in it, or espm would take it for lost, and heal it.

    :returns: the size of the file, in bytes.
    """
    path = lab.cadir / "ca_crl.pem"
    signer = x509.load_pem_x509_certificates((lab.cadir / "ca_crt.pem").read_bytes())[0]
    blocks = _blocks(path.read_bytes())
    crls = [x509.load_pem_x509_crl(block) for block in blocks]
    place = next(number for number, crl in enumerate(crls) if crl.issuer == signer.subject)
    blocks[place] = _signed(lab, crls[place], entries)
    path.write_bytes(b"".join(blocks))
    return path.stat().st_size


def _signed(lab: Lab, crl: x509.CertificateRevocationList, entries: int) -> bytes:
    now = datetime.now(UTC)
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    old = [
        x509.RevokedCertificateBuilder(serial, now).add_extension(reason, critical=False).build()
        for serial in range(FIRST, FIRST + entries)
    ]
    old += [entry for entry in crl if entry.serial_number < FIRST]
    # The builder's own way to add one copies all there are.
    builder = x509.CertificateRevocationListBuilder(
        crl.issuer, now - timedelta(days=1), now + timedelta(days=1000), [], old
    )
    for extension in crl.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    key = load_pem_private_key((lab.cadir / "ca_key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _blocks(pem: bytes) -> list[bytes]:
    end = b"-----END X509 CRL-----\n"
    return [part + end for part in pem.split(end)[:-1]]
