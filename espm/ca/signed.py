"""The directory of signed certificates of a CA on this host: to be read, and to heal from.

Puppet Server answers for a certificate with the file of that name, and for one that it has just
signed when the file is written (``sign-certificate-request!``), so where the directory is at hand
a look into it tells the same, and costs nobody a call.

Puppet Server revokes by name: it reads the serial from the file of that name in its directory
``signed`` (``revoke-existing-certs!``; from 8.2.2 on it adds what its inventory has of the name).
When the file is gone, a revocation that was lost can't be ordered again.  So the certificate is put
back, under a name that nobody else has: that revokes this serial and no other, whatever the CA has
signed for the node's name since.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm import files
from espm.ca.probes import new_file, sweep, writable
from espm.model import HEALING, Certname

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Signed:
    """The directory ``signed`` of a CA; we must be able to write there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, certname: Certname) -> bytes | None:
        """Return the certificate of *certname*, None if there is none.

        :raises OSError: it may not be read.
        """
        try:
            return files.read(f"{self._path}/{certname}.pem")
        except FileNotFoundError:
            # Where the directory itself is gone, this does not tell anything.
            os.stat(self._path)  # noqa: PTH116 -- as cheap as can be
            return None

    @contextmanager
    def put_back(self, pem: str, label: str) -> Iterator[Certname]:
        """Have a certificate in the directory during the block; yield the name it has there.

        :param label: what tells it from others, in lower-case letters and digits.
        :raises espm.errors.BackendUnavailable: the directory can't be written.
        """
        name = Certname(f"{HEALING}{label}")
        file = self._path / f"{name}.pem"
        with writable("of signed certificates"):
            self._write(file, pem)
            try:
                yield name
            finally:
                file.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a process left that was killed while it healed."""
        sweep(self._path)

    def _write(self, file: Path, pem: str) -> None:
        """Write aside and rename: Puppet Server may list the directory and read all of it."""
        aside = file.with_suffix(".new")
        aside.unlink(missing_ok=True)
        try:
            with os.fdopen(new_file(str(aside)), "w") as opened:
                opened.write(pem)
            aside.rename(file)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
