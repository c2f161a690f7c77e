"""What a CA really holds, looked at where it is and not through espm."""

from __future__ import annotations

import hashlib
import http.client
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from espm.errors import EspmError
from espm.model import Certname

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import FakeCa
    from tests.live.lab import Lab

#: The names of our nodes end so; everything else at a CA is not our business.
DOMAIN = ".torture.example.com"


class Holdings(Protocol):
    """A CA, with respect to our names."""

    def held(self) -> dict[str, int]:
        """Return the serial of the certificate that is held, by name."""

    def waiting(self) -> dict[str, bytes]:
        """Return the CSRs (PEM) that wait, by name."""

    def issued(self) -> dict[int, str]:
        """Return the name of every certificate ever signed, by serial."""

    def revoked(self) -> set[int]:
        """Return the serials in the CRL that nodes and servers get."""

    def hand_in(self, name: str, csr: bytes) -> None:
        """Do as an agent does that asks for a certificate."""

    def by_agents(self) -> set[str]:
        """Return the keys (SHA-256) of all CSRs that were handed in so, and not by espm."""


class FakeHoldings:
    """Those of the double."""

    def __init__(self, ca: FakeCa) -> None:
        self._ca = ca
        self._agents: set[str] = set()

    def held(self) -> dict[str, int]:
        """Return the serial of the certificate that is held, by name."""
        with self._ca.lock:
            return {name: _serial(pem) for name, pem in self._ca.issued.items()}

    def waiting(self) -> dict[str, bytes]:
        """Return the CSRs (PEM) that wait, by name."""
        with self._ca.lock:
            return dict(self._ca.requests)

    def issued(self) -> dict[int, str]:
        """Return the name of every certificate ever signed, by serial."""
        return {serial: name for name, serial in self._ca.ever}

    def revoked(self) -> set[int]:
        """Return the serials in the CRL."""
        with self._ca.lock:
            return set(self._ca.revoked)

    def hand_in(self, name: str, csr: bytes) -> None:
        """Do as an agent does that asks for a certificate."""
        self._agents.add(key_sha256(csr))
        with suppress(EspmError):  # There is one already, or a certificate.
            self._ca.submit(Certname(name), csr)

    def by_agents(self) -> set[str]:
        """Return the keys of all CSRs that agents handed in."""
        return self._agents


class LiveHoldings:
    """Those of a private Puppet Server: its files, and the CRL that it serves.

    Names that are there already are another espm's, and not looked at.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._agents: set[str] = set()
        self._unfinished: set[int] = set()
        self._seen: set[int] = set()
        self._others: frozenset[str] = frozenset()
        self._others = frozenset([*self.issued().values(), *self.waiting()])

    def held(self) -> dict[str, int]:
        """Return the serial of the certificate that is held, by name."""
        held = {name: _serial(pem) for name, pem in self._files("signed").items()}
        self._seen.update(held.values())
        return held

    def waiting(self) -> dict[str, bytes]:
        """Return the CSRs (PEM) that wait, by name."""
        return self._files("requests")

    def issued(self) -> dict[int, str]:
        """Return the name of every certificate ever signed, by serial: the CA's inventory."""
        inventory = (self._lab.cadir / "inventory.txt").read_text()
        rows = [line.split() for line in inventory.splitlines()]
        named = ((int(row[0], 16), row[-1].removeprefix("/CN=")) for row in rows)
        ours = {serial: name for serial, name in named if self._is_ours(name)}
        return {serial: ours[serial] for serial in ours.keys() - self._unfinished}

    def note_unfinished(self) -> None:
        """Take note of what the CA, which was just killed, had not come to sign.

        Puppet Server writes a line into its inventory, then the certificate, then removes the
        CSR (``autosign-certificate-request!``, ``sign-existing-csr!``).  Killed behind the first,
        it leaves a serial whose certificate nobody has ever got, nor can revoke.
        """
        revoked = _serials((self._lab.cadir / "ca_crl.pem").read_bytes())
        held, last = self.held(), {name: serial for serial, name in sorted(self.issued().items())}
        lost = {last[name] for name in last.keys() & self.waiting().keys()}
        self._unfinished |= lost - {*held.values()} - revoked - self._seen

    def revoked(self) -> set[int]:
        """Return the serials in the CRL that agents and servers get."""
        status, pem = self._lab.request("GET", "/puppet-ca/v1/certificate_revocation_list/ca")
        assert status == 200
        return _serials(pem)

    def hand_in(self, name: str, csr: bytes) -> None:
        """Do as an agent does that asks for a certificate."""
        self._agents.add(key_sha256(csr))
        # Refused where there is one already, or a certificate; and the CA may be away.
        with suppress(OSError, http.client.HTTPException):
            self._lab.request("PUT", f"/puppet-ca/v1/certificate_request/{name}", csr, timeout=10)

    def by_agents(self) -> set[str]:
        """Return the keys of all CSRs that agents handed in."""
        return self._agents

    def _files(self, directory: str) -> dict[str, bytes]:
        found: list[Path] = list((self._lab.cadir / directory).glob(f"*{DOMAIN}.pem"))
        return {path.stem: path.read_bytes() for path in found if self._is_ours(path.stem)}

    def _is_ours(self, name: str) -> bool:
        return name.endswith(DOMAIN) and name not in self._others


def _serials(crl: bytes) -> set[int]:
    return {each.serial_number for each in x509.load_pem_x509_crl(crl)}


def _serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


def key_sha256(csr: bytes) -> str:
    """Return the SHA-256 of the key in a CSR (PEM), as the ledger has it."""
    key = x509.load_pem_x509_csr(csr).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()
