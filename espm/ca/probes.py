"""What espm puts into the CA's directories: what is left of it, and what goes wrong with it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from espm.errors import BackendUnavailable
from espm.model import HEALING
from espm.raising import Raising

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds after which nobody works with a file any more; one call to the CA takes less.
OLD = 600.0


def sweep(directory: Path) -> None:
    """Remove what a process left that was killed meanwhile; idempotent, and never raises OSError.

    What is young stays: a command may be started beside an espm at work.  So does what has another
    name, for a CSR waits in it: while a name goes it would look as if it were free.
    """
    files: list[Path] = []
    with suppress(OSError):
        files = list(directory.glob(f"{HEALING}*"))
    for file in files:
        with suppress(OSError):
            status = file.stat()
            if time.time() - status.st_mtime > OLD and status.st_nlink == 1:
                file.unlink(missing_ok=True)


def new_file(path: str) -> int:
    """Make a file that is not there, and return it opened to be written.

    :raises OSError: it can't be made; then there is none.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o644)
    try:
        # Puppet Server's user must be able to read it, whatever our umask is.
        os.fchmod(fd, 0o644)
    except OSError:
        os.close(fd)
        os.unlink(path)  # noqa: PTH108 -- as cheap as can be
        raise
    return fd


def writable(what: str) -> Raising:
    """Return a block that says of the CA's directory *what* that it can't be written.

    It raises :class:`~espm.errors.BackendUnavailable` in place of any OSError.
    """
    msg = f"the CA's directory {what} can't be written"
    return Raising((OSError,), lambda _: BackendUnavailable(msg))
