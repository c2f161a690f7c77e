"""The helper's verbs about a CA, and the errors that they end with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.ca.cert_texts import blame
from espm.errors import BackendUnavailable, CertificateUnknown

if TYPE_CHECKING:
    from espm.model import Certname
    from espm.model.output import Output
    from espm.ports.host import Host

#: The status by which the helper says that there is no such file.
NO_FILE = 66


class CertTools:
    """The helper on the CA's host; for any number of threads.

    :param timeout: seconds that a command there may take.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self.host = host
        self.timeout = timeout

    def call(self, verb: str, *arguments: str, stdin: bytes | None = None) -> Output:
        """Return how the helper ended, whatever its exit status.

        :raises espm.errors.BackendError: see :meth:`espm.ports.host.Host.call`.
        """
        return self.host.call(verb, *arguments, stdin=stdin, timeout=self.timeout)

    def checked(self, verb: str, *arguments: str, stdin: bytes | None = None) -> Output:
        """Return how the helper ended when it did what it was asked for.

        :raises espm.errors.EspmError: it did not; says why.
        """
        output = self.call(verb, *arguments, stdin=stdin)
        return _right(verb, output, arguments[0] if arguments else "the CA")

    def file(self, verb: str, certname: Certname) -> bytes | None:
        """Return what the CA has in a file of *certname*, if there is one.

        :raises espm.errors.EspmError: it can't be told.
        """
        output = self.call(verb, certname)
        if output.status == NO_FILE:
            return None
        return _right(verb, output, certname).stdout


def _right(verb: str, output: Output, certname: str) -> Output:
    if output.status == 0:
        return output
    error = blame(output, verb, certname)
    if isinstance(error, CertificateUnknown):
        msg = "the CA has no CRL or no certificate of its own"
        raise BackendUnavailable(msg) from error
    raise error
