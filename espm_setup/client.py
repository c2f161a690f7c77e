"""espm's own certificate at Puppet: an ordinary one, signed by the administrator's CA.

::

    no CSR ──submit──> CSR waits ──sign──> signed ──fetch──> puppet.pem
                          ^                  ^
                          │                  └── puppetserver ca sign: by us when we may,
                          └── also from an earlier run           else by the administrator

Each step looks first, so that the whole can be repeated at any point.
"""

from __future__ import annotations

import os
import pwd
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from espm import x509
from espm.ca.agent_http import AgentHttp
from espm.command import run
from espm.errors import EspmError
from espm.model import Certname, PuppetAccess
from espm.puppet_http import PuppetHttp
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from espm.x509 import Key


class NotSigned(SetupError):
    """The certificate is not there yet; the message says what the administrator does."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The native command that signs.

    :ivar program: absolute path of ``puppetserver``, if it is on this machine.
    :ivar config: the puppet.conf that it is to use, if not its usual one.
    :ivar user: who may run it, beside root.
    """

    program: str | None
    config: Path | None
    user: str

    def command(self, certname: str) -> list[str]:
        """Return the words of the command that signs *certname*."""
        words = [self.program or "puppetserver", "ca", "sign", "--certname", certname]
        return [*words, "--config", str(self.config)] if self.config else words

    def sign(self, certname: str) -> bool:
        """Run it if we may; return whether it says that it signed."""
        own = pwd.getpwuid(os.geteuid()).pw_name
        if self.program is None or own not in ("root", self.user):
            return False
        return run(self.command(certname), timeout=120).status == 0


class CertSigner(Signer):
    """The native command up to Puppet 5; its ``program`` is ``puppet``."""

    def command(self, certname: str) -> list[str]:
        """Return the words of the command that signs *certname*."""
        words = [self.program or "puppet", "cert", "sign", "--color=false"]
        confdir = ["--confdir", str(self.config.parent)] if self.config else []
        return [*words, *confdir, "--", certname]


def obtain(ca_url: str, ca_file: Path, certname: Certname, key: Key, signer: Signer) -> bytes:
    """Return the certificate (PEM) of *certname* for *key*, having it signed if we may.

    :raises espm_setup.client.NotSigned: somebody else has to do something first.
    :raises espm_setup.errors.SetupError: the name belongs to another key.
    """
    access = PuppetAccess(ca_url, ca_url, "", "", str(ca_file))
    http = PuppetHttp(ca_url, access)
    try:
        return _obtained(AgentHttp(http), certname, key, signer)
    except EspmError as exc:
        msg = f"{exc}; once Puppet Server runs at {ca_url}, repeat with --fetch-certificate"
        raise NotSigned(msg) from exc
    finally:
        http.close()


def private_key(pem: bytes) -> Key:
    """Return the key that an earlier run made.

    :raises espm_setup.errors.SetupError: it is none.
    """
    try:
        key: Key = load_pem_private_key(pem, None)  # type: ignore[assignment]  # we made it
    except (ValueError, TypeError) as exc:
        msg = "the file of espm's private key does not hold one (PEM, without a passphrase)"
        raise SetupError(msg) from exc
    return key


def _obtained(ca: AgentHttp, certname: Certname, key: Key, signer: Signer) -> bytes:
    if found := _certificate(ca, certname, key):
        return found
    _submit(ca, certname, key)
    # An autosigning CA has signed by now, and there is nothing left to sign.
    if found := _certificate(ca, certname, key):
        return found
    signer.sign(certname)
    if found := _certificate(ca, certname, key):
        return found
    command = shlex.join(signer.command(certname))
    msg = f"on the CA server, run: {command} -- then here: espm_setup --fetch-certificate"
    raise NotSigned(msg)


def _certificate(ca: AgentHttp, certname: Certname, key: Key) -> bytes | None:
    pem = ca.certificate(certname)
    if pem and x509.parse_certificate(pem).key_sha256 != x509.key_sha256(key.public_key()):
        raise SetupError(_of_another_key(certname, "certificate"))
    return pem


def _submit(ca: AgentHttp, certname: Certname, key: Key) -> None:
    waiting = ca.request(certname)
    if waiting is None:
        ca.submit(certname, x509.new_csr(certname, key))
    elif x509.csr_key_sha256(waiting) != x509.key_sha256(key.public_key()):
        raise SetupError(_of_another_key(certname, "CSR"))


def _of_another_key(certname: str, what: str) -> str:
    return (
        f"the CA has a {what} of the name {certname} with another key, perhaps of an earlier "
        f"espm: clean it with 'puppetserver ca clean --certname {certname}', or choose another "
        "name with --certname; then repeat this command"
    )
