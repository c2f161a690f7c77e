"""A new server certificate for the key that there is, so that the platforms' pin stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
    load_pem_x509_certificate,
)

from espm import x509
from espm.config.credential import is_credential, located, missing
from espm_setup import changes, client, files, hooks
from espm_setup.errors import SetupError
from espm_setup.hostnames import names_and_addresses, sorted_out
from espm_setup.layout import Layout
from espm_setup.report import RELOAD, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from espm.model import Json


def renew(args: argparse.Namespace) -> None:
    """Exchange the server's certificate for a new one of its key, and print what is new.

    :raises espm_setup.errors.SetupError: key and certificate are no pair, or the certificate is
        not self-signed; nothing was changed.
    """
    ini = Layout.of(args).ini
    server = hooks.read(ini).get("server", {})
    certificate, key = _path(server, "certificate", ini), _path(server, "private_key", ini)

    def work() -> Json:
        with changes.locked(ini):
            old = certificate.read_bytes()
            new = renewed(old, key.read_bytes(), args)
            copy = files.back_up(certificate.resolve())
            files.replace(certificate, new, known=[old])
        return [new.decode("ascii"), str(copy)]

    # Root neither reads nor writes what somebody else's configuration names.
    places = (ini, *(place for path in (ini, certificate) for place in changes.directories(path)))
    pem, copy = changes.perform(work, *places)
    _say(args, pem, certificate, copy)


def renewed(certificate: bytes, key: bytes, args: argparse.Namespace) -> bytes:
    """Return a new certificate (PEM) for *key*, with the names that the old one has.

    :param args: with a name of its own, that and its further ones count instead; without, those
        are added.
    :raises espm_setup.errors.SetupError: the two are no pair, or not self-signed.
    """
    own, old = client.private_key(key), _loaded(certificate)
    if not isinstance(own, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        msg = "[server] private_key is neither an EC nor an RSA key"
        raise SetupError(msg)
    if own.public_key() != old.public_key():
        msg = "[server] private_key is not the key of [server] certificate; nothing was changed"
        raise SetupError(msg)
    _check_self_signed(old)
    if args.name:
        names, addresses = names_and_addresses(args.name, args.san)
    else:
        names, addresses = sorted_out([*_names(old, certificate), *args.san])
    return x509.self_signed(own, names, addresses, days=args.days)


def _loaded(pem: bytes) -> Certificate:
    try:
        return load_pem_x509_certificate(pem)
    except ValueError as exc:
        msg = "[server] certificate is no certificate (PEM)"
        raise SetupError(msg) from exc


def _check_self_signed(certificate: Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature) as exc:
        msg = (
            "[server] certificate is not self-signed, so nothing was changed: have a new one made "
            "for the same key by the CA that it is from"
        )
        raise SetupError(msg) from exc


def _names(certificate: Certificate, pem: bytes) -> list[str]:
    """Return the names and addresses of a certificate, the common name first."""
    common = x509.common_name(pem)
    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return [common]
    names = [*found.get_values_for_type(DNSName), *map(str, found.get_values_for_type(IPAddress))]
    return sorted(names, key=lambda name: name != common)


def _path(server: Mapping[str, str], key: str, ini: Path) -> Path:
    value = located(server.get(key) or ".")
    if is_credential(value):
        msg = f"[server] {key} in {ini}: {missing(value)}"
        raise SetupError(msg)
    path = Path(value)
    if not path.is_absolute():
        msg = f"[server] {key} in {ini} is no absolute path"
        raise SetupError(msg)
    return path


def _say(args: argparse.Namespace, pem: str, path: Path, copy: str) -> None:
    new = pem.encode()
    fingerprint, pin = x509.fingerprint(new), x509.spki_pin(new)
    lines = [
        *("Certificate:", pem),
        f"SHA-256 fingerprint of the certificate: {x509.colons(fingerprint)}",
        f"Pin of its key, the same as before: curl --pinnedpubkey '{pin}'",
        f"Written to: {path}",
        f"The one before is kept in: {copy}",
        f"Next: {RELOAD}",
        "Platforms that compare the pin need nothing; those whose CA it is need the new one.",
    ]
    value: dict[str, Json] = {
        "certificate": pem,
        "fingerprint_sha256": fingerprint,
        "pinned_public_key": pin,
        "path": str(path),
        "backup": copy,
        "next": RELOAD,
    }
    tell(args, lines, value)
