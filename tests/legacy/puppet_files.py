"""The directory that old Puppet's CA keeps (reference facts on old Puppet, 1.4)."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.legacy.puppet_versions import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.legacy.puppet_versions import Traits

#: What a name must not contain or look like, for it becomes part of a path [source].
HOSTILE = re.compile(r"^\.\.|[\\/\0]|^[A-Za-z]:")
#: Directory: mode up to 3.8, mode in 5.5.  The reference has those of ssl, ca, requests, signed
#: and private_keys; the others are plausible.
_DIRECTORIES = {
    "": (0o771, 0o771),
    "ca": (0o770, 0o755),
    "ca/private": (0o770, 0o750),
    "ca/requests": (0o755, 0o755),
    "ca/signed": (0o770, 0o755),
    "certs": (0o755, 0o755),
    "private_keys": (0o750, 0o750),
    "public_keys": (0o755, 0o755),
    "certificate_requests": (0o755, 0o755),
}


def is_there(path: Path) -> bool:
    """Tell whether a file is there; one whose name is too long is not."""
    try:
        return path.exists()
    except OSError:
        return False


class Files:
    """The paths under one ssldir, and how they are written and removed."""

    def __init__(self, ssldir: Path, traits: Traits, cadir: Path | None = None) -> None:
        self.ssldir = ssldir
        self._traits = traits
        self.ca = cadir or ssldir / "ca"
        self.serial = self.ca / "serial"
        self.crl = self.ca / "ca_crl.pem"
        self.inventory = self.ca / "inventory.txt"
        self.password = self.ca / "private" / "ca.pass"
        self.ca_certificate = self.ca / "ca_crt.pem"
        self.ca_key = self.ca / "ca_key.pem"

    def make(self) -> None:
        """Make the directories that are missing, each with its mode."""
        for name, modes in _DIRECTORIES.items():
            within = name.partition("/")
            directory = self.ca / within[2] if within[0] == "ca" else self.ssldir / name
            if not directory.is_dir():
                directory.mkdir(parents=not name, exist_ok=True)
                directory.chmod(modes[self._traits.newest])

    def signed(self, name: str) -> Path:
        """Return where the CA keeps a certificate; its own has another place."""
        return self.ca_certificate if name == "ca" else self.ca / "signed" / f"{name}.pem"

    def request(self, name: str) -> Path:
        """Return where a CSR waits."""
        return self.ca / "requests" / f"{name}.pem"

    def certificate(self, name: str) -> Path:
        """Return where a host keeps its certificate, which ``generate`` writes here too."""
        return self.ssldir / "certs" / f"{name}.pem"

    def key(self, name: str) -> Path:
        """Return where a host keeps its private key."""
        return self.ca_key if name == "ca" else self.ssldir / "private_keys" / f"{name}.pem"

    def public(self, name: str) -> Path:
        """Return where a host keeps its public key."""
        return self.ssldir / "public_keys" / f"{name}.pem"

    def copy(self, name: str) -> Path:
        """Return where a host keeps its CSR."""
        return self.ssldir / "certificate_requests" / f"{name}.pem"

    def names(self, directory: str) -> list[str]:
        """Return the names in ``signed`` or ``requests``, in the order of the directory."""
        found = os.listdir(self.ca / directory)  # noqa: PTH208 -- its order is a fact
        return [name.removesuffix(".pem") for name in found if name.endswith(".pem")]

    def write(self, path: Path, content: bytes, mode: int = 0o640, *, how: str = "wb") -> None:
        """Write a file in place, as old Puppet does: a reader may see it empty.

        :param how: "xb" for a file that must not be there.
        :raises FileExistsError: it is.
        :raises Refused: it cannot be written; the text is plausible, not recorded.
        """
        is_certificate = path.parent.name in {"certs", "signed"} or path == self.ca_certificate
        if self._traits.newest and is_certificate:
            mode = 0o644
        try:
            is_new = not path.exists()
            with path.open(how) as file:
                # Who may write a file need not own it: root and the service user take turns.
                if is_new:
                    os.fchmod(file.fileno(), mode)
                file.write(content)
        except FileExistsError:
            raise
        except OSError as exc:
            setting = path.parent.name.removesuffix("s").replace("_", "") + "dir"
            msg = f"Could not write {path} to {setting}: {exc.strerror} - {path}"
            raise Refused(msg) from exc

    def next_serial(self, reached: Callable[[str], None]) -> int:
        """Take the next serial under flock.  A missing file silently means 1 (trap 4).

        :param reached: called with "serial" while the next number is written but not in force.
        :raises Refused: somebody left serial.tmp behind (trap 7; 2.7 only).
        """
        with self._serial_locked():
            serial = int(self.serial.read_text().strip() or "1", 16)
            aside = self.serial.with_name("serial.tmp")
            if not self._traits.modern and aside.exists():
                msg = f".tmp file already exists for {self.serial}; Aborting locked write."
                msg += " Check the .tmp file and delete if appropriate"
                raise Refused(msg)
            aside = self.serial if self._traits.modern else aside
            self.write(aside, f"{serial + 1:04X}".encode(), 0o644)
            reached("serial")
            aside.rename(self.serial)
            return serial

    @contextmanager
    def _serial_locked(self) -> Iterator[None]:
        while True:
            with self.serial.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Another may have put a new file in its place while this one waited.
                if os.path.samestat(os.fstat(file.fileno()), self.serial.stat()):
                    yield
                    return
