"""Files and directories with the right owner from their first moment, and never over another.

A secret is created under mode 0600 and only then given to its group, so that nobody can open it
in between.
"""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from itertools import count
from typing import TYPE_CHECKING

from espm_setup.errors import InTheWay, NotPermitted, SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

#: Beside a file of Puppet's that we changed: the file as it was before the first change.
BACKUP_SUFFIX = ".espm-backup"

#: In the name of a file that is to replace another, ".NAME" before it and a number behind.
ASIDE = ".espm-"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who will run espm.

    :ivar uid: the user, owner of ledger and ENC documents.
    :ivar gid: its primary group, which may read secrets when root owns them.
    :ivar privileged: whether root runs the setup, so that owners can be set.
    """

    name: str
    uid: int
    gid: int
    privileged: bool

    @property
    def secret(self) -> tuple[int, int, int]:
        """User, group and mode of a file that espm reads and nobody else: root:user 0640."""
        return (0, self.gid, 0o640) if self.other else (self.uid, self.gid, 0o600)

    @property
    def public(self) -> tuple[int, int, int]:
        """User, group and mode of a file that everybody may read."""
        return (0 if self.privileged else self.uid, self.gid, 0o644)

    def reads(self, path: Path) -> bool:
        """Return whether this user may read the file at *path*, by owner, group and mode."""
        groups = os.getgrouplist(self.name, self.gid)

        def may(place: Path, bit: int) -> bool:
            status = place.stat()
            shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in groups else 0
            return bool(status.st_mode >> shift & bit)

        path = path.resolve()
        return self.uid == 0 or (all(may(each, 1) for each in path.parents) and may(path, 4))

    @property
    def other(self) -> bool:
        """Whether root runs the setup for this user, who is another."""
        return self.privileged and self.uid != 0


def owner(name: str | None) -> Owner:
    """Return the user *name*, or the one who runs the setup.

    :raises espm_setup.errors.SetupError: there is no such user.
    :raises espm_setup.errors.NotPermitted: only root can hand files to another user.
    """
    euid = os.geteuid()
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(euid)
    except KeyError as exc:
        msg = f"there is no user '{name or euid}' on this machine; name another with --user"
        raise SetupError(msg) from exc
    if euid not in (0, entry.pw_uid):
        msg = f"only root can set espm up for another user ({entry.pw_name})"
        raise NotPermitted(msg)
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, privileged=euid == 0)


def owner_of(path: Path) -> Owner:
    """Return the user and the group whose *path* is."""
    status = path.stat()
    name = f"with number {status.st_uid}"
    with suppress(KeyError):
        name = pwd.getpwuid(status.st_uid).pw_name
    return Owner(name, status.st_uid, status.st_gid, privileged=os.geteuid() == 0)


def named(uid: int) -> Owner:
    """Return the user with the number *uid*.

    :raises espm_setup.errors.SetupError: there is none.
    """
    try:
        return owner(pwd.getpwuid(uid).pw_name)
    except KeyError as exc:
        msg = f"there is no user {uid} on this machine; name espm's user with --user"
        raise SetupError(msg) from exc


def group_id(name: str, default: int) -> int:
    """Return the number of the group *name*, or *default* when there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return default


def create(path: Path, data: bytes, rights: tuple[int, int, int]) -> None:
    """Write a new file, durably.

    :param rights: user, group and mode.
    :raises espm_setup.errors.InTheWay: *path* exists (also as a dangling link).
    """
    with _opened(path.parent) as directory:
        _create(directory, path, data, rights)
        os.fsync(directory)


def make_directory(path: Path, rights: tuple[int, int, int]) -> None:
    """Make a new directory; its parent exists."""
    path.mkdir(mode=0o700)
    give_directory(path, rights)


def make_with_parents(path: Path, rights: tuple[int, int, int], undo: Callable[..., None]) -> None:
    """Make the directory *path* and those above it that are missing, noting how to undo it."""
    if not path.exists():
        make_with_parents(path.parent, rights, undo)
        make_directory(path, rights)
        undo(path.rmdir)


def give_directory(path: Path, rights: tuple[int, int, int]) -> None:
    """Give an existing directory to its user and group; a symbolic link is refused.

    :raises OSError: it is no directory, or not ours to give.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give(descriptor, rights)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes, *, known: Collection[bytes]) -> None:
    """Put *data* in the place of a file at once, with the owner and mode that it had.

    A symbolic link stays one: the file that it points to is replaced.

    :param known: what the file may say until now, so that nobody can lead us to another one.
    :raises espm_setup.errors.SetupError: it says something else.
    """
    target = path.resolve(strict=True)
    with _opened(target.parent, os.O_NOFOLLOW) as directory:
        old, rights = _read(directory, target.name)
        if old not in known:
            msg = f"somebody changed {path} meanwhile; see what is right, and repeat"
            raise SetupError(msg)
        aside = target.with_name(f".{target.name}{ASIDE}{os.getpid()}")
        _create(directory, aside, data, rights)
        try:
            os.rename(aside.name, target.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside.name, dir_fd=directory)
            raise
        os.fsync(directory)


def back_up(path: Path) -> Path:
    """Keep a copy of *path*, which is no link, beside it and return the copy's path.

    An earlier copy with another content stays; the new one gets a number then.
    """
    names = (f".{number}" if number > 1 else "" for number in count(1))
    with _opened(path.parent, os.O_NOFOLLOW) as directory:
        data, rights = _read(directory, path.name)
        while True:
            copy = path.with_name(path.name + BACKUP_SUFFIX + next(names))
            with suppress(InTheWay):
                _create(directory, copy, data, rights)
                return copy
            # What cannot be read, such as a link, is no copy.
            with suppress(OSError):
                if _read(directory, copy.name)[0] == data:
                    return copy


def backups(path: Path) -> list[Path]:
    """Return the copies that :func:`back_up` made of *path*."""
    return sorted(path.parent.glob(f"{escape(path.name)}{BACKUP_SUFFIX}*"))


def in_the_way(paths: list[Path]) -> str:
    """Return the message about *paths* that exist already."""
    names = ", ".join(map(str, paths))
    return f"refusing to overwrite what exists: {names}; nothing was changed"


@contextmanager
def _opened(directory: Path, flags: int = 0) -> Iterator[int]:
    """Yield a descriptor of *directory*, which stays the same whatever its path becomes."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(directory: int, name: str) -> tuple[bytes, tuple[int, int, int]]:
    """Return the content of a file that is no link, and its user, group and mode."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        status = os.fstat(file.fileno())
        return file.read(), (status.st_uid, status.st_gid, status.st_mode & 0o777)


def _create(directory: int, path: Path, data: bytes, rights: tuple[int, int, int]) -> None:
    """Write the new file *path* in the opened *directory*."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path.name, flags, 0o600, dir_fd=directory)
    except FileExistsError as exc:
        raise InTheWay(in_the_way([path])) from exc
    except OSError as exc:
        # The name alone would tell nobody which file it was.
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            _give(file.fileno(), rights)
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path.name, dir_fd=directory)
        raise


def _give(descriptor: int, rights: tuple[int, int, int]) -> None:
    user, group, mode = rights
    # Without root, only what differs may be asked for: a file is its maker's anyway.
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (user, group):
        os.fchown(descriptor, user, group)
    os.fchmod(descriptor, mode)
