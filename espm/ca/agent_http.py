"""What any agent may ask of Puppet's CA over HTTPS: reading, and handing in a CSR.

Both ways to sign and revoke (:mod:`espm.ca.http_api`, :mod:`espm.ca.puppetserver_ca`) stand on
it.  The answers are those of Puppet Server's CA API, version 1.  A "404" counts as "there is
none" only with the words of Puppet's CA: a compile server without a CA knows no certificate
either, and whoever believes it takes every name for free.
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espm import x509
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    ConfigError,
    CsrPending,
)
from espm.puppet_http import PuppetHttp, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from espm.model import Certname, Issued, PuppetAccess

API = "/puppet-ca/v1"

#: The lines of ``espm check`` that are about such a CA.
CHECKS = ("client TLS", "CA", "CA rights", "CA healing", "CRL")

#: What platforms may ask of a CA that is reached so; GET /v1/whoami says it.
CAN = ("make-key", "sign-csr", "sign-pending", "replace-pending", "revoke")

#: For how long the CA's own certificates are taken to be those that they were.
_BUNDLE_SECONDS = 60.0

_DUPLICATE = re.compile(r" already has a (requested|signed|revoked) certificate")
_INFRA_CRL = re.compile(r'^[^#/\n]*"?enable-infra-crl"?\s*[:=]\s*"?true\b', re.MULTILINE)


class AgentHttp:
    """The part of :class:`espm.ports.CertificateAuthority` that needs no rights.

    A :class:`~espm.model.Certname` has no character that a URL would need quoted.

    :param http: calls to the CA server.
    :param crl_file: where the CRL is read from, when what the CA serves is not the whole one.
    """

    old_digests: frozenset[str] = frozenset()

    def __init__(self, http: PuppetHttp, crl_file: Path | None = None) -> None:
        self.http = http
        self._crl_file = crl_file
        self._bundle = float("-inf"), b""

    def version(self) -> str:
        """Return the version of the server that runs the CA."""
        status = self.http.call("GET", "/status/v1/services/ca", accept=(200,)).json()
        version = status.get("service_version") if isinstance(status, dict) else None
        if not isinstance(version, str):
            msg = "the CA server does not say its version"
            raise BackendRefused(msg)
        return version

    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, valid or revoked, if any."""
        pem = self._find("certificate", certname)
        return None if pem is None else x509.of_name(pem, certname)

    def request(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname* that waits at the CA, if any."""
        return self._find("certificate_request", certname)

    def about_to_sign(self, _: Certname) -> AbstractContextManager[None]:
        """Do nothing: no call of ours signs."""
        return nullcontext()

    def submit(self, certname: Certname, csr: bytes) -> None:
        """Hand in *csr* as an agent would."""
        reply = self.http.call(
            "PUT",
            f"{API}/certificate_request/{certname}",
            body=csr,
            headers={"Content-Type": "text/plain"},
            accept=(200, 400),
        )
        if reply.status == 400:
            raise _refusal(certname, reply.text)

    def refuse_signed(self, certname: Certname) -> None:
        """Return when the CA holds no certificate of that name.

        To be called before a CSR is removed: the calls that do it remove a certificate as well,
        and one that was signed meanwhile must not vanish unrevoked.  The API's DELETE
        certificate_request, which spares it, has no rule in Puppet's auth.conf.

        :raises espm.errors.CertnameTaken: it does.
        """
        if self.certificate(certname) is not None:
            msg = f"the CA has signed the CSR for {certname} meanwhile"
            raise CertnameTaken(msg)

    def crl(self) -> bytes:
        """Return the CRLs (concatenated PEM) that nodes and servers are given."""
        pem = self._served_crl() if self._crl_file is None else _read(self._crl_file)
        if b"-----BEGIN X509 CRL-----" not in pem:
            msg = "the CA gave something that is not a CRL"
            raise BackendRefused(msg)
        return pem

    def bundle(self) -> bytes:
        """Return the CA certificates (concatenated PEM) that a node must trust."""
        until, pem = self._bundle
        if time.monotonic() > until:
            pem = self.http.call("GET", f"{API}/certificate/ca", accept=(200,)).body
            x509.certificates(pem)
            self._bundle = time.monotonic() + _BUNDLE_SECONDS, pem
        return pem

    def can_clean(self) -> bool:
        """Return False: not without further rights."""
        return False

    def clean_all(self, certnames: Sequence[Certname]) -> None:
        """Refuse: certificates are removed one by one."""
        msg = f"this way to the CA does not clean {len(certnames)} names at once"
        raise BackendRefused(msg)

    def can_heal(self) -> bool:
        """Return False: not without the CA's directory."""
        return False

    def heal(self, certname: Certname, _: Issued) -> None:
        """Refuse: what the CA has lost stays lost."""
        msg = f"this way to the CA can't make good a lost revocation of {certname}"
        raise BackendRefused(msg)

    def _served_crl(self) -> bytes:
        return self.http.call("GET", f"{API}/certificate_revocation_list/ca", accept=(200,)).body

    def _find(self, kind: str, certname: Certname) -> bytes | None:
        reply = self.http.call("GET", f"{API}/{kind}/{certname}", accept=(200, 404))
        if reply.status == 200:
            return reply.body
        if f"Could not find {kind} {certname}" in reply.text:
            return None
        msg = "the CA server does not answer as Puppet's CA does: look at [puppet] ca_url"
        raise BackendRefused(msg) from UnexpectedAnswer(reply.text[:500])


def http_and_crl(
    options: Mapping[str, Any], access: PuppetAccess
) -> tuple[PuppetHttp, Path | None]:
    """Return what :class:`AgentHttp` needs, from the keys that all CA backends share.

    :param options: ``crl_file`` and ``ca_conf``, each a path or empty.
    :raises espm.errors.ConfigError: the CA serves the infrastructure CRL, which lacks the nodes,
        and ``crl_file`` does not say where the whole one is.
    """
    crl_file, ca_conf = options.get("crl_file"), options.get("ca_conf")
    if ca_conf and not crl_file and _serves_infra_crl(Path(ca_conf)):
        fault = (
            f"[ca] crl_file: {ca_conf} has enable-infra-crl: true, so the CRL that the CA serves "
            "shows no revoked node; name the CA's ca_crl.pem here"
        )
        raise ConfigError([fault])
    return PuppetHttp(access.ca_url, access), Path(crl_file) if crl_file else None


def _serves_infra_crl(ca_conf: Path) -> bool:
    try:
        return bool(_INFRA_CRL.search(ca_conf.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"[ca] ca_conf: {ca_conf} cannot be read: {exc}"]) from exc


def _refusal(certname: Certname, text: str) -> Exception:
    """Return what a 400 to a CSR means."""
    cause = UnexpectedAnswer(text[:500])
    duplicate = _DUPLICATE.search(text)
    error: Exception
    if duplicate is None:
        error = BackendRefused(f"the CA does not take the CSR for {certname}")
    elif duplicate[1] == "requested":
        error = CsrPending(f"a CSR for {certname} waits at the CA already")
    else:
        error = CertnameTaken(f"the CA holds a {duplicate[1]} certificate for {certname} already")
    error.__cause__ = cause
    return error


def _read(crl_file: Path) -> bytes:
    try:
        return crl_file.read_bytes()
    except OSError as exc:
        msg = "the CRL file of the configuration ([ca] crl_file) cannot be read"
        raise BackendUnavailable(msg) from exc
