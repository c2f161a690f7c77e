"""The CA by its HTTP API, as far as auth.conf gives espm's own certificate the right.

Names are revoked and cleaned one by one by ``certificate_status``, which loses no revocation under
load (Puppet Server locks it) and which an auth.conf rule can narrow by name; or, with
``ca_scope = full``, many at once by ``clean``, which costs as much as one but does lose them.  So
that is used only where a loss can be healed: where espm can write into the CA's directory of
signed certificates, which is tried before.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espm import x509
from espm.ca.agent_http import API, CAN, AgentHttp, http_and_crl
from espm.ca.agent_http import CHECKS as AGENT_CHECKS
from espm.ca.directories import Directories
from espm.ca.handing_in import HandingIn
from espm.ca.signed import Signed
from espm.ca.waiting import Waiting
from espm.errors import BackendRefused, BackendUnavailable, CsrUnknown
from espm.model import SignedCertificate
from espm.puppet_http import Reply, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from espm.kept import Begun
    from espm.model import Certname, Issued, PuppetAccess
    from espm.ports import CertificateAuthority
    from espm.puppet_http import PuppetHttp

__all__ = ["CAN", "CHECKS", "NEEDS_PUPPET", "SPEC", "HttpApi", "connect"]

#: The lines of ``espm check`` that are about such a CA.
CHECKS = (*AGENT_CHECKS, "CA requests")

#: [puppet] has to say how Puppet Server is reached.
NEEDS_PUPPET = True

SPEC = """
# What auth.conf lets espm do at the CA: prefix (certificate_status, name by name) or full (also
# clean, many names at once, where [ca] signed_dir allows espm to make lost revocations good).
ca_scope = option("prefix", "full", default="prefix")
"""

_SIGNED, _REVOKED = {"desired_state": "signed"}, {"desired_state": "revoked"}

#: The first versions that have ``clean`` (reference facts on the CA, 2.1), by their first number.
_CLEAN_SINCE = {5: (5, 3, 15), 6: (6, 14, 0)}

#: From here on a certificate is revoked by the inventory when its file is gone.
_BY_INVENTORY = (8, 2, 2)

#: A clean of many names writes a long CRL once; it takes longer than a single call.
_CLEAN_SECONDS = 300.0


def connect(options: Mapping[str, Any], access: PuppetAccess) -> CertificateAuthority:
    """Return the CA behind ``access.ca_url``.  Nothing is connected to yet.

    :param options: the keys of ``[ca]`` and ``[http_api]``.
    :raises espm.errors.ConfigError: they do not fit the CA.
    """
    http, crl_file = http_and_crl(options, access)
    signed, waiting = options.get("signed_dir"), options.get("requests_dir")
    return HttpApi(
        http,
        crl_file,
        signed=Signed(Path(signed)) if signed else None,
        waiting=Waiting(Path(waiting)) if waiting else None,
        certificate=Path(access.certificate),
        full=options.get("ca_scope") == "full",
    )


class HttpApi(AgentHttp):
    """The CA by its HTTP API; see :class:`espm.ports.CertificateAuthority` and ``Healing``.

    :param signed: the CA's directory of signed certificates, if it may be written.
    :param waiting: the CA's directory of CSRs that wait, if it may be written.
    :param certificate: espm's own at this CA, to try the directory with.
    :param full: whether auth.conf allows ``clean``.
    """

    def __init__(
        self,
        http: PuppetHttp,
        crl_file: Path | None = None,
        *,
        signed: Signed | None = None,
        waiting: Waiting | None = None,
        certificate: Path | None = None,
        full: bool = False,
    ) -> None:
        super().__init__(http, crl_file)
        directories = Directories(self._find, signed, waiting, certificate or Path())
        self._signed, self._waiting = directories.signed, directories.waiting
        self._handing_in = HandingIn(directories.waiting, self.certificate)
        self._full = full
        self._may_sign = False
        self._begun: dict[Certname, Begun] = {}
        self._version: tuple[float, tuple[int, ...]] = (float("-inf"), ())

    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, valid or revoked, if any.

        Read from the CA's directory where that is proved to be the one; what can't be read there
        is asked for.
        """
        signed = self._signed.at_hand()
        if signed is not None:
            with suppress(OSError, BackendRefused):
                pem = signed.read(certname)
                return None if pem is None else x509.of_name(pem, certname)
        return super().certificate(certname)

    def check_rights(self, certname: Certname) -> None:
        """Return when auth.conf lets us sign *certname*; it is asked until it was seen once."""
        if not self._may_sign:
            self.http.call("GET", _status(certname), accept=(200, 404))
            self._may_sign = True

    @contextmanager
    def about_to_sign(self, certname: Certname) -> Iterator[None]:
        """Begin the call that signs, where nothing else is to be asked of the CA before its end.

        What has to wait for another call would keep two of Puppet Server's threads.
        """
        path = _status(certname)
        if self._waiting.at_hand() and (begun := self.http.begin("PUT", path, json=_SIGNED)):
            self._begun[certname] = begun
        try:
            yield
        finally:
            if left := self._begun.pop(certname, None):
                left.leave()

    def submit(self, certname: Certname, csr: bytes) -> None:
        """Hand in *csr*: put it into the CA's directory where that is proved to be the one."""
        if not self._handing_in.put(certname, csr):
            super().submit(certname, csr)

    def puts(self) -> bool:
        """Return whether CSRs are put into the CA's directory."""
        return self._waiting.get() is not None

    def sign(self, certname: Certname, csr: bytes | None = None) -> SignedCertificate:
        """Have the CSR that waits signed and return the certificate."""
        if csr is not None:
            self._handing_in.refuse_another(certname, csr)
        reply = self._wish(_SIGNED, certname, self._begun.pop(certname, None))
        pem = self.certificate(certname)
        if pem is not None:
            return SignedCertificate(pem, by_us=reply.status == 204)
        if reply.status == 204:
            msg = f"the CA signed the CSR for {certname} and does not show the certificate"
            raise BackendUnavailable(msg)
        if self.request(certname) is None:
            msg = f"no CSR for {certname} waits at the CA"
            error = CsrUnknown(msg)
            if csr is not None:
                self._handing_in.missed(certname, csr, error)
            raise error
        msg = f"the CA does not sign the CSR for {certname}"
        raise BackendRefused(msg) from UnexpectedAnswer(reply.text[:500])

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits; as a file, also beside a certificate."""
        removed = self._handing_in.take_out(certname)
        self.refuse_signed(certname)
        if not removed or self.request(certname) is not None:
            self.clean(certname)

    def revoke(self, certnames: Sequence[Certname]) -> None:
        """Revoke the certificates the CA holds for *certnames*; the files stay."""
        # Servers from 8.2.2 on look into the inventory when there is no file, and fail with 500
        # when they find an expired certificate there.
        for certname in certnames:
            if self.certificate(certname) is not None:
                self._wish(_REVOKED, certname)

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free."""
        self.http.call("DELETE", _status(certname), accept=(204, 404))

    def can_clean(self) -> bool:
        """Return whether ``clean`` is there, allowed, and its losses can be healed."""
        if not (self._full and self._signed.directory and self.can_heal()):
            return False
        version = self._known_version()
        return version >= _CLEAN_SINCE.get(version[0], (7,))

    def _known_version(self) -> tuple[int, ...]:
        """Return the version as it was when the directory was tried."""
        tried, version = self._version
        if tried != self._signed.tried:
            version = _numbers(self.version())
            self._version = (self._signed.tried, version)
        return version

    def clean_all(self, certnames: Sequence[Certname]) -> None:
        """Revoke and remove the certificates of *certnames*, all at once."""
        names = {"certnames": list(certnames)}
        path = f"{API}/clean"
        self.http.call("PUT", path, json=names, accept=(200,), timeout=_CLEAN_SECONDS)

    def can_heal(self) -> bool:
        """Return whether a certificate that we put into the CA's directory is the CA's.

        Tried with espm's own certificate, which is not revoked thereby.
        """
        if self._signed.directory is None:
            return _numbers(self.version()) >= _BY_INVENTORY
        return self._signed.get() is not None

    def heal(self, certname: Certname, issued: Issued) -> None:
        """Revoke a certificate that the CA may not hold any more, and no other."""
        if self._signed.directory is not None:
            with self._signed.directory.put_back(issued.pem, f"{issued.serial:x}") as name:
                self._wish(_REVOKED, name)
        elif self.certificate(certname) is None:
            # By the inventory, which has every serial of the name.
            self._wish(_REVOKED, certname)

    def _wish(
        self, state: Mapping[str, str], certname: Certname, begun: Begun | None = None
    ) -> Reply:
        """Ask for a state.

        404 says that there is nothing of that name, 409 that there is no CSR to sign, no
        certificate to revoke, or a CSR that must not be signed.
        """
        answers = (204, 404, 409)
        return self.http.call("PUT", _status(certname), json=state, accept=answers, begun=begun)


def _status(certname: Certname) -> str:
    return f"{API}/certificate_status/{certname}"


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to be compared; ``(0,)`` for one that has none."""
    return tuple(map(int, re.findall(r"\d{1,9}", version)[:3])) or (0,)
