"""The ENC directory: durable changes to the files in it, one writer at a time.

Everything happens relative to one descriptor of the directory, in which the marker file was
seen: where a mount is missing there is no marker, and nothing is written under the mount point.

The directory is setgid and of the group of Puppet Server's user, and every file has the mode
0640 whatever the umask is, so that Puppet Server may read them and nobody else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Self

from espm import files
from espm.errors import BackendUnavailable
from espm.raising import Raising

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER = ".espm-enc"

FILE_MODE = 0o640
DIRECTORY_MODE = 0o2750

_LOCK = ".lock"
_ASIDE = ".aside-"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_WHY = {
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "its quota is used up",
    errno.EROFS: "it is mounted read-only",
    errno.EACCES: "espm's user may not write it",
    errno.EPERM: "espm's user may not write it",
    errno.ENOENT: "it or its marker file is not there (is it mounted? was it set up?)",
}


def _unusable(error: BaseException) -> BackendUnavailable:
    why = _WHY.get(getattr(error, "errno", 0), "the file system reports an error")
    return BackendUnavailable(f"the ENC directory can't be used: {why}")


#: A block that turns what the file system says into words for the caller:
#: :class:`~espm.errors.BackendUnavailable` in place of any OSError.
translated = Raising((OSError,), _unusable)


def prepare(directory: Path, gid: int | None = None) -> None:
    """Make an existing *directory* the ENC directory: group, mode, marker.  Idempotent.

    :param gid: the group of Puppet Server's user; None leaves the group as it is.
    :raises OSError: it is not there or not ours.
    """
    if gid is not None:
        os.chown(directory, -1, gid)
    # After chown, which may clear the setgid bit.
    directory.chmod(DIRECTORY_MODE)
    marker = directory / MARKER
    with suppress(FileExistsError):
        os.close(os.open(marker, _NEW, FILE_MODE))
    status = directory.stat()
    os.chown(marker, status.st_uid if os.geteuid() == 0 else -1, status.st_gid)
    marker.chmod(FILE_MODE)


class Directory:
    """The ENC directory at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def opened(self) -> Opened:
        """Return the opened directory, for a block.

        :raises OSError: it is not there or has no marker.
        """
        fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.stat(MARKER, dir_fd=fd, follow_symlinks=False)
        except BaseException:
            os.close(fd)
            raise
        return Opened(fd)

    @contextmanager
    def locked(self) -> Iterator[Opened]:
        """Yield the opened directory while no other thread or process has its lock.

        :raises OSError: it is not there, has no marker or can't be locked.
        """
        with self.opened() as opened, opened.lock():
            yield opened


class _Lock:
    """The lock file's lock, during a block; opened anew each time, it keeps threads apart too."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(_LOCK, flags, 0o600, dir_fd=self._directory)
        try:
            _give(self._fd, self._directory)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(self._fd)
            raise

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)


def _give(fd: int, directory: int) -> None:
    """Give a file to the directory's owner, so that what root did does not lock out the daemon."""
    if os.geteuid() == 0:
        os.fchown(fd, os.fstat(directory).st_uid, -1)


class Opened:
    """The files of the ENC directory.

    Whoever changes one that has a name of its own must hold the lock; what is written aside is its
    writer's alone.

    :param fd: of the directory, which is closed at the end of a block.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def lock(self) -> _Lock:
        """Keep all others out that want the lock, during a block."""
        return _Lock(self._fd)

    def files(self) -> list[str]:
        """Return the names of all that is in the directory."""
        return os.listdir(self._fd)  # noqa: PTH208 -- pathlib knows no descriptors

    def read(self, file: str) -> bytes | None:
        """Return the content of *file*, None if there is none; odd things count as empty."""
        try:
            fd = os.open(file, _READ, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
                return b""
            raise
        try:
            return files.content(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)

    def aside(self, content: bytes, *, at_once: bool = True) -> Aside:
        """Return what can become the content of a file during a block, and is gone after it.

        No lock is needed, so writers that write at once keep others waiting with a rename only.

        :param at_once: whether it is written now, or only if it becomes a file's content.
        """
        aside = Aside(self, content)
        if at_once:
            aside.write()
        return aside

    def sync(self) -> None:
        """Make durable which files there are; needs no lock."""
        os.fsync(self._fd)

    def remove(self, *files: str) -> None:
        """Remove those of *files* that are there."""
        for file in files:
            self.drop(file)

    def probe(self) -> None:
        """Write and remove a file."""
        self.drop(self.write_aside(b"probe\n"))

    def sweep(self) -> None:
        """Remove files written aside by writers that are dead; one that lives writes it again."""
        for file in self.files():
            if file.startswith(_ASIDE):
                self.drop(file)

    def write_aside(self, content: bytes) -> str:
        """Write a file of *content*, durably, and return its name."""
        file = _ASIDE + secrets.token_hex(8)
        fd = os.open(file, _NEW, FILE_MODE, dir_fd=self._fd)
        try:
            try:
                os.fchmod(fd, FILE_MODE)
                _give(fd, self._fd)
                files.fill(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            self.drop(file)
            raise
        return file

    def overwritten(self, file: str, at: int, octets: bytes) -> BinaryIO | None:
        """Exchange octets within *file*, for the holder of the lock; return it to :meth:`settle`.

        None where only a new file will do: we may not write this one, or it has names elsewhere.
        """
        with suppress(OSError), ExitStack() as opened:
            fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._fd)
            written = opened.enter_context(os.fdopen(fd, "wb", buffering=0))
            if os.fstat(fd).st_nlink == 1 and os.pwrite(fd, octets, at) == len(octets):
                opened.pop_all()
                return written
        return None

    def settle(self, file: BinaryIO) -> None:
        """Make durable what was written into *file*, and that it is there; close it."""
        with file:
            os.fdatasync(file.fileno())
        # Whoever renamed it here may have died before that was durable.
        self.sync()

    def rename(self, aside: str, file: str) -> None:
        """Let what was written aside take the place of *file*."""
        os.rename(aside, file, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def drop(self, file: str) -> None:
        """Remove *file* if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(file, dir_fd=self._fd)


class Aside:
    """What can become the content of a file, whole or not at all."""

    def __init__(self, opened: Opened, content: bytes) -> None:
        self._opened = opened
        self._content = content
        self._name: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Remove it, unless it became a file."""
        if self._name is not None:
            self._opened.drop(self._name)

    def write(self) -> str:
        """Write it, unless that was done; return the name it has meanwhile."""
        if self._name is None:
            self._name = self._opened.write_aside(self._content)
        return self._name

    def become(self, file: str) -> None:
        """Let it take the place of *file*; for the holder of the lock."""
        try:
            self._opened.rename(self.write(), file)
        except FileNotFoundError:
            # Swept away, which is done under the lock, so not now.
            self._name = None
            self._opened.rename(self.write(), file)
        self._name = None
