"""The CA by Puppet Server's own command, for those who do not open the CA's API to espm.

CSRs are handed in and everything is read over HTTPS, as any agent may.  The command's exit codes
do not say what happened (it ends with 24 after it cleaned a CSR, with 1 when there was nothing
to clean), and one that hangs is killed half-way: the CA is looked at afterwards, every time.

It may take half a minute to clean a certificate.  Between its two calls Ruby's ``Net::HTTP`` looks
whether the kept connection has ended (``begin_transport``, ``eof?``); a TLS 1.3 session ticket
makes it wait there until Puppet Server closes the idle connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm import command, x509
from espm.ca.agent_http import CAN, CHECKS, AgentHttp, http_and_crl
from espm.errors import BackendError, BackendRefused, BackendUnavailable, CsrUnknown
from espm.model import SignedCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from espm.model import Certname, PuppetAccess
    from espm.ports import CertificateAuthority
    from espm.puppet_http import PuppetHttp

__all__ = ["CAN", "CHECKS", "NEEDS_PUPPET", "SPEC", "PuppetserverCa", "connect"]

#: [puppet] has to say how Puppet Server is reached.
NEEDS_PUPPET = True

SPEC = """
# Absolute path of Puppet Server's command, or of one that takes "ca sign" and so on like it and
# passes its exit code on: 0 has to mean that this very call signed the CSR.
program = path(default="/opt/puppetlabs/bin/puppetserver")
# Absolute path of the puppet.conf of the CA; espm's user must be able to read the key it names.
config = path(default="/etc/puppetlabs/puppet/puppet.conf")
# Seconds that the command may take; by itself it notices only after two minutes that a CA hangs.
command_timeout = seconds(1, 600, default=60)
"""


def connect(options: Mapping[str, Any], access: PuppetAccess) -> CertificateAuthority:
    """Return the CA behind ``access.ca_url`` and the command.  Nothing is started yet.

    :param options: the keys of ``[ca]`` and ``[puppetserver_ca]``.
    :raises espm.errors.ConfigError: they do not fit the CA.
    """
    return PuppetserverCa(*http_and_crl(options, access), options)


class CommandFailed(Exception):
    """What the command wrote, for the log."""


class PuppetserverCa(AgentHttp):
    """The CA by ``puppetserver ca``; see :class:`espm.ports.CertificateAuthority`."""

    def __init__(self, http: PuppetHttp, crl_file: Path | None, options: Mapping[str, Any]) -> None:
        super().__init__(http, crl_file)
        self._program: str = options["program"]
        self._config: str = options["config"]
        self._timeout: float = options["command_timeout"]

    def check_rights(self, certname: Certname) -> None:
        """Return: only the command itself finds out what it may do."""

    def sign(self, certname: Certname, _csr: bytes | None = None) -> SignedCertificate:
        """Have the CSR that waits signed and return the certificate."""
        failure = self._run("sign", certname)
        pem = self.certificate(certname)
        if pem is not None:
            return SignedCertificate(pem, by_us=failure is None)
        if self.request(certname) is None:
            msg = f"no CSR for {certname} waits at the CA"
            raise CsrUnknown(msg)
        raise failure or BackendUnavailable(f"the CA does not show a certificate for {certname}")

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits."""
        self.refuse_signed(certname)
        self.clean(certname)

    def revoke(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates the CA holds for *certnames*; the files stay."""
        held = {name: pem for name in certnames if (pem := self.certificate(name)) is not None}
        # The command is told many names at once, for it takes long to start.
        failure = self._run("revoke", *held) if held else None
        if failure:
            issued = [x509.parse_certificate(pem) for pem in held.values()]
            crl = x509.Revocations(self.crl(), serials={each.serial for each in issued})
            if not all(crl.show(each) for each in issued):
                raise failure

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free."""
        if not self._holds(certname):
            return
        failure = self._run("clean", certname)
        if self._holds(certname):
            raise failure or BackendUnavailable(f"the CA still holds files of {certname}")

    def _holds(self, certname: Certname) -> bool:
        return self.certificate(certname) is not None or self.request(certname) is not None

    def _run(self, action: str, *certnames: Certname) -> BackendError | None:
        """Run the command and return what seems to have gone wrong, if anything.

        The caller looks at the CA before it believes it.
        """
        names = ",".join(certnames)  # A certname has no comma, so these are as many as they seem.
        argv = [
            self._program, "ca", action, f"--certname={names}", "--config", self._config,
        ]  # fmt: skip
        try:
            output = command.run(argv, timeout=self._timeout)
        except BackendUnavailable as exc:
            return exc
        if output.status == 0:
            return None
        # No names: of a batch, some may be other platforms'.
        failure = BackendRefused(f"Puppet Server's command failed to {action}")
        failure.__cause__ = CommandFailed(names, output.stdout[:1000] + output.stderr[:2000])
        return failure
