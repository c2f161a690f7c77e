"""Handing CSRs in as files, where the CA's directory is at hand, and taking them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import x509
from espm.ca.probes import writable
from espm.errors import BackendUnavailable, CertnameTaken, CsrPending

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.ca.directories import Proved
    from espm.ca.waiting import Waiting
    from espm.model import Certname


class HandingIn:
    """Puts CSRs where the CA keeps them; for any number of threads.

    :param waiting: the directory, while it is proved to be the CA's.
    :param certificate: returns the certificate that the CA holds for a name, if any.
    """

    def __init__(
        self, waiting: Proved[Waiting], certificate: Callable[[Certname], bytes | None]
    ) -> None:
        self._waiting = waiting
        self._certificate = certificate

    def put(self, certname: Certname, csr: bytes) -> bool:
        """Put *csr* into the directory; return False where that can't be done.

        :raises espm.errors.CsrPending: a CSR of that name waits already.
        :raises espm.errors.CertnameTaken: the CA holds a certificate of that name.
        :raises espm.errors.BackendUnavailable: somebody else has got a certificate just now.
        """
        waiting = self._waiting.at_hand()
        if waiting is None:
            return False
        if self._certificate(certname) is not None:
            msg = f"the CA holds a certificate for {certname} already"
            raise CertnameTaken(msg)
        try:
            put = waiting.put(certname, csr)
        except OSError as error:
            self._waiting.refute(error)
            return False
        if not put:
            msg = f"a CSR for {certname} waits at the CA already"
            raise CsrPending(msg)
        self._refuse_foreign(certname, csr, waiting)
        return True

    def refuse_another(self, certname: Certname, csr: bytes) -> None:
        """Return unless a CSR is seen to have taken the place of *csr*, which was handed in.

        One that Puppet Server had begun to take before ours was there it writes over ours (it looks
        whether one waits, and writes later, ``validate-duplicate-cert-policy!``).

        :raises espm.errors.CsrPending: one has.
        """
        waiting = self._waiting.at_hand()
        if waiting is not None and waiting.has_another(certname, csr):
            msg = f"another CSR for {certname} came to the CA at the same moment; try again"
            raise CsrPending(msg)

    def missed(self, certname: Certname, csr: bytes, error: Exception) -> None:
        """Take back what the CA does not see: it lies in a directory that is not the CA's now."""
        waiting = self._waiting.directory
        if waiting is not None and waiting.has(certname, csr):
            self._waiting.refute(error)
            with writable("of CSRs"):
                waiting.take_back(certname, csr)

    def take_out(self, certname: Certname) -> bool:
        """Remove the CSR of *certname*, which touches no certificate; False where that can't be."""
        waiting = self._waiting.at_hand()
        if waiting is None:
            return False
        with writable("of CSRs"):
            waiting.remove(certname)
        return True

    def _refuse_foreign(self, certname: Certname, csr: bytes, waiting: Waiting) -> None:
        """Take *csr* back where somebody else has got a certificate of that name meanwhile.

        The CA looks for one when a CSR is handed in by a call, and not when it signs.  It may have
        begun to sign what lay there for a moment, so this is no conflict: what becomes of it is
        to be looked for.
        """
        held = self._certificate(certname)
        if held is None or x509.parse_certificate(held).key_sha256 == x509.csr_key_sha256(csr):
            return
        with writable("of CSRs"):
            waiting.take_back(certname, csr)
        msg = f"the CA has signed another certificate for {certname} just now; try again"
        raise BackendUnavailable(msg)
