"""Changing files of an espm that is set up: one at a time, whole or not at all.

::

    lock espm.ini ──> read ──> edit ──> write aside, sync ──> rename ──> sync the directory
                                │                              │
                                └── refused: nothing changed   └── from here on it is the new file

Two who work at once wait for each other, an editor that saves meanwhile is noticed, and what a
killed one left beside the file is removed by the next.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from glob import escape
from time import monotonic, sleep
from typing import TYPE_CHECKING

from espm_setup import as_owner, files
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from espm.model import Json

#: Seconds that one waits for another, who holds the lock for some milliseconds.
PATIENCE = 10.0


def change(ini: Path, edit: Callable[[bytes], bytes], *, only_try: bool = False) -> None:
    """Put what *edit* makes of the file's content in its place, with its owner and mode.

    :param only_try: everything but that.
    :raises espm_setup.errors.SetupError: *edit* refused, or the file is not there.
    """

    def work() -> Json:
        with locked(ini) as content:
            new = edit(content)
            if not only_try:
                files.replace(ini, new, known=[content])
        return None

    perform(work, *directories(ini))


def perform(work: Callable[[], Json], *places: Path) -> Json:
    """Return what *work* returns, done as the first user but root who owns one of *places*.

    Whose a directory is can put a link into it, and whose a configuration is can name any file.
    """
    uids = [place.stat().st_uid for place in places if os.geteuid() == 0 and place.exists()]
    owner = files.named(next(filter(None, uids), os.geteuid()))
    return as_owner.call(owner, work, groups=os.getgrouplist(owner.name, owner.gid))


def directories(path: Path) -> tuple[Path, Path]:
    """Return the directory of the file at *path*, and that of where a link there leads."""
    return path.parent, path.resolve().parent


@contextmanager
def locked(path: Path) -> Iterator[bytes]:
    """Yield what the file at *path* says, while all others wait who come in this way.

    :raises espm_setup.errors.SetupError: it is not there, or somebody held it too long.
    """
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError as exc:
        msg = f"{path} is not there; name its directory with -d"
        raise SetupError(msg) from exc
    with os.fdopen(_lock(target), "rb") as file:
        for left in target.parent.glob(f"{escape(f'.{target.name}{files.ASIDE}')}*"):
            left.unlink()
        yield file.read()


def _lock(path: Path) -> int:
    """Return a descriptor that holds the lock of the file at *path*.

    It is the file's own lock, so that only those who may read it can be in the way.
    """
    last = monotonic() + PATIENCE
    while monotonic() < last:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file that we waited for may have been replaced meanwhile.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            sleep(0.02)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    msg = f"another program holds the lock of {path}: see which with lslocks, then repeat"
    raise SetupError(msg)
