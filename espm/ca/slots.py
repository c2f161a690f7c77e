"""Files by which CSRs come into a CA's directory, each for one after the other.

::

    free ──> a CSR written, synced ──> the node's name is a second one of the file
      ^                                        │ the CA has signed, and removes that name
      └────────────────────────────────────────┘

A new file for each CSR costs more than all else about it: blocks and an inode are found, written
down and, while Puppet Server waits to answer, given back (docs/decisions/0029-csrs-in-slots.md).
"""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from espm import files
from espm.ca.probes import new_file
from espm.model import HEALING

if TYPE_CHECKING:
    from pathlib import Path

#: How many are kept; where more CSRs wait at once the files of some become theirs alone.
MOST = 16

_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Slots:
    """Those of one directory; for any number of threads.

    The CA takes no file for a CSR that has no name of one.  They are removed when nobody has this
    object any more, and by :func:`espm.ca.probes.sweep` where a process was killed.  Between two
    CSRs none is open, for the directory may be unmounted, or exchanged for a copy.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: deque[str] = deque()
        self._lock = threading.Lock()
        weakref.finalize(self, _drop_all_but, 0, self._paths)

    def put(self, csr: bytes, file: str) -> None:
        """Let *file*, in the directory, be *csr*, whole and on the disk before it is there.

        :raises FileExistsError: it is there already, and stays as it is.
        :raises OSError: it can't be written, or not in this way.
        """
        if slot := self._free():
            try:
                self._carry(slot, csr, file)
            except FileExistsError:
                raise
            except OSError:
                pass  # It was swept away just now, or is somebody else's by now.
            else:
                return
        self._carry(self._new(), csr, file)

    def forget(self, file: str) -> None:
        """Never write again to what *file* is: somebody may have it open, and read it later."""
        with self._lock:
            node = _node(file)
            for path in [*self._paths]:
                if _node(path) == node:
                    self._paths.remove(path)
                    _drop(path)

    def drop(self) -> None:
        """Remove them; CSRs that wait are not touched.  Idempotent."""
        with self._lock:
            _drop_all_but(0, self._paths)

    def _carry(self, slot: tuple[int, str], csr: bytes, file: str) -> None:
        """Write *csr* in place of what the slot has, sync it, and give it the name *file*."""
        fd, path = slot
        try:
            _fill(fd, csr)
            os.link(path, file)
            # Where names are not counted, it could not be told when it is free.
            counted = os.fstat(fd).st_nlink > 1
        except FileExistsError:
            self._keep(path)
            raise
        except BaseException:
            _drop(path)
            raise
        finally:
            _close(fd)
        if counted:
            self._keep(path)
        else:
            _drop(path)

    def _free(self) -> tuple[int, str] | None:
        """Return one whose CSR waits no more, opened, if there is one; it is ours alone then."""
        with self._lock:
            for path in [*self._paths]:
                names, fd = _opened(path)
                if names > 1:
                    _close(fd)
                    continue
                self._paths.remove(path)
                if names:
                    return fd, path
        return None

    def _new(self) -> tuple[int, str]:
        path = f"{self._directory}/{HEALING}slot-{secrets.token_hex(8)}"
        return new_file(path), path

    def _keep(self, path: str) -> None:
        with self._lock:
            self._paths.append(path)
            _drop_all_but(MOST, self._paths)


def _opened(path: str) -> tuple[int, int]:
    """Return how many names a slot has, and it opened; 0 where it has lost its own.

    Whoever has another name for it then is its only owner.
    """
    with suppress(OSError):
        fd = os.open(path, _WRITE)
        return os.fstat(fd).st_nlink, fd
    return 0, -1


def _fill(fd: int, csr: bytes) -> None:
    """Write *csr* in place of what is there, and sync it."""
    files.fill(fd, csr)
    if os.fstat(fd).st_size != len(csr):
        os.ftruncate(fd, len(csr))
    # Puppet Server can't list its CSRs any more where one of them is an empty file.
    os.fsync(fd)


def _node(path: str) -> int | None:
    """Return which file of the directory *path* is; None where there is none."""
    with suppress(OSError):
        return os.stat(path).st_ino  # noqa: PTH116 -- as cheap as can be
    return None


def _close(fd: int) -> None:
    """Let go of a file; all that is to last was synced."""
    with suppress(OSError):
        os.close(fd)


def _drop(path: str) -> None:
    """Remove a slot's own name; for who has it alone, or has put it last."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 -- as cheap as can be


def _drop_all_but(number: int, paths: deque[str]) -> None:
    """Drop the oldest; for the holder of the lock, or when nobody has these paths any more."""
    while len(paths) > number:
        _drop(paths.popleft())
