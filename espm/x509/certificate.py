"""Certificates: reading what the CA issued, and making espm's own for its HTTPS port."""

from __future__ import annotations

import re
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from espm.errors import BackendRefused
from espm.model import Issued
from espm.x509 import oids
from espm.x509.keys import key_sha256, spki
from espm.x509.unreadable import UNREADABLE, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.x509.keys import Key

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\r?\n?", re.DOTALL)

_ALTERNATIVE_NAMES = ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string

_CERTIFICATE = readable(BackendRefused, "the CA answered with something that is not a certificate")
_EXTENSIONS = readable(BackendRefused, "the CA gave a certificate whose extensions can't be read")


def parse_certificate(pem: bytes) -> Issued:
    """Return what the one certificate in *pem* says.

    A key of a kind that nobody knows is told by the certificate as a whole: it is nobody's whose
    key we ever see.

    :raises espm.errors.BackendRefused: there is none, for *pem* always comes from the CA.
    """
    certificate = _load(pem)
    key = fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    with suppress(*UNREADABLE):
        key = key_sha256(certificate.public_key())
    return Issued(
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        serial=certificate.serial_number,
        fingerprint=fingerprint,
        key_sha256=key,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def check_issued(pem: bytes, certname: str, extensions: Sequence[str]) -> None:
    """Return when a certificate has nothing that a CSR must not ask for.

    The CSR that was checked and the one that the CA signs are two looks at one place.

    :raises espm.errors.BackendRefused: it has.
    """
    with _EXTENSIONS:
        found = list(_load(pem).extensions)
    for extension in found:
        oid = extension.oid.dotted_string
        if oid == _ALTERNATIVE_NAMES:
            wrong = list(extension.value) != [x509.DNSName(certname)]
        else:
            wrong = oid.startswith(oids.PUPPET) and not oids.allowed(oid, extensions)
        if wrong:
            msg = f"the CA signed an extension that was not asked for: {oids.name(oid)}"
            raise BackendRefused(msg)


def common_name(pem: bytes) -> str:
    """Return the CN of the one certificate in *pem*, and "" when it has none or several.

    :raises espm.errors.BackendRefused: *pem* is no certificate.
    """
    names = _load(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def of_name(pem: bytes, name: str) -> bytes:
    """Return the certificate *pem*, which the CA gave for *name*.

    :raises espm.errors.BackendRefused: it is another name's, or no certificate.
    """
    if common_name(pem) != name:
        msg = f"the CA gave the certificate of another name for {name}"
        raise BackendRefused(msg)
    return pem


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates that are concatenated in *pem*.

    :raises espm.errors.BackendRefused: one cannot be read, or there is none.
    """
    found = [_load(block) for block in _BLOCK.findall(pem)]
    if not found:
        msg = "the CA gave no certificates where they were expected"
        raise BackendRefused(msg)
    with _CERTIFICATE:
        for each in found:
            _ = each.issuer  # asked for by who gets them, and nobody else
    return found


def fingerprint(pem: bytes) -> str:
    """Return the SHA-256 of the DER of the certificate in *pem*."""
    return _load(pem).fingerprint(hashes.SHA256()).hex()


def colons(digest: str) -> str:
    """Return a hex digest as OpenSSL and browsers print it: ``AB:CD:...``."""
    return bytes.fromhex(digest).hex(":").upper()


def spki_pin(pem: bytes) -> str:
    """Return the pin of a certificate's key, as ``curl --pinnedpubkey`` takes it."""
    digest = sha256(spki(_load(pem).public_key())).digest()
    return "sha256//" + b64encode(digest).decode("ascii")


def self_signed(
    key: Key, names: Sequence[str], addresses: Sequence[str] = (), *, days: int = 3650
) -> bytes:
    """Return a certificate (PEM) for an HTTPS server, signed with its own *key*.

    :param names: host names, at least one; the first is the CN as well when it fits into one.
    :param addresses: IP addresses the server is called by.
    :param days: how long it is valid.
    """
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, names[0] if len(names[0]) <= 64 else "espm")]
    )
    # Clocks of clients that have just booted may be behind.
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    for extension, critical in _server_extensions(key, names, addresses):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _server_extensions(
    key: Key, names: Sequence[str], addresses: Sequence[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return what a TLS server's certificate needs, each with whether it is critical."""
    alternatives = [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ip_address(address)) for address in addresses),
    ]
    return [
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(encipherment=isinstance(key, rsa.RSAPrivateKey)), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]


def _usage(*, encipherment: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=encipherment,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


@lru_cache(maxsize=64)
def _load(pem: bytes) -> x509.Certificate:
    """Return a certificate that can be read, but for its issuer, its key and its extensions.

    What the CA has just signed is looked at from several sides, so the last ones are remembered.
    """
    with _CERTIFICATE:
        certificate = x509.load_pem_x509_certificate(pem)
        for part in ("subject", "not_valid_before_utc", "not_valid_after_utc"):
            getattr(certificate, part)
        return certificate
