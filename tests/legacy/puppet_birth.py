"""How old Puppet's CA comes to be, and what each command looks at first."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tests.legacy import puppet_crl
from tests.legacy.puppet_versions import Broken
from tests.legacy.puppet_x509 import PEM, key_pem, make_ca, make_key, read_certificate, read_key

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.legacy.puppet_files import Files
    from tests.legacy.puppet_inventory import Inventory
    from tests.legacy.puppet_settings import Settings
    from tests.legacy.puppet_speech import Speech


def open_ca(
    files: Files, settings: Settings, speech: Speech, inventory: Inventory
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """Return the CA's certificate and key; what is missing is made.

    :raises Broken: the key is not the certificate's; a key that was missing is by then made anew,
        encrypted (trap 4).
    """
    files.make()
    key = _key(files, settings)
    if not files.ca_certificate.exists():
        _make(key, files, settings, speech, inventory)
    certificate = read_certificate(files.ca_certificate)
    if key.public_key() != certificate.public_key():
        # The text is taken from the source.
        msg = "The certificate retrieved from the master does not match the agent's private key."
        raise Broken(msg)
    if not files.crl.exists():
        # What was revoked is valid again (trap 4).
        files.write(files.crl, puppet_crl.empty(certificate.subject, key), 0o664)
    return certificate, key


def _key(files: Files, settings: Settings) -> rsa.RSAPrivateKey:
    """Return the CA's key; one that is made before there is a password is not encrypted."""
    password = files.password.read_bytes() if files.password.exists() else None
    if files.ca_key.exists():
        return read_key(files.ca_key, password)
    key = make_key(settings.keylength)
    files.write(files.ca_key, key_pem(key, password), 0o660)
    if password is None:
        files.write(files.password, secrets.token_urlsafe(15).encode(), 0o660)
    return key


def _make(
    key: rsa.RSAPrivateKey,
    files: Files,
    settings: Settings,
    speech: Speech,
    inventory: Inventory,
) -> None:
    serial = files.next_serial(settings.reached)
    certificate = make_ca(key, f"Puppet CA: {settings.certname}", serial)
    speech.notice("Signed certificate request for ca")
    inventory.add(certificate)
    pem = certificate.public_bytes(PEM)
    files.write(files.ca_certificate, pem, 0o660)
    files.write(files.certificate("ca"), pem)
