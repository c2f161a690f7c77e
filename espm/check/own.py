"""Checks of what is espm's own: its server certificate, its client certificate, its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from espm.check.finding import Finding, State
from espm.config.checks import MOMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.check.finding import Context
    from espm.model import Platform

#: This long before something runs out, it is time to say so.
SOON = timedelta(days=30)


def server_certificate(context: Context) -> Iterator[Finding]:
    """Look at the certificate that callers see."""
    server = context.config.server
    renew = "make a new one for the same key: espm_setup --renew-certificate"
    yield from _pair("server TLS", Path(server.certificate), Path(server.private_key), renew)
    if not _names(_certificate(Path(server.certificate))):
        what = "the certificate has no subject alternative names, and clients look at nothing else"
        yield Finding("server TLS", State.FAIL, what, f"{renew} --name NAME")


def client_certificate(context: Context) -> Iterator[Finding]:
    """Look at the certificate that espm shows to Puppet."""
    access = context.config.access
    if not access.certificate:
        return  # Nobody is called with it.
    renew = f"have Puppet's CA sign a new certificate for {context.config.certname}"
    yield from _pair("client TLS", Path(access.certificate), Path(access.private_key), renew)


def limits(context: Context) -> Iterator[Finding]:
    """Look for platforms that may do more than they probably need."""
    for platform in context.config.platforms:
        yield _limits(platform)
        if len(platform.psk_sha256) > 1:
            yield _old_key(platform)


def until(subject: str, name: str, end: datetime, remedy: str) -> Finding:
    """Return how it is with something called *name* that is good until *end*."""
    left = end - datetime.now(UTC)
    if left <= timedelta(0):
        return Finding(subject, State.FAIL, f"{name} ran out on {end:%Y-%m-%d}", remedy)
    state = State.WARN if left < SOON else State.OK
    what = f"{name} is good until {end:%Y-%m-%d} ({left.days} days)"
    return Finding(subject, state, what, remedy if state is State.WARN else "")


def _pair(subject: str, certificate: Path, key: Path, remedy: str) -> Iterator[Finding]:
    try:
        public = load_pem_private_key(key.read_bytes(), password=None).public_key()
        found = _certificate(certificate)
    except (ValueError, TypeError):
        what = "certificate or key is not PEM, or the key is encrypted"
        yield Finding(
            subject, State.FAIL, what, "name a key without a passphrase, and its certificate"
        )
        return
    yield until(subject, "certificate", found.not_valid_after_utc, remedy)
    if public != found.public_key():
        what = "the private key does not belong to the certificate"
        yield Finding(subject, State.FAIL, what, "name a key and its certificate")


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names.value]


def _old_key(platform: Platform) -> Finding:
    subject, until = f"platform {platform.name}", platform.old_psk_until
    if until is None:
        what = "an old preshared key is still accepted"
        remedy = f"take it out of [[{platform.name}]] psk_sha256 when nobody uses it any more"
        return Finding(subject, State.WARN, what, remedy)
    if platform.accepts(1, datetime.now(UTC)):
        what = f"an old preshared key is accepted until {until:{MOMENT}}"
        return Finding(subject, State.OK, what)
    what = f"an old preshared key is refused since {until:{MOMENT}}"
    remedy = f"take the second digest and old_psk_until out of [[{platform.name}]]"
    return Finding(subject, State.WARN, what, remedy)


def _limits(platform: Platform) -> Finding:
    allowed = platform.limits
    subject = f"platform {platform.name}"
    wide = [
        key
        for key in ("certnames", "groups", "classes", "environments", "networks")
        if "*" in getattr(allowed, key)
    ]
    if not wide:
        return Finding(subject, State.OK, "limited in certnames, groups, classes and networks")
    what = f"may use any of: {', '.join(wide)}"
    return Finding(subject, State.WARN, what, f"narrow {', '.join(wide)} in [[{platform.name}]]")
