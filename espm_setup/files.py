"""Files and directories with the right owner from their first moment, and never over another.

A secret is created under mode 0600 and only then given to its group, so that nobody can open it
in between.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING

from espm_setup.errors import InTheWay, NotPermitted, SetupError

if TYPE_CHECKING:
    from pathlib import Path

#: Beside a file of Puppet's that we changed: the file as it was before the first change.
BACKUP_SUFFIX = ".espm-backup"


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
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as exc:
        raise InTheWay(in_the_way([path])) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            _give(file.fileno(), rights)
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def make_directory(path: Path, rights: tuple[int, int, int]) -> None:
    """Make a new directory; its parent exists."""
    path.mkdir(mode=0o700)
    give_directory(path, rights)


def give_directory(path: Path, rights: tuple[int, int, int]) -> None:
    """Give an existing directory to its user and group; a symbolic link is refused.

    :raises OSError: it is no directory, or not ours to give.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give(descriptor, rights)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Put *data* in the place of a file at once, with the owner and mode that it had.

    A symbolic link stays one: the file that it points to is replaced.
    """
    target = path.resolve(strict=True)
    status = target.stat()
    aside = target.with_name(f".{target.name}.espm-{os.getpid()}")
    create(aside, data, (status.st_uid, status.st_gid, status.st_mode & 0o7777))
    try:
        aside.rename(target)
    except BaseException:
        aside.unlink()
        raise


def back_up(path: Path) -> Path:
    """Keep a copy of *path* beside it and return the copy's path.

    An earlier copy with another content stays; the new one gets a number then.
    """
    data = path.read_bytes()
    number = 1
    copy = path.with_name(path.name + BACKUP_SUFFIX)
    while True:
        if not copy.exists():
            status = path.stat()
            create(copy, data, (status.st_uid, status.st_gid, status.st_mode & 0o7777))
        if copy.read_bytes() == data:
            return copy
        number += 1
        copy = path.with_name(f"{path.name}{BACKUP_SUFFIX}.{number}")


def backups(path: Path) -> list[Path]:
    """Return the copies that :func:`back_up` made of *path*."""
    return sorted(path.parent.glob(f"{escape(path.name)}{BACKUP_SUFFIX}*"))


def in_the_way(paths: list[Path]) -> str:
    """Return the message about *paths* that exist already."""
    names = ", ".join(map(str, paths))
    return f"refusing to overwrite what exists: {names}; nothing was changed"


def _give(descriptor: int, rights: tuple[int, int, int]) -> None:
    user, group, mode = rights
    # Without root, only what differs may be asked for: a file is its maker's anyway.
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (user, group):
        os.fchown(descriptor, user, group)
    os.fchmod(descriptor, mode)
