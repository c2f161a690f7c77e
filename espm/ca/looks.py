"""What was looked at is what is ended, by ``puppet cert``.

Whether a certificate is ours its key tells, which whoever orders its end has looked at just before.
``puppet cert`` takes names only, and in between somebody may have put another certificate in its
place.  So the helper is told the SHA-256 of what was last shown of the name, and compares under
its lock::

    certificate ─> shown, noted         revoke, clean ─> name and note ─> the same? ─> Puppet
                                                                      └─> another: looked at anew
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from espm import x509
from espm.ca.cert_texts import blame
from espm.ca.cert_tools import NO_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.ca.cert_tools import CertTools
    from espm.model import Certname
    from espm.model.output import Output

#: The status by which the helper says that a certificate is not the one that was looked at.
_ANOTHER = 65


class Looks:
    """What was last seen of each name at a CA; for any number of threads."""

    def __init__(self, tools: CertTools) -> None:
        self._tools = tools
        self._seen: dict[str, str] = {}

    def at(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, if any, and note it.

        :raises espm.errors.BackendRefused: it is one of another name.
        """
        pem = self._tools.file("certificate", certname)
        self._seen.pop(certname, None)
        if pem is None:
            return None
        x509.of_name(pem, certname)
        self._seen[certname] = sha256(pem).hexdigest()
        return pem

    def gone(self, certname: Certname) -> bool:
        """Return whether the CA holds no certificate for *certname* any more.

        What is found is not noted: to look whether an order was carried out is not to look whose
        certificate it is.
        """
        if self._is_there(certname):
            return False
        self._seen.pop(certname, None)
        return True

    def end(self, action: str, certnames: Sequence[Certname]) -> Output | None:
        """Revoke or clean those of *certnames* that the CA holds; None when it holds none.

        :raises espm.errors.BackendUnavailable: one is another than was looked at; nothing is done.
        """
        held = {name: self._seen[name] for name in certnames if name in self._seen or self.at(name)}
        output = self._order(action, held)
        if output is not None and output.status == NO_FILE:
            held = {name: seen for name, seen in held.items() if self._is_there(name)}
            output = self._order(action, held)
        if output is not None and output.status == _ANOTHER:
            raise blame(output, action, certnames[0])
        return output

    def _is_there(self, certname: Certname) -> bool:
        return self._tools.file("certificate", certname) is not None

    def _order(self, action: str, held: Mapping[Certname, str]) -> Output | None:
        words = [f"{name}:{seen}" for name, seen in held.items()]
        return self._tools.call(action, *words) if words else None
