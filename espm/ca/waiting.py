"""The directory of a CA on this host where CSRs wait: to hand them in without a call.

Puppet Server keeps a CSR that was handed in as a file of its name, and reads and checks that when
it is to be signed (``validate-csr``, ``sign-existing-csr!``).  So a file put there is handed in.
It gets its name once it is whole and on the disk, and never takes the place of one that waits.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from espm import files
from espm.ca.probes import sweep
from espm.ca.slots import Slots

if TYPE_CHECKING:
    from espm.model import Certname


class Waiting:
    """The directory ``requests`` of a CA; we must be able to write there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slots = Slots(path)

    def put(self, certname: Certname, csr: bytes) -> bool:
        """Put a CSR there; return False where one of that name waits.

        A process that is killed meanwhile leaves nothing that the CA would take for a CSR.

        :raises OSError: it can't be written there, or not in this way.
        """
        try:
            self._slots.put(csr, self._file(certname))
        except FileExistsError:
            return False
        return True

    def has_another(self, certname: Certname, csr: bytes) -> bool:
        """Return whether a CSR of *certname* is there, and is not *csr*."""
        return self._read(certname) not in {csr, None}

    def has(self, certname: Certname, csr: bytes) -> bool:
        """Return whether *csr* is there as the CSR of *certname*."""
        return self._read(certname) == csr

    def take_back(self, certname: Certname, csr: bytes) -> None:
        """Remove the CSR of *certname*, if it is *csr*.

        :raises OSError: it may not be removed.
        """
        if self.has(certname, csr):
            self.remove(certname)

    def remove(self, certname: Certname) -> None:
        """Remove the CSR of *certname*, if there is one; no certificate is touched by that.

        :raises OSError: it may not be removed.
        """
        file = self._file(certname)
        # The CA may be about to read it, in a call that we have given up on.
        self._slots.forget(file)
        Path(file).unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove all that is ours and is no CSR."""
        self._slots.drop()

    def sweep(self) -> None:
        """Remove what a process that was killed has left, and files of ours that rest."""
        sweep(self._path)

    def _read(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname*; None where there is none, or it can't be told."""
        with suppress(OSError):
            return files.read(self._file(certname))
        return None

    def _file(self, certname: Certname) -> str:
        return f"{self._path}/{certname}.pem"
