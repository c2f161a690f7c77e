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


class Slots:
    """Those of one directory; for any number of threads.

    The CA takes no file for a CSR that has no name of one.  They are removed when nobody has this
    object any more, and by :func:`espm.ca.probes.sweep` where a process was killed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._slots: deque[_Slot] = deque()
        weakref.finalize(self, _drop_all_but, 0, self._slots)

    def put(self, csr: bytes, file: str) -> None:
        """Let *file*, in the directory, be *csr*, whole and on the disk before it is there.

        :raises FileExistsError: it is there already, and stays as it is.
        :raises OSError: it can't be written, or not in this way.
        """
        slot = self._free() or _Slot(f"{self._directory}/{HEALING}slot-{secrets.token_hex(8)}")
        try:
            slot.fill(csr)
            os.link(slot.path, file)
        except FileExistsError:
            self._keep(slot)
            raise
        except BaseException:
            slot.drop()
            raise
        self._keep(slot)

    def drop(self) -> None:
        """Remove them; CSRs that wait are not touched.  Idempotent."""
        _drop_all_but(0, self._slots)

    def _free(self) -> _Slot | None:
        """Return one whose CSR waits no more, if there is one; it is ours alone then."""
        with suppress(IndexError):
            for _ in range(len(self._slots)):
                slot = self._slots.popleft()
                names = slot.names()
                if names == 1:
                    return slot
                # Where it was swept away, the CSR that it may have is its only owner.
                (self._slots.append if names else _Slot.drop)(slot)
        return None

    def _keep(self, slot: _Slot) -> None:
        self._slots.append(slot)
        _drop_all_but(MOST, self._slots)


class _Slot:
    """A file for CSRs, which is made.

    :raises OSError: it can't be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = new_file(path)

    def names(self) -> int:
        """Return how many names it has; 0 where it has lost its own, whoever has another for it."""
        with suppress(OSError):
            return os.stat(self.path).st_nlink  # noqa: PTH116 -- as cheap as can be
        return 0

    def fill(self, csr: bytes) -> None:
        """Write *csr* in place of what it has, and sync it."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        files.fill(self._fd, csr)
        if os.fstat(self._fd).st_size != len(csr):
            os.ftruncate(self._fd, len(csr))
        # Puppet Server can't list its CSRs any more where one of them is an empty file.
        os.fsync(self._fd)

    def drop(self) -> None:
        """Remove its own name and let go of it; for who has it alone, or has put it last."""
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 -- as cheap as can be
        os.close(self._fd)


def _drop_all_but(number: int, slots: deque[_Slot]) -> None:
    with suppress(IndexError):
        while len(slots) > number:
            slots.popleft().drop()
