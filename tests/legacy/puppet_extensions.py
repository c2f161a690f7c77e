"""How Puppet and OpenSSL name what is in a CSR or a certificate."""

from __future__ import annotations

from typing import Any

from cryptography import x509

#: Trusted facts may be under these; Puppet copies them into the certificate since 3.x.
CUSTOM = ("1.3.6.1.4.1.34380.1.1.", "1.3.6.1.4.1.34380.1.2.")
_SHORT = ("pp_uuid", "pp_instance_id", "pp_image_name", "pp_preshared_key")
_NAMES = {f"{CUSTOM[0]}{number}": name for number, name in enumerate(_SHORT, 1)}


def is_custom(extension: x509.Extension[Any]) -> bool:
    """Tell whether an extension is a trusted fact."""
    return extension.oid.dotted_string.startswith(CUSTOM)


def short_name(oid: x509.ObjectIdentifier) -> str:
    """Return the name by which Puppet shows an extension."""
    known = oid._name  # OpenSSL's short names, which nothing public gives
    return _NAMES.get(oid.dotted_string, oid.dotted_string if known == "Unknown OID" else known)


def alt_names(of: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """Return the subject alternative names as OpenSSL writes them, sorted."""
    try:
        sans = of.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted({_alt_name(name) for name in sans})


def _alt_name(name: x509.GeneralName) -> str:
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP Address", x509.RFC822Name: "email"}
    return f"{kinds.get(type(name), 'URI')}:{name.value}"


def trusted_facts(of: x509.Certificate) -> list[tuple[str, str]]:
    """Return name and value of each trusted fact."""
    return [(short_name(each.oid), _value(each)) for each in of.extensions if is_custom(each)]


def requested(of: x509.CertificateSigningRequest) -> list[tuple[str, str]]:
    """Return name and value of each extension a CSR asks for, its SAN among them [source]."""
    sans = [("subjectAltName", ", ".join(alt_names(of)))] if alt_names(of) else []
    others = [(short_name(each.oid), _value(each)) for each in of.extensions]
    return sans + [each for each in others if each[0] != "subjectAltName"]


def _value(extension: x509.Extension[Any]) -> str:
    """Return the text of a trusted fact: what follows type and length of a short DER string."""
    der: bytes = extension.value.public_bytes()
    return der[2:].decode(errors="replace")
