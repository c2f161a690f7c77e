"""``list``, ``verify``, ``fingerprint`` and ``print`` (reference facts on old Puppet, 1.2, 1.3)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from tests.legacy.puppet_extensions import alt_names, requested, trusted_facts
from tests.legacy.puppet_speech import inspect
from tests.legacy.puppet_versions import Refused
from tests.legacy.puppet_x509 import common_name, read_certificate, read_crl, read_csr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.legacy.puppet_authority import Authority
    from tests.legacy.puppet_versions import Traits

_DIGESTS = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}


class Entry(NamedTuple):
    """One line of a list.

    :ivar state: ``" "`` a CSR, ``"+"`` a certificate, ``"-"`` one that is not valid.
    :ivar flaw: why it is not.
    """

    state: str
    name: str
    of: x509.Certificate | x509.CertificateSigningRequest
    flaw: str = ""


def digest(name: str, of: x509.Certificate | x509.CertificateSigningRequest, kind: str) -> str:
    """Return a fingerprint, as OpenSSL writes it.

    :raises Refused: the digest is not known.
    """
    if kind.lower() not in _DIGESTS:
        msg = f"{kind} is not a valid digest algorithm for fingerprinting certificate {name}"
        raise Refused(msg)
    found = hashlib.new(kind.lower(), of.public_bytes(Encoding.DER), usedforsecurity=False)
    return found.digest().hex(":").upper()


class Roll:
    """What the CA has, as one command sees it."""

    def __init__(self, authority: Authority, traits: Traits, kind: str) -> None:
        self._authority = authority
        self._traits = traits
        self._kind = kind
        self._revoked: set[int] | None = None

    def flaw(self, name: str) -> str:
        """Return why a certificate is not valid; empty when it is.

        :raises Refused: there is none.
        """
        path = self._authority.find(name)
        if path is None:
            msg = f"Could not find a certificate for {name}"
            raise Refused(msg)
        certificate = read_certificate(path)
        # A CA that revoked itself has no valid certificate left (trap 1).
        if {certificate.serial_number, self._authority.certificate.serial_number} & self._serials():
            return "certificate revoked"
        return self._stranger(certificate) or self._expired(certificate)

    def _serials(self) -> set[int]:
        if self._revoked is None:
            self._revoked = {each.serial_number for each in read_crl(self._authority.files.crl)}
        return self._revoked

    def _stranger(self, certificate: x509.Certificate) -> str:
        try:
            certificate.verify_directly_issued_by(self._authority.certificate)
        except ValueError:
            return "unable to get local issuer certificate"
        except InvalidSignature:
            return "certificate signature failure"
        return ""

    def _expired(self, certificate: x509.Certificate) -> str:
        late = certificate.not_valid_after_utc < datetime.now(UTC)
        return "certificate has expired" if late else ""

    def waiting(self) -> list[str]:
        """Return the names of the CSRs that wait, each of which is read.

        :raises Refused: one cannot be read, so that nobody sees the others.
        """
        # What another command signs or removes meanwhile is left out.
        requests = self._authority.files.request
        return [
            name
            for name in self._authority.files.names("requests")
            if requests(name).exists() and read_csr(requests(name))
        ]

    def entries(self, names: Sequence[str], waiting: Sequence[str]) -> list[Entry]:
        """Return the entries of *names*, which are sorted here.

        :raises Refused: one has neither a CSR nor a certificate.
        """
        signed = set(self._authority.files.names("signed"))
        return [self._entry(name, waiting, signed) for name in sorted(set(names))]

    def _entry(self, name: str, waiting: Sequence[str], signed: set[str]) -> Entry:
        # Who has a CSR is not verified; with a certificate as well, it counts as valid [source].
        flaw = "" if name in waiting else self.flaw(name)
        if flaw or name in signed:
            certificate = read_certificate(self._authority.files.signed(name))
            return Entry("-" if flaw else "+", name, certificate, flaw)
        return Entry(" ", name, read_csr(self._authority.files.request(name)))

    def text(self, entries: Sequence[Entry], style: str) -> str:
        """Return the list as text; the lines are sorted as such, so states come in groups."""
        named = [self._name(entry) for entry in entries]
        width = 0 if style else max(map(len, named))
        write = self._human if style == "human" else self._line
        return "\n".join(sorted(write(entry, width, style) for entry in entries))

    def _name(self, entry: Entry) -> str:
        return inspect(entry.name) if self._traits.quoted else entry.name

    def _digest(self, entry: Entry) -> str:
        found = digest(entry.name, entry.of, self._kind)
        return f"({self._kind.upper()}) {found}" if self._traits.modern else f"({found})"

    def _line(self, entry: Entry, width: int, style: str) -> str:
        parts = [entry.state, self._name(entry).ljust(width), self._digest(entry)]
        extras = self._extras(entry)
        sans = self._alt_names(entry)
        if style == "machine":
            parts += [self._expiration(entry)] if entry.state == "+" else []
            inside = ", ".join([each for each in (sans, *extras) if each])
            parts += [f"({inside})"] if inside else []
        elif sans:
            parts.append(f"({sans})")
        parts += [f"({entry.flaw})"] if entry.flaw else []
        parts += ["**"] if extras and not style else []
        return " ".join(parts)

    def _alt_names(self, entry: Entry) -> str:
        names = [] if entry.flaw else alt_names(entry.of)
        if self._traits.quoted:
            names = [inspect(name) for name in names]
        return f"alt names: {', '.join(names)}" if names else ""

    def _extras(self, entry: Entry) -> list[str]:
        """Return what 5.5 shows besides: trusted facts, and whatever a CSR asks for [source]."""
        if entry.flaw or not self._traits.newest:
            return []
        certificate = isinstance(entry.of, x509.Certificate)
        pairs = trusted_facts(entry.of) if certificate else requested(entry.of)  # type: ignore[arg-type]
        return sorted(f"{name}: {inspect(value)}" for name, value in pairs)

    def _expiration(self, entry: Entry) -> str:
        assert isinstance(entry.of, x509.Certificate)
        return entry.of.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _human(self, entry: Entry, _width: int, _style: str) -> str:
        status = {" ": "Request Pending", "+": "Signed", "-": f"Invalid - ({entry.flaw})"}
        lines = [f"{entry.state} {self._name(entry)}", f"  {self._digest(entry)}"]
        lines.append(f"    Status: {status[entry.state]}")
        lines += [f"    Expiration: {self._expiration(entry)}"] if entry.state == "+" else []
        extras = [each for each in (self._alt_names(entry), *self._extras(entry)) if each]
        lines += ["    Extensions:"] if extras else []
        return "\n".join([*lines, *(f"      {each}" for each in extras), ""])


def printed(certificate: x509.Certificate) -> str:
    """Return the beginning of what OpenSSL prints; the stand-in has no more of it."""
    serial = certificate.serial_number
    return (
        "Certificate:\n    Data:\n        Version: 3 (0x2)\n"
        f"        Serial Number: {serial} (0x{serial:x})\n"
        f"        Issuer: CN={common_name(certificate.issuer)}\n"
        f"        Subject: CN={common_name(certificate.subject)}"
    )
