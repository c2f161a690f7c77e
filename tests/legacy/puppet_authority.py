"""What old Puppet's CA does, mistakes included (reference facts on old Puppet, 1.2 to 1.6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.legacy import puppet_crl, puppet_policy
from tests.legacy.puppet_birth import open_ca
from tests.legacy.puppet_files import HOSTILE, is_there
from tests.legacy.puppet_inventory import Inventory
from tests.legacy.puppet_speech import inspect
from tests.legacy.puppet_versions import Refused
from tests.legacy.puppet_x509 import (
    PEM,
    issue,
    key_pem,
    make_csr,
    make_key,
    public_pem,
    read_certificate,
    read_crl,
    read_csr,
    read_key,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.legacy.puppet_files import Files
    from tests.legacy.puppet_settings import Settings
    from tests.legacy.puppet_speech import Speech


class Authority:
    """One CA as one command sees it; it is made on its first use.

    :param local: whether a host's own files count as well as the CA's, which is so for
        ``generate`` and ``clean``.
    :raises Broken: it cannot be used.
    """

    def __init__(self, files: Files, settings: Settings, speech: Speech, *, local: bool) -> None:
        self.files = files
        self._settings = settings
        self._traits = settings.traits
        self._speech = speech
        self._local = local
        self._inventory = Inventory(files, settings.traits, speech)
        self.certificate, self._key = open_ca(files, settings, speech, self._inventory)

    def find(self, name: str) -> Path | None:
        """Return where a certificate of that name is, with a host's own files first.

        :raises Refused: the name cannot be a file's.
        """
        if HOSTILE.search(name):
            self._refuse_hostile(name, "Certificate")
        own = [self.files.certificate(name)] if self._local else []
        found = [path for path in (*own, self.files.signed(name)) if is_there(path)]
        return found[0] if found else None

    def find_csr(self, name: str) -> Path | None:
        """Return where a CSR of that name waits.

        :raises Refused: the name cannot be a file's.
        """
        if HOSTILE.search(name):
            self._refuse_hostile(name, "CertificateRequest")
        path = self.files.request(name)
        return path if is_there(path) else None

    def _refuse_hostile(self, name: str, model: str) -> None:
        said = f"directory traversal detected in Puppet::SSL::{model}"
        if self._local:
            self._speech.log("crit", f"{said}::File: {inspect(name)}")
            self._speech.log("err", f"Cached certificate for {name} failed: invalid key")
        self._speech.log("crit", f"{said}::Ca: {inspect(name)}")
        msg = "invalid key"
        raise Refused(msg)

    def generate(self, name: str, alt_names: list[str]) -> None:
        """Make key, CSR and certificate of a host.

        A private key that is there is used again (trap 5).

        :raises Refused: there is a certificate or a CSR, which leaves a key behind, or the CSR is
            not to be signed, which leaves it and the key behind.
        """
        if self.find(name):
            msg = f"A Certificate already exists for {name}"
            raise Refused(msg)
        puppet_policy.check_name(name, self._traits)
        csr = make_csr(self._host_key(name), name, alt_names)
        self.files.write(self.files.copy(name), csr, 0o644)
        self._submit(name, csr)
        self._settings.reached("csr")
        self.sign(name, alt_names_allowed=bool(alt_names))
        self.files.write(self.files.certificate(name), self.files.signed(name).read_bytes())
        self._remove("CertificateRequest", name, self.files.copy(name))

    def _host_key(self, name: str) -> rsa.RSAPrivateKey:
        path = self.files.key(name)
        if is_there(path):
            return read_key(path)
        key = make_key(self._settings.keylength)
        # Who comes second overwrites the first one's key (reference facts on old Puppet, 1.6).
        time.sleep(self._settings.key_gap)
        self.files.write(path, key_pem(key))
        self.files.write(self.files.public(name), public_pem(key))
        return key

    def _submit(self, name: str, csr: bytes) -> None:
        """Let the CSR wait.  Of two that come at once one is refused, in all recorded runs."""
        try:
            self.files.write(self.files.request(name), csr, 0o644, how="xb")
        except FileExistsError as exc:
            msg = f"{name} already has a requested certificate; ignoring certificate request"
            raise Refused(msg) from exc
        if self.find(name):
            self.files.request(name).unlink()
            msg = f"{name} already has a signed certificate; ignoring certificate request"
            raise Refused(msg)
        self._speech.notice(f"{name} has a waiting certificate request")

    def policy(self, name: str, csr: x509.CertificateSigningRequest, *, allowed: bool) -> None:
        """Refuse what is not to be signed; the CA's own host may have SANs.

        :raises Refused: it asks for too much.
        """
        allowed = allowed or name == self._settings.certname
        puppet_policy.check(name, csr, self._traits, alt_names_allowed=allowed)

    def sign(self, name: str, *, alt_names_allowed: bool) -> None:
        """Sign the CSR that waits: serial, inventory, certificate, and the CSR goes.

        :raises Refused: there is none, or it is not to be signed.
        """
        path = self.find_csr(name)
        if path is None:
            msg = f"Could not find certificate request for {name}"
            raise Refused(msg)
        puppet_policy.check_name(name, self._traits)
        csr = read_csr(path)
        self.policy(name, csr, allowed=alt_names_allowed)
        serial = self.files.next_serial(self._settings.reached)
        authority = (self.certificate, self._key)
        certificate = issue(csr, authority, serial, self._settings.lifetime)
        self._speech.notice(f"Signed certificate request for {name}")
        self._inventory.add(certificate)
        self._settings.reached("inventory")
        self.files.write(self.files.signed(name), certificate.public_bytes(PEM))
        self._settings.reached("signed")
        self._remove("CertificateRequest", name, path)

    def revoke(self, name: str) -> None:
        """Put the serials of a name into the CRL, also again.

        The CRL is read, changed and written without a lock: what others write in between is lost
        (reference facts on old Puppet, 1.6).

        :raises Refused: nobody knows a serial of that name.
        """
        for serial in self._serials(name):
            crl = read_crl(self.files.crl)
            self._speech.notice(f"Revoked certificate with serial {serial}")
            time.sleep(self._settings.crl_gap)
            self._settings.reached("revoked")
            self.files.write(self.files.crl, puppet_crl.extended(crl, serial, self._key), 0o664)

    def _serials(self, name: str) -> list[int]:
        path = self.find(name)
        if path:
            return [read_certificate(path).serial_number]
        digits = name.removeprefix("0x")
        if self._traits.hexadecimal and digits != name and set(digits) <= set("0123456789abcdef"):
            return [int(digits, 16)]
        return self._inventory.serials(name)

    def destroy(self, name: str) -> None:
        """Remove all files of a name; the public key goes without a word.

        :raises Refused: the name cannot be a file's.
        """
        self.find(name)
        files = self.files
        self._remove("Certificate", name, files.signed(name))
        self._remove("Certificate", name, files.certificate(name))
        self._remove("CertificateRequest", name, files.request(name))
        self._remove("CertificateRequest", name, files.copy(name))
        self._remove("Key", name, files.key(name))
        files.public(name).unlink(missing_ok=True)

    def _remove(self, model: str, name: str, path: Path) -> None:
        if is_there(path):
            self._speech.notice(f"Removing file Puppet::SSL::{model} {name} at '{path}'")
            path.unlink(missing_ok=True)
