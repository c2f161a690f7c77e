"""What old Puppet's CA refuses to sign (reference facts on old Puppet, 1.1 and 1.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.legacy.puppet_extensions import alt_names, is_custom, short_name
from tests.legacy.puppet_speech import inspect
from tests.legacy.puppet_versions import Refused
from tests.legacy.puppet_x509 import common_name

if TYPE_CHECKING:
    from cryptography import x509

    from tests.legacy.puppet_versions import Traits

_PRINTABLE = re.compile(r"[ -.0-~]+")


def check_name(name: str, traits: Traits) -> None:
    """Refuse names that later versions do not take; 2.7.12 takes them all.

    :raises Refused: it is empty or has characters that are not printable ASCII.
    """
    if traits.quoted and not _PRINTABLE.fullmatch(name):
        msg = f"Certname {inspect(name)} must not contain unprintable or non-ASCII characters"
        raise Refused(msg)


def check(
    name: str, csr: x509.CertificateSigningRequest, traits: Traits, *, alt_names_allowed: bool
) -> None:
    """Refuse a CSR that this version does not sign.

    :raises Refused: it asks for too much.
    """
    _check_subject(name, csr, traits)
    refused = sorted(
        {short_name(each.oid) for each in csr.extensions if not _is_permitted(each, traits)}
    )
    if refused:
        msg = f"CSR has request extensions that are not permitted: {', '.join(refused)}"
        raise Refused(msg)
    if "*" in common_name(csr.subject):
        wild = f"/CN={common_name(csr.subject)}"
        msg = f"CSR subject contains a wildcard, which is not allowed: {wild}"
        raise Refused(msg)
    if names := alt_names(csr):
        _check_alt_names(name, names, allowed=alt_names_allowed)


def _check_subject(name: str, csr: x509.CertificateSigningRequest, traits: Traits) -> None:
    """Refuse a CSR of another name, since 2.7.18; the text is taken from the source."""
    if traits.quoted and name != common_name(csr.subject):
        cn = inspect(common_name(csr.subject))
        msg = f"CSR subject common name {cn} does not match expected certname {inspect(name)}"
        raise Refused(msg)


def _is_permitted(extension: x509.Extension[x509.ExtensionType], traits: Traits) -> bool:
    is_alt_name = short_name(extension.oid) == "subjectAltName"
    return is_alt_name or (traits.modern and is_custom(extension))


def _check_alt_names(name: str, names: list[str], *, allowed: bool) -> None:
    listed = ", ".join(names)
    if not allowed:
        msg = (
            f"CSR '{name}' contains subject alternative names ({listed}), which are disallowed. "
            f"Use `puppet cert --allow-dns-alt-names sign {name}` to sign this request."
        )
        raise Refused(msg)
    end = f": {listed}.  To continue, this CSR needs to be cleaned."
    if not all(each.startswith("DNS:") for each in names):
        msg = f"CSR '{name}' contains a subjectAltName outside the DNS label space{end}"
        raise Refused(msg)
    if "*" in listed:
        msg = f"CSR '{name}' subjectAltName contains a wildcard, which is not allowed{end}"
        raise Refused(msg)
