"""The CA by its HTTP API, as far as auth.conf gives espm's own certificate the right.

Names are revoked and cleaned one by one by ``certificate_status``: unlike ``clean``, it loses no
revocation under load (Puppet Server locks it), and an auth.conf rule can narrow it by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm.ca.agent_http import API, CAN, AgentHttp, http_and_crl
from espm.errors import BackendRefused, BackendUnavailable, CsrUnknown
from espm.puppet_http import Reply, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from espm.model import Certname, PuppetAccess
    from espm.ports import CertificateAuthority

__all__ = ["CAN", "SPEC", "HttpApi", "connect"]

#: This backend has no keys of its own.
SPEC = ""


def connect(options: Mapping[str, Any], access: PuppetAccess) -> CertificateAuthority:
    """Return the CA behind ``access.ca_url``.  Nothing is connected to yet.

    :param options: the keys of ``[ca]``.
    :raises espm.errors.ConfigError: they do not fit the CA.
    """
    return HttpApi(*http_and_crl(options, access))


class HttpApi(AgentHttp):
    """The CA by its HTTP API; see :class:`espm.ports.CertificateAuthority`."""

    _may_sign = False

    def check_rights(self, certname: Certname) -> None:
        """Return when auth.conf lets us sign *certname*; it is asked until it was seen once."""
        if not self._may_sign:
            self._status("GET", certname, accept=(200, 404))
            self._may_sign = True

    def sign(self, certname: Certname) -> bytes:
        """Have the CSR that waits signed and return the certificate."""
        reply = self._wish("signed", certname)
        pem = self.certificate(certname)
        if pem is not None:
            return pem
        if reply.status == 204:
            msg = f"the CA signed the CSR for {certname} and does not show the certificate"
            raise BackendUnavailable(msg)
        if self.request(certname) is None:
            msg = f"no CSR for {certname} waits at the CA"
            raise CsrUnknown(msg)
        msg = f"the CA does not sign the CSR for {certname}"
        raise BackendRefused(msg) from UnexpectedAnswer(reply.text[:500])

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits."""
        self.refuse_signed(certname)
        self.clean(certname)

    def revoke(self, certname: Certname) -> None:
        """Revoke the certificate the CA holds for *certname*; the file stays."""
        # Servers from 8.2.2 on look into the inventory when there is no file, and fail with 500
        # when they find an expired certificate there.
        if self.certificate(certname) is not None:
            self._wish("revoked", certname)

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free."""
        self._status("DELETE", certname, accept=(204, 404))

    def _wish(self, state: str, certname: Certname) -> Reply:
        """Ask for a state.

        404 says that there is nothing of that name, 409 that there is no CSR to sign, no
        certificate to revoke, or a CSR that must not be signed.
        """
        return self._status("PUT", certname, json={"desired_state": state}, accept=(204, 404, 409))

    def _status(
        self, method: str, certname: Certname, *, json: Any = None, accept: Collection[int]
    ) -> Reply:
        path = f"{API}/certificate_status/{certname}"
        return self.http.call(method, path, json=json, accept=accept)
