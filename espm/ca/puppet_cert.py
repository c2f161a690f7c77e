"""The CA of Puppet up to version 5, by ``puppet cert`` on its own host.

The helper ``espm_tools`` runs it there, under a lock that all writers of ours share, and refuses
names without a file, which Puppet would take for regular expressions.  What the command says is
judged by :mod:`espm.ca.cert_texts`; what counts are the CA's files, read back each time::

    submit ─> a file in requests      sign ─> gathered, one command ─> the file in signed
    revoke ─> one command ─> the CRL is looked at by whoever asked, and what is missing is healed
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_csr

from espm import x509
from espm.ca.after import After
from espm.ca.cert_texts import blame, failed, signed
from espm.ca.cert_tools import CertTools
from espm.ca.looks import Looks
from espm.errors import (
    BackendRefused,
    ConfigError,
    CsrUnknown,
    InvalidCertname,
)
from espm.host import HOST_SPEC
from espm.host import connect as connect_host
from espm.model import SignedCertificate
from espm.together import Together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from espm.model import Certname, Issued, PuppetAccess
    from espm.ports.host import Host

__all__ = ["CAN", "CHECKS", "KEY_TYPE", "SECTION", "SPEC", "PuppetCert", "connect"]

#: What platforms may ask of a CA that is reached so; GET /v1/whoami says it.
CAN = ("make-key", "sign-csr", "sign-pending", "replace-pending", "revoke")

#: The lines of ``espm check`` that are about such a CA.
CHECKS = ("old tools", "puppet cert", "CA files", "after revoke", "CRL")

#: Where such a Puppet has the settings of its server, in puppet.conf.
SECTION = "master"

#: Old agents read no other keys.
KEY_TYPE = "rsa2048"

SPEC = f"""{HOST_SPEC}
# Whether Puppet's own generate issues the certificates for keys that espm makes: yes or no. The
# key is a file on the CA's host while that runs, and on no disk otherwise.
native_generate = boolean(default=no)
"""

#: From here on clean stops before it removes what it has not revoked (reference facts, 1.1).
_CLEAN_SINCE = (2, 7, 19)

#: Seconds that the version is not asked for again.
_VERSION_SECONDS = 300.0

#: Seconds that the first to have a CSR signed waits for others.
_WINDOW = 0.02


def connect(options: Mapping[str, Any], _access: PuppetAccess) -> PuppetCert:
    """Return the CA on the host that *options* name.  Nothing is started yet.

    :param options: the keys of ``[ca]`` and ``[puppet_cert]``.
    :raises espm.errors.ConfigError: they do not fit.
    """
    if not options["native_generate"]:
        return PuppetCert(connect_host(options), options["command_timeout"])
    if options.get("key_type") == "ec":
        raise ConfigError(["[puppet_cert] native_generate: Puppet's generate knows no ec keys"])
    return NativeCert(connect_host(options), options["command_timeout"])


class PuppetCert:
    """The CA by ``puppet cert``; see :class:`espm.ports.CertificateAuthority`.

    :param timeout: seconds that a command on the host may take.
    :ivar old_digests: what agents up to 2.7 sign their CSRs with.
    """

    old_digests = frozenset({"md5", "sha1"})

    def __init__(self, host: Host, timeout: float) -> None:
        self._tools = CertTools(host, timeout)
        self._looks = Looks(self._tools)
        self._after = After(host, timeout)
        self._signing = Together(self._sign_all, window=_WINDOW)
        self._version = ""
        self._asked = float("-inf")

    def version(self) -> str:
        """Return the version of Puppet; it is asked for every few minutes."""
        self._tools.checked("ping", "ca")
        if time.monotonic() - self._asked > _VERSION_SECONDS:
            output = self._tools.checked("version")
            found = re.findall(rb"^(\d+\.\d+\.\d+)", output.stdout, re.MULTILINE)
            if not found:
                msg = "puppet does not say its version"
                raise BackendRefused(msg)
            self._version, self._asked = found[-1].decode(), time.monotonic()
        return self._version

    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, valid or revoked, if any."""
        if certname.startswith("_"):
            msg = "with this CA a certname starts with a letter or a digit"
            raise InvalidCertname(msg)
        return self._looks.at(certname)

    def request(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname* that waits at the CA, if any."""
        return self._tools.file("request", certname)

    def check_rights(self, certname: Certname) -> None:
        """Return: only the command itself finds out what it may do."""

    def about_to_sign(self, _: Certname) -> AbstractContextManager[None]:
        """Do nothing: the command is started when it is to sign."""
        return nullcontext()

    def submit(self, certname: Certname, csr: bytes) -> None:
        """Put *csr* where an agent's would be."""
        pem = load_pem_x509_csr(csr).public_bytes(Encoding.PEM)
        self._tools.checked("submit", certname, stdin=pem)

    def sign(self, certname: Certname, _csr: bytes | None = None) -> SignedCertificate:
        """Have the CSR that waits signed, along with others, and return the certificate."""
        by_us = self.request(certname) is not None and self._signing.ask(certname)
        # Looked for whatever was said; a batch stops at the first CSR that is refused.
        pem = self.certificate(certname)
        return self._sign_alone(certname) if pem is None else SignedCertificate(pem, by_us)

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits."""
        self._tools.checked("withdraw", certname)

    def revoke(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates the CA holds for *certnames*; the files stay."""
        output = self._looks.end("revoke", certnames)
        if output is not None:
            self._after.want()
            if failed(output):
                raise blame(output, "revoke", certnames[0])

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free."""
        output = self._looks.end("clean", [certname])
        if output is None:
            self._tools.checked("withdraw", certname)
        elif not self._looks.gone(certname):
            raise blame(output, "clean", certname)

    def crl(self) -> bytes:
        """Return the CRL that the master reads."""
        return self._tools.checked("crl").stdout

    def bundle(self) -> bytes:
        """Return the CA's certificate."""
        pem = self._tools.checked("bundle").stdout
        x509.certificates(pem)
        return pem

    def can_clean(self) -> bool:
        """Return whether this Puppet's ``clean`` may be told several names."""
        return tuple(map(int, self.version().split("."))) >= _CLEAN_SINCE

    def clean_all(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates of *certnames* and remove them, all at once."""
        output = self._looks.end("clean", certnames)
        if output is None:
            return
        self._after.want()
        left = [name for name in certnames if not self._looks.gone(name)]
        if left:
            raise blame(output, "clean", left[0])

    def can_heal(self) -> bool:
        """Return True: the helper puts a certificate back where Puppet reads its serial."""
        return True

    def heal(self, certname: Certname, issued: Issued) -> None:
        """Revoke a certificate that the CA may not hold any more, and no other."""
        output = self._tools.call("heal", f"{issued.serial:x}", stdin=issued.pem.encode())
        if failed(output):
            raise blame(output, "revoke", certname)
        self._after.want()

    def _sign_all(self, certnames: Sequence[Certname]) -> Sequence[bool]:
        """Return for each whether it was signed by this, as Puppet says."""
        done = signed(self._tools.call("sign", *dict.fromkeys(certnames)))
        return [certname in done for certname in certnames]

    def _sign_alone(self, certname: Certname) -> SignedCertificate:
        """Sign again what was not signed with others, and say why if it still is not."""
        if self.request(certname) is None:
            msg = f"no CSR for {certname} waits at the CA"
            raise CsrUnknown(msg)
        output = self._tools.call("sign", certname)
        pem = self.certificate(certname)
        if pem is None:
            raise blame(output, "sign", certname)
        return SignedCertificate(pem, certname in signed(output))


class NativeCert(PuppetCert):
    """The CA by ``puppet cert`` with ``generate``; see :class:`espm.ports.Generating`."""

    def generate(self, certname: Certname, key: bytes) -> SignedCertificate:
        """Have a certificate made for *key*, which is on no disk afterwards."""
        output = self._tools.call("generate", certname, stdin=key)
        pem = self.certificate(certname)
        if pem is None or output.status == 74:
            raise blame(output, "generate", certname)
        return SignedCertificate(pem, certname in signed(output))
